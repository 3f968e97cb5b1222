"""Whether the ledger is whole, asked before anything is decided or written.

Restored from a backup, or on a standby that had not heard its last seconds, it lacks what was requested, drawn,
retracted and forgotten since. Deciding by it would request again what people have ended. Two things tell:

    the head that is kept beside the key file   `Gateway.loss`: noticed before anything is done
    REDCap, after a pause                       series, closed requests and IDs that this system alone writes, and
                                                the ledger does not know: for a machine restored with its key file

A request that still has its name tells nothing: people's programs write such rows with our token. Only after a pause is
REDCap asked, as a restored ledger has one: runs go on every minute otherwise. A machine that was started since the last
run may have been restored, however short that took.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import Row, text

from processors.delivery.actual import fields_by_project
from processors.errors import LedgerBehind, ServiceError
from processors.events.fact import study_stream
from processors.events.operations import LedgerDoubted
from processors.gateway import Gateway, Work
from processors.redcap import Banned, Blocked, Project, Redcap, incoming
from processors.redcap.incoming import ActualRecord
from processors.requests import TransferRow, owner
from processors.stored_requests import requests_of

PAUSE: Final = timedelta(minutes=15)
"""Runs that are farther apart may have a time between them of which the ledger does not know."""
_OVERLAP: Final = timedelta(hours=26)
"""REDCap's log, by which changed records are found, is in a zone of its own."""


class Pause(NamedTuple):
    """A time in which the ledger knows of no run, since the last one, and where the ledger ended at its end.

    It is a long one, or one in which the machine was started anew.
    """

    since: datetime
    head: int


class Wholeness(NamedTuple):
    """What is known of whether the ledger is whole: why it is doubted, if it is, and the `pause` to be asked about."""

    reason: str
    doubted_since: datetime | None
    pause: Pause | None

    def require(self) -> None:
        """Raises `LedgerBehind` where the ledger has lost events."""
        if self.reason:
            raise LedgerBehind(
                f"{self.reason} The ledger was restored from a backup, or lost its last events. Nothing is requested, "
                "placed or drawn until `fiona-ledger adopt --after-restore` has shown what it takes back and what "
                "would be placed, and somebody has said yes. See docs/backup.md."
            )


# Of a machine, the last ten characters tell which start of it that is: names of containers change with each run.
_NOTE = text("""
    insert into gateway.pause (site, since, head)
    select :site, last.started_at, (select position from ledger.head)
      from (select started_at, machine from gateway.run
             where site = :site and run <> :run and started_at <= :now order by started_at desc limit 1) as last
     where last.started_at < :before
        or exists (select from gateway.run as own
                    where own.run = :run and own.machine <> '' and last.machine <> ''
                      and right(own.machine, 10) <> right(last.machine, 10))
    on conflict (site) do nothing
""")
_OVER = text("delete from gateway.pause where site = :site")
# One row whatever there is: asked by every run, several times.
_KNOWN = text("""
    select doubted.reason, doubted.since as doubted_since, pause.since as pause_since, pause.head as pause_head
      from (values (1)) as always
      left join (select reason, since from gateway.doubted_ledger order by position limit 1) as doubted on true
      left join gateway.pause on site = :site
""")
_LAST_RUN = text("""
    select coalesce((select max(started_at) from gateway.run where site = :site and run <> :run and started_at <= :now),
                    (select recorded_at from ledger.event order by position desc limit 1), :now)
""")


def note_pause(work: Work) -> None:
    """Notes that REDCap is to be asked, where the last run is long ago, or of before the machine's start."""
    now = work.clock()
    work.execute(_NOTE, {"site": work.site, "run": work.gateway.run, "now": now, "before": now - PAUSE})


def pause_is_over(work: Work) -> None:
    """Notes that it is settled what REDCap knows of the pause."""
    work.execute(_OVER, {"site": work.site})


def last_whole(work: Work) -> datetime:
    """When the ledger was last known to be whole: from then on, it may lack something."""
    known = _known(work)
    pause_since = None if known.pause is None else known.pause.since
    times = [since for since in (known.doubted_since, pause_since) if since is not None]
    return min(times) if times else _last_run(work)


def wholeness(work: Work) -> Wholeness:
    """What is known of whether the ledger is whole; what the kept head tells that it has lost is recorded, once."""
    known = _known(work)
    loss = work.gateway.loss
    if loss and not known.reason:
        work.record([LedgerDoubted(site=work.site, reason=loss, since=_last_run(work).isoformat())])
    return known._replace(reason=loss or known.reason)


def require_whole(gateway: Gateway) -> None:
    """Raises `LedgerBehind` where the ledger has lost events, as far as is known, and records that, once."""
    with gateway.begin() as work:
        known = wholeness(work)
    known.require()


def ask_redcap(gateway: Gateway, redcap: Redcap, pause: Pause) -> None:
    """Raises `LedgerBehind` where, after the pause, REDCap holds what the ledger should know, and records that."""
    reason = _what_is_unknown(gateway, redcap, pause)
    with gateway.begin() as work:
        if reason:
            work.record([LedgerDoubted(site=work.site, reason=reason, since=pause.since.isoformat())])
        pause_is_over(work)
    Wholeness(reason, pause.since, None).require()


def _known(work: Work) -> Wholeness:
    row = work.execute(_KNOWN, {"site": work.site}).one()
    pause = None if row.pause_since is None else Pause(row.pause_since, row.pause_head)
    return Wholeness(row.reason or "", row.doubted_since, pause)


def _last_run(work: Work) -> datetime:
    parameters = {"site": work.site, "run": work.gateway.run, "now": work.clock()}
    last: datetime = work.execute(_LAST_RUN, parameters).scalar_one()
    return last


def _what_is_unknown(gateway: Gateway, redcap: Redcap, pause: Pause) -> str:
    """What REDCap holds that this system wrote, and the ledger did not know when the pause ended."""
    since = gateway.local(pause.since - _OVERLAP)
    records = _changed_records(gateway, redcap, since)
    with gateway.begin() as work:
        unknown = sorted(_with_unknown_series(work, records, pause.head))
        if unknown:
            return f"REDCap's Incoming holds series of {len(unknown)} studies, such as {unknown[0]}, {_UNKNOWN}"
        unknown = sorted(_with_unknown_ends(work, records))
        if unknown:
            return f"REDCap holds ended requests of {len(unknown)} studies, such as {unknown[0]}, {_UNKNOWN}"
    ids = list(_unknown_ids(gateway, redcap, since)) if redcap.has("autoid") else []
    return f"REDCap's AutoID holds {len(ids)} IDs, such as that of record {ids[0]}, {_UNKNOWN}" if ids else ""


_UNKNOWN: Final = "that this system alone writes and the ledger does not know."


def _changed_records(gateway: Gateway, redcap: Redcap, since: datetime) -> Mapping[str, ActualRecord]:
    """What REDCap holds of the studies that were changed since then."""
    rows = [
        row
        for name, fields in fields_by_project(redcap).items()
        for row in Project(redcap, name, gateway.looked_up, gateway.clock).export(fields, changed_since=since)
    ]
    return incoming.actual_records(rows, gateway.sender.information_codes)


# What was read from disk and not recorded as written is what a killed run left; what was read since the pause is not.
_KNOWN_SERIES = text("""
    select study, series from gateway.series where study = any(:studies) and delivered_position > 0
    union
    select study, series from gateway.adopted_series where study = any(:studies)
    union
    select data ->> 'StudyInstanceUID', data ->> 'SeriesInstanceUID' from ledger.event
     where stream = any(:streams) and type = 'SeriesDiscovered' and position <= :head
""")


def _with_unknown_series(work: Work, records: Mapping[str, ActualRecord], head: int) -> set[str]:
    there = {(study, series) for study, record in records.items() for series in record.series}
    streams = [study_stream(study) for study in records]
    known = work.execute(_KNOWN_SERIES, {"studies": list(records), "streams": streams, "head": head})
    return {study for study, _ in there - {(row.study, row.series) for row in known}}


def _with_unknown_ends(work: Work, records: Mapping[str, ActualRecord]) -> set[str]:
    ours, others = requests_of(work, list(records)), known_others(work, list(records))
    return {
        study
        for study, record in records.items()
        for row in record.transfers
        if is_end(row) and (study, row.instance) not in others and owner(row, ours.get(study, ())).request is None
    }


def is_end(row: TransferRow) -> bool:
    """Whether it reads as a row of ours that was closed: it names its project and nobody."""
    return bool(row.project and row.requested and not row.name)


_OTHERS = text("""
    select study, instance from gateway.adopted_transfer where study = any(:studies)
    union
    select study, instance from gateway.outcome where study = any(:studies) and not ours
""")


def known_others(work: Work, studies: list[str]) -> set[tuple[str, int]]:
    """The rows of transfers (study and instance) that the ledger knows as somebody else's."""
    return {(row.study, row.instance) for row in work.execute(_OTHERS, {"studies": studies})}


_KNOWN_RECORDS = text("select record_id from gateway.used_id where record_id = any(:records)")
_KNOWN_IDS = text("select project, fingerprint from gateway.used_id where project = any(:projects)")
_OWN_ENTRY = text("""
    select record_id, recorded_at from gateway.used_id
     where kind = 'generated' and record_id is not null order by position desc limit 1
""")


def _unknown_ids(gateway: Gateway, redcap: Redcap, since: datetime) -> Iterator[str]:
    """The records of AutoID that nobody else has made, as far as its log tells, and the ledger does not know."""
    fields = ("record_id", "autoid_project_name", "autoid_value")
    entries = redcap.export_records("autoid", fields=fields, changed_since=since)
    named = [row for row in entries if row["autoid_project_name"].strip() and row["autoid_value"].strip()]
    with gateway.begin() as work:
        projects = sorted({row["autoid_project_name"].strip() for row in named})
        known = {tuple(row) for row in work.execute(_KNOWN_IDS, {"projects": projects})}
        records = {"records": [row["record_id"] for row in named]}
        known_records = set(work.execute(_KNOWN_RECORDS, records).scalars())
        own = work.execute(_OWN_ENTRY).one_or_none()
    unknown = [
        row["record_id"] for row in named if row["record_id"] not in known_records and _id_of(gateway, row) not in known
    ]
    if unknown:
        others = set() if own is None else _made_by_others(gateway, redcap, own, since)
        yield from (record for record in unknown if record not in others)


def _id_of(gateway: Gateway, row: Mapping[str, str]) -> tuple[str, str]:
    project = row["autoid_project_name"].strip()
    return project, gateway.id_fingerprint(project, row["autoid_value"].strip())


def _made_by_others(gateway: Gateway, redcap: Redcap, own: Row[Any], since: datetime) -> set[str]:
    """The records that other users have written, by REDCap's log; none where it may not be read."""
    begin = gateway.local(own.recorded_at - _OVERLAP)
    try:
        written = redcap.export_log("autoid", since=begin, record=own.record_id)
        lines = redcap.export_log("autoid", since=since)
    except (Banned, Blocked):
        raise
    except ServiceError:
        return set()
    user = written[0].user if written else ""
    return {line.record for line in lines if user and line.user != user}
