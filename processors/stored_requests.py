"""Transfer requests as the ledger holds them: the one reader of gateway.transfer for those who decide and deliver."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import Row, text

from processors.events.fact import Cause
from processors.gateway import Work
from processors.requests import AWAITED, IN_FORCE, Key, Report, State, TransferRequest, WrittenRow

IS_MISSING = """
    exists (select from gateway.missing_row as missing
             where missing.study = transfer.study
               and (missing.kind = 'study' or (missing.kind, missing.key) = ('transfer', transfer.position::text)))
"""
"""Whether people are known to have deleted or changed a request's row, or deleted its record."""

_REQUESTS = f"""
    select transfer.position, transfer.study, transfer.project, transfer.event_name, cause_kind, cause_record,
           cause_position,
           transfer.state, transfer.instance, found, placed_at, replaces, written.*,
           outcome.state as reported, outcome.sent_at, outcome.errors, outcome.failure, outcome.mapped_uids,
           coalesce(outcome.sends, 0) as sends, outcome.sent_dates[cardinality(outcome.sent_dates)] as last_sent_at,
           outcome.told,
           {IS_MISSING} as is_missing,
           exists (select from ledger.set_apart as apart
                    where apart.position = transfer.position and mended_position is null) as is_set_apart
      from gateway.transfer
      left join gateway.outcome on outcome.request = transfer.position and outcome.ours
      left join lateral (
           select array_agg(written.instance) as instances, array_agg(since) as sinces, array_agg(recalled) as recalls
             from gateway.written_transfer as written where written.request = transfer.position) as written on true
"""
_OF_STUDIES = text(f"{_REQUESTS} where transfer.study = any(:studies) and transfer.state = any(:states) order by 1")
_AT_POSITIONS = text(f"{_REQUESTS} where transfer.position = any(:positions) order by 1")

_EVERY_STATE: tuple[State, ...] = (*IN_FORCE, "ending", "withdrawn", "closed")


def requests_of(
    work: Work, studies: Collection[str], *, states: Collection[State] = _EVERY_STATE
) -> dict[str, list[TransferRequest]]:
    """The requests of these studies in these states, by study, oldest first."""
    by_study: dict[str, list[TransferRequest]] = defaultdict(list)
    rows = work.execute(_OF_STUDIES, {"studies": list(studies), "states": list(states)}).all()
    for request in _unsealed(work, rows):
        by_study[request.study].append(request)
    return by_study


def requests_at(work: Work, positions: Collection[int]) -> dict[int, TransferRequest]:
    """The requests made by the events at these positions."""
    if not positions:
        return {}
    rows = work.execute(_AT_POSITIONS, {"positions": list(positions)}).all()
    return {request.position: request for request in _unsealed(work, rows)}


def _unsealed(work: Work, rows: Collection[Row[Any]]) -> Iterable[TransferRequest]:
    events = work.identities([row.position for row in rows])
    for row in rows:
        event, payload = events[row.position]
        written = [
            WrittenRow(*each) for each in zip(row.instances or (), row.sinces or (), row.recalls or (), strict=True)
        ]
        yield TransferRequest(
            position=row.position,
            study=row.study,
            key=Key(row.project, row.event_name),
            pseudonym=payload.get("pseudonym"),
            name_fingerprint=event.data.get("name_fingerprint"),
            cause=Cause(row.cause_kind, row.cause_record, row.cause_position),
            requested_at=work.local(event.recorded_at),
            state=row.state,
            instance=row.instance,
            found=row.found,
            placed_at=row.placed_at,
            replaces=tuple(row.replaces),
            recalled=any(each.recalled for each in written if each.instance == row.instance),
            earlier=tuple(sorted(each for each in written if row.found or each.instance != row.instance)),
            sends=row.sends,
            sent_at=row.last_sent_at,
            sent_uids=tuple(row.mapped_uids or ()),
            told=frozenset(row.told or ()),
            is_missing=row.is_missing,
            is_set_apart=row.is_set_apart,
            report=_report(row),
        )


def _report(row: Row[Any]) -> Report:
    if row.reported is None:
        return AWAITED
    # What failed since was sent under study UIDs before: they are no part of the failure.
    mapped_uids = tuple(row.mapped_uids) if row.reported == "sent" else ()
    return Report(row.reported, row.sent_at, tuple(row.errors), row.failure, mapped_uids)
