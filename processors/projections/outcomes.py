"""Projection of what became of requests in REDCap: gateway.outcome.

A request of ours stands under the position of its TransferRequested, somebody else's under that of its
TransferObserved. What ended unsent is awaited no more; what
may have been sent is watched until the sender reports something, or a person has seen it.
"""

from collections.abc import Sequence

from sqlalchemy import text

from ledger.events import Told
from ledger.projector import Changes
from processors.events.deliveries import Acknowledged, RowMissing
from processors.events.transfers import (
    SenderReport,
    TransferAmended,
    TransferFailed,
    TransferObserved,
    TransferPlaced,
    TransferReopened,
    TransferSent,
    TransferWithdrawn,
)
from processors.projections.rows import Again, Parameters, Rules, Statement, on


class Outcomes:
    """One row a request that stands in REDCap, or of which the sender has reported something."""

    name = "outcomes"
    code_version = 5
    tables: Sequence[str] = ("gateway.outcome",)

    def __init__(self) -> None:
        self._rules = Rules(
            on(TransferPlaced, (_PLACE, _placed)),
            on(TransferAmended, (_SETTLE, _amended), (_PLACE, _placed)),
            on(TransferWithdrawn, (_SETTLE, _unsent), (_DOUBT, _possibly_sent)),
            on(RowMissing, (_SETTLE, _missing)),
            on(TransferObserved, (_OBSERVE, _observed)),
            on(TransferSent, (_REPORT_OURS, _of_ours), (_REPORT_THEIRS, _of_theirs)),
            on(TransferFailed, (_REPORT_OURS, _of_ours), (_REPORT_THEIRS, _of_theirs)),
            on(TransferReopened, (_REPORT_OURS, _of_ours), (_REPORT_THEIRS, _of_theirs)),
            on(Acknowledged, (_ACKNOWLEDGE, lambda acknowledged, _: [{"acknowledged": acknowledged.position}])),
        )
        self.types = self._rules.types

    def plan(self, events: Sequence[Told]) -> Changes:
        """What the events change, as if applied in order."""
        return self._rules.plan(events)


_OURS = ("request",)
_THEIRS = ("study", "instance")

_PLACE = Statement(
    "outcome",
    _OURS,
    text("""
        insert into gateway.outcome (request, ours, study, instance, state, position, at)
        select request, true, study, instance, 'awaited', position, at
          from json_to_recordset(cast(:rows as json)) as r (
               request bigint, study text, instance integer, position bigint, at timestamptz)
        on conflict (request, ours) do update
           set study = excluded.study, instance = excluded.instance, state = 'awaited', sent_at = null, errors = '{}',
               failure = null, position = excluded.position, at = excluded.at, acknowledged = false,
               told = outcome.told || array(
                   select excluded.instance || ' ' || sent_at from unnest(outcome.sent_dates) as known (sent_at))
    """),
)
# What was sent stays known, whatever becomes of the request afterwards.
_SETTLE = Statement(
    "outcome",
    _OURS,
    text("""
        delete from gateway.outcome as o
         using json_to_recordset(cast(:rows as json)) as r (request bigint)
         where o.ours and o.request = r.request and o.sends = 0
    """),
)
# The sender may hold a copy of its row: whatever it writes into that instance is about this request.
_DOUBT = Statement(
    "outcome",
    _OURS,
    text("""
        insert into gateway.outcome (request, ours, study, instance, state, position, at)
        select request, true, study, instance, 'possibly sent', position, at
          from json_to_recordset(cast(:rows as json)) as r (
               request bigint, study text, instance integer, position bigint, at timestamptz)
        on conflict (request, ours) do update
           set state = 'possibly sent', position = excluded.position, at = excluded.at, acknowledged = false
         where outcome.state in ('awaited', 'failed')
    """),
    Again.FIRST_COUNTS,
)
_OBSERVE = Statement(
    "outcome",
    _THEIRS,
    text("""
        insert into gateway.outcome (request, ours, study, instance, project, event_name, fingerprint, state, position,
                                     at)
        select position, false, study, instance, project, event_name, fingerprint, 'awaited', position, at
          from json_to_recordset(cast(:rows as json)) as r (
               study text, instance integer, project text, event_name text, fingerprint text, position bigint,
               at timestamptz)
        on conflict (study, instance) where not ours do update
           set request = excluded.request, project = excluded.project, event_name = excluded.event_name,
               fingerprint = excluded.fingerprint, state = 'awaited', sent_at = null, errors = '{}', failure = null,
               position = excluded.position, at = excluded.at, acknowledged = false
    """),
)
_REPORTS = """
    json_to_recordset(cast(:rows as json)) as r (
        request bigint, study text, instance integer, project text, event_name text, state text, sent_at text,
        errors text[], failure text, mapped_uids text[], position bigint, at timestamptz)
"""
# Each new date of a row is one sending: a study is sent again when a late series arrives. A date that was known when
# the request came to stand in the row is of the row before, which a person has copied. Under whatever study UIDs it
# was told to be sent, they have to be removed downstream where it should not have been.
_REPORTED = """
    state = excluded.state, sent_at = excluded.sent_at, errors = excluded.errors, failure = excluded.failure,
    mapped_uids = outcome.mapped_uids || array(
        select uid from unnest(excluded.mapped_uids) with ordinality as told (uid, place)
         where uid <> all(outcome.mapped_uids) order by place),
    sends = outcome.sends + case when outcome.told @> excluded.told then 0 else 1 end,
    sent_dates = case when outcome.told @> excluded.told then outcome.sent_dates
                      else outcome.sent_dates || excluded.sent_dates end,
    told = case when outcome.told @> excluded.told then outcome.told else outcome.told || excluded.told end,
    instance = excluded.instance,
    first_sent_at = coalesce(outcome.first_sent_at, excluded.first_sent_at),
    position = excluded.position, at = excluded.at, acknowledged = false
"""
_COUNTED = """
    case when state = 'sent' then 1 else 0 end, case when state = 'sent' then array[sent_at] else '{}' end,
    case when state = 'sent' then sent_at end,
    case when state = 'sent' then array[instance || ' ' || sent_at] else '{}' end
"""
# A run may have been killed before it could record where it placed the request.
_REPORT_OURS = Statement(
    "outcome",
    _OURS,
    text(f"""
        insert into gateway.outcome (request, ours, study, instance, state, sent_at, errors, failure, mapped_uids,
                                     position, at, sends, sent_dates, first_sent_at, told)
        select request, true, study, instance, state, sent_at, errors, failure, mapped_uids, position, at, {_COUNTED}
          from {_REPORTS}
        on conflict (request, ours) do update set {_REPORTED}
    """),
    Again.BOTH_COUNT,
)
# What stood there before this system is not observed, but adopted: then the sender is first to tell, and
# that row keeps the position of its first event.
_REPORT_THEIRS = Statement(
    "outcome",
    _THEIRS,
    text(f"""
        insert into gateway.outcome (request, ours, study, instance, project, event_name, state, sent_at, errors,
                                     failure, mapped_uids, position, at, sends, sent_dates, first_sent_at, told)
        select position, false, study, instance, project, event_name, state, sent_at, errors, failure, mapped_uids,
               position, at, {_COUNTED}
          from {_REPORTS}
        on conflict (study, instance) where not ours do update set {_REPORTED}
    """),
    Again.BOTH_COUNT,
)
_ACKNOWLEDGE = Statement(
    "outcome",
    (),
    text("""
        update gateway.outcome set acknowledged = true
          from json_to_recordset(cast(:rows as json)) as r (acknowledged bigint)
         where outcome.position = r.acknowledged and outcome.state <> 'awaited'
    """),
)


def _placed(placed: TransferPlaced | TransferAmended | TransferWithdrawn, event: Told) -> list[Parameters]:
    return [_told_by(event) | {"request": placed.request, "study": placed.study, "instance": placed.instance}]


def _amended(amended: TransferAmended, _: Told) -> list[Parameters]:
    return [{"request": amended.replaced}]


def _unsent(withdrawn: TransferWithdrawn, _: Told) -> list[Parameters]:
    return [{"request": withdrawn.request}] if withdrawn.fate == "unsent" else []


def _possibly_sent(withdrawn: TransferWithdrawn, event: Told) -> list[Parameters]:
    return _placed(withdrawn, event) if withdrawn.fate == "possibly sent" else []


def _missing(row: RowMissing, _: Told) -> list[Parameters]:
    return [{"request": int(row.key)}] if row.kind == "transfer" else []


def _observed(observed: TransferObserved, event: Told) -> list[Parameters]:
    return [
        _told_by(event)
        | {
            "study": observed.study,
            "instance": observed.instance,
            "project": observed.project,
            "event_name": observed.event_name,
            "fingerprint": observed.fingerprint,
        }
    ]


def _of_ours(report: SenderReport, event: Told) -> list[Parameters]:
    return [] if report.request is None else [_reported(report, event) | {"request": report.request}]


def _of_theirs(report: SenderReport, event: Told) -> list[Parameters]:
    if report.request is not None:
        return []
    return [_reported(report, event) | {"project": report.project, "event_name": report.event_name}]


def _reported(report: SenderReport, event: Told) -> Parameters:
    row: Parameters = _told_by(event) | {"study": report.study, "instance": report.instance}
    match report:
        case TransferSent():
            return row | {
                "state": "sent",
                "sent_at": report.sent_at,
                "errors": report.errors,
                "mapped_uids": report.mapped_uids,
            }
        case TransferFailed():
            return row | {
                "state": "failed",
                "sent_at": report.tried_at,
                "errors": report.errors,
                "failure": report.failure,
                "mapped_uids": (),
            }
    return row | {"state": "awaited", "errors": (), "mapped_uids": ()}


def _told_by(event: Told) -> Parameters:
    return {"position": event.position, "at": event.recorded_at}
