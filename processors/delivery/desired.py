"""The desired state: what the ledger wants REDCap to hold of studies, with all that is known of them."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import text

from ledger.events import Event
from processors.clocks import believed
from processors.delivery.due import DueRow
from processors.delivery.plan import DesiredSeries, DesiredStudy
from processors.delivery.sender.known import others_of
from processors.delivery.sender.on_disk import newest_summary
from processors.gateway import Work
from processors.redcap import incoming
from processors.requests import MINUTE, Key
from processors.stored_requests import requests_of


def desired_studies(
    work: Work, rows: Sequence[DueRow], *, with_transfers: bool, again: bool = False
) -> list[DesiredStudy]:
    """The contents of these rows, by study, with what the ledger knows of the studies' other rows.

    `with_transfers`: all requests are looked at, and contested ones tried again. `again`: rows that have
    been deleted are to come back.
    """
    studies = {row.study: DesiredStudy(study=row.study, again=again) for row in rows}
    asked_for = [row.position for row in rows if row.kind == "transfer"]
    arrivals = _add_history(work, studies, asked_for)
    if with_transfers:
        _add_requests(work, studies)
    contents = work.identities({row.position for row in rows if row.kind != "transfer"})
    now = work.clock()
    for row in rows:
        _add(studies[row.study], row, contents)
    for study in studies.values():
        if study.row_position:
            event, identity = contents[study.row_position]
            arrived = believed(arrivals[study.study], now) or now
            study.row = incoming.study_row(event.data, identity, work.local(arrived))
    return list(studies.values())


def _add(study: DesiredStudy, row: DueRow, contents: Mapping[int, tuple[Event, Mapping[str, str]]]) -> None:
    if row.kind == "study":
        study.row_position = row.position
    elif row.kind == "series":
        event, sealed = contents[row.position]
        instance = study.series_instances.get(row.key)
        wanted = DesiredSeries(series=row.key, position=row.position, data=event.data, sealed=sealed, instance=instance)
        study.series.append(wanted)
    elif study.again or row.position not in study.doubled:
        study.due.add(row.position)


_SERIES_INSTANCES = text("""
    select study, series, instance from gateway.series where study = any(:studies) and instance is not null
""")
_ADOPTED_INSTANCES = text("select study, series, instance from gateway.adopted_series where study = any(:studies)")
_DELIVERED = text("""
    select study, arrived_at, delivered_position > 0 or adopted.position is not null as delivered,
           exists (select from gateway.missing_row as missing
                    where missing.study = study.study and missing.kind = 'study'
                      and study.returned_position > missing.position) as received_anew,
           exists (select from gateway.transfer as asked
                    where asked.study = study.study and asked.position = any(:asked_for)
                      and asked.state = 'requested') as asked_for
      from gateway.study left join gateway.adopted_study as adopted using (study)
     where study = any(:studies)
""")
_MISSING = text("select study, kind, key from gateway.missing_row where study = any(:studies)")
_DOUBLES = text("select study, request from gateway.double_row where study = any(:studies)")
_CONTESTS = text("""
    select study, project, event_name from gateway.conflict where study = any(:studies) and kind = 'person'
""")
_NEWEST_SUMMARIES = text("""
    select study, to_timestamp(max(mtime_ns) / 1e9) as modified_at from gateway.file
     where study = any(:studies) group by study
""")


def _add_history(work: Work, studies: Mapping[str, DesiredStudy], asked_for: Sequence[int]) -> dict[str, datetime]:
    """Adds what was delivered of the studies before, or adopted, and whether one of the requests `asked_for` is new.

    Gives when each arrived.
    """
    chosen = {"studies": list(studies)}
    for instances in (_ADOPTED_INSTANCES, _SERIES_INSTANCES):
        for row in work.execute(instances, chosen):
            studies[row.study].series_instances[row.series] = row.instance
    arrivals = {}
    for row in work.execute(_DELIVERED, chosen | {"asked_for": list(asked_for)}):
        studies[row.study].delivered = row.delivered
        studies[row.study].asked_for = row.asked_for
        studies[row.study].again |= row.received_anew
        arrivals[row.study] = row.arrived_at
    for row in work.execute(_MISSING, chosen):
        studies[row.study].missing.add((row.kind, row.key))
    return arrivals


def _add_requests(work: Work, studies: Mapping[str, DesiredStudy]) -> None:
    """Adds every request of ours, whose rows are doubled, and who is known to contest them: those are tried again on
    this occasion. Where one has ended, what was told of others' requests is added, too.
    """
    for row in work.execute(_CONTESTS, {"studies": list(studies)}):
        studies[row.study].contests.add(Key(row.project, row.event_name))
    for row in work.execute(_DOUBLES, {"studies": list(studies)}):
        studies[row.study].doubled.add(row.request)
    for study, requests in requests_of(work, list(studies)).items():
        studies[study].requests = requests
        studies[study].due |= {request.position for request in requests if request.state == "contested"}
    ended = [study for study, known in studies.items() if not all(r.in_force for r in known.requests)]
    for study, others in (others_of(work, ended) if ended else {}).items():
        studies[study].others = others
    failed = [study for study, known in studies.items() if any(r.report.state == "failed" for r in known.requests)]
    if failed:
        known = {row.study: row.modified_at for row in work.execute(_NEWEST_SUMMARIES, {"studies": failed})}
        for study in failed:
            times = [time for time in (known.get(study), newest_summary(work.gateway.raw, study)) if time is not None]
            if times:
                studies[study].newest_summary = work.local(max(times)).strftime(MINUTE)
