"""Projection of what became of requests in REDCap: gateway.outcome.

A request of ours stands under the position of its TransferRequested, somebody else's under that of its
TransferObserved. What ended unsent is awaited no more; what
may have been sent is watched until the sender reports something, or a person has seen it.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, text

from ledger.events import Event
from processors.events.types import EventType
from processors.projections.rows import Again, Change, Each, Parameters, Rules, apply_rules


class Outcomes:
    """One row a request that stands in REDCap, or of which the sender has reported something."""

    name = "outcomes"
    code_version = 2
    tables: Sequence[str] = ("gateway.outcome",)

    def __init__(self) -> None:
        self._rules: Rules = {
            EventType.TRANSFER_PLACED: [Each(_PLACE, _placed)],
            EventType.TRANSFER_AMENDED: [Each(_SETTLE, _amended), Each(_PLACE, _placed)],
            EventType.TRANSFER_WITHDRAWN: [Each(_SETTLE, _withdrawn), Each(_DOUBT, _possibly_sent)],
            EventType.ROW_MISSING: [Each(_SETTLE, _missing)],
            EventType.TRANSFER_OBSERVED: [Each(_OBSERVE, _observed)],
            EventType.TRANSFER_SENT: [Each(_REPORT_OURS, _of_ours), Each(_REPORT_THEIRS, _of_theirs)],
            EventType.TRANSFER_FAILED: [Each(_REPORT_OURS, _of_ours), Each(_REPORT_THEIRS, _of_theirs)],
            EventType.TRANSFER_REOPENED: [Each(_REPORT_OURS, _of_ours), Each(_REPORT_THEIRS, _of_theirs)],
            EventType.ACKNOWLEDGED: [Each(_ACKNOWLEDGE, lambda event: [{"acknowledged": event.data["position"]}])],
        }
        self.types = frozenset(self._rules)

    def apply(self, connection: Connection, events: Sequence[Event]) -> None:
        """Applies the events in order."""
        apply_rules(connection, events, self._rules)


_OURS = ("request",)
_THEIRS = ("study", "instance")

_PLACE = Change(
    "outcome",
    _OURS,
    text("""
        insert into gateway.outcome (request, ours, study, instance, state, position, at)
        select request, true, study, instance, 'awaited', position, at
          from json_to_recordset(cast(:rows as json)) as r (
               request bigint, study text, instance integer, position bigint, at timestamptz)
        on conflict (request, ours) do update
           set study = excluded.study, instance = excluded.instance, state = 'awaited', sent_at = null, errors = '{}',
               failure = null, position = excluded.position, at = excluded.at, acknowledged = false
    """),
)
# What was sent stays known, whatever becomes of the request afterwards.
_SETTLE = Change(
    "outcome",
    _OURS,
    text("""
        delete from gateway.outcome as o
         using json_to_recordset(cast(:rows as json)) as r (request bigint)
         where o.ours and o.request = r.request and o.state <> 'sent'
    """),
)
# The sender may hold a copy of its row: whatever it writes into that instance is about this request.
_DOUBT = Change(
    "outcome",
    _OURS,
    text("""
        insert into gateway.outcome (request, ours, study, instance, state, position, at)
        select request, true, study, instance, 'possibly sent', position, at
          from json_to_recordset(cast(:rows as json)) as r (
               request bigint, study text, instance integer, position bigint, at timestamptz)
        on conflict (request, ours) do update
           set state = 'possibly sent', position = excluded.position, at = excluded.at, acknowledged = false
         where outcome.state = 'awaited'
    """),
)
_OBSERVE = Change(
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
# Each date is one sending: a study is sent again when a late series arrives.
_REPORTED = """
    state = excluded.state, sent_at = excluded.sent_at, errors = excluded.errors, failure = excluded.failure,
    mapped_uids = case when excluded.state = 'sent' then excluded.mapped_uids else outcome.mapped_uids end,
    sends = outcome.sends + excluded.sends,
    first_sent_at = coalesce(outcome.first_sent_at, excluded.first_sent_at),
    position = excluded.position, at = excluded.at, acknowledged = false
"""
_COUNTED = "case when state = 'sent' then 1 else 0 end, case when state = 'sent' then sent_at end"
# A run may have been killed before it could record where it placed the request.
_REPORT_OURS = Change(
    "outcome",
    _OURS,
    text(f"""
        insert into gateway.outcome (request, ours, study, instance, state, sent_at, errors, failure, mapped_uids,
                                     position, at, sends, first_sent_at)
        select request, true, study, instance, state, sent_at, errors, failure, mapped_uids, position, at, {_COUNTED}
          from {_REPORTS}
        on conflict (request, ours) do update set {_REPORTED}
    """),
    Again.BOTH_COUNT,
)
# What stood there before this system is not observed, but adopted: then the sender is first to tell, and
# that row keeps the position of its first event.
_REPORT_THEIRS = Change(
    "outcome",
    _THEIRS,
    text(f"""
        insert into gateway.outcome (request, ours, study, instance, project, event_name, state, sent_at, errors,
                                     failure, mapped_uids, position, at, sends, first_sent_at)
        select position, false, study, instance, project, event_name, state, sent_at, errors, failure, mapped_uids,
               position, at, {_COUNTED}
          from {_REPORTS}
        on conflict (study, instance) where not ours do update set {_REPORTED}
    """),
    Again.BOTH_COUNT,
)
_ACKNOWLEDGE = Change(
    "outcome",
    (),
    text("""
        update gateway.outcome set acknowledged = true
          from json_to_recordset(cast(:rows as json)) as r (acknowledged bigint)
         where outcome.position = r.acknowledged and outcome.state <> 'awaited'
    """),
)

_STATES = {
    EventType.TRANSFER_SENT: "sent",
    EventType.TRANSFER_FAILED: "failed",
    EventType.TRANSFER_REOPENED: "awaited",
}


def _placed(event: Event) -> list[Parameters]:
    keys = ("request", "study", "instance")
    return [{key: event.data[key] for key in keys} | {"position": event.position, "at": event.recorded_at}]


def _amended(event: Event) -> list[Parameters]:
    return [{"request": event.data["replaced"]}]


def _withdrawn(event: Event) -> list[Parameters]:
    return [{"request": event.data["request"]}] if event.data["fate"] == "unsent" else []


def _possibly_sent(event: Event) -> list[Parameters]:
    return _placed(event) if event.data["fate"] == "possibly sent" else []


def _missing(event: Event) -> list[Parameters]:
    return [{"request": int(event.data["key"])}] if event.data["kind"] == "transfer" else []


def _observed(event: Event) -> list[Parameters]:
    keys = ("study", "instance", "project", "event_name", "fingerprint")
    return [{key: event.data[key] for key in keys} | {"position": event.position, "at": event.recorded_at}]


def _of_ours(event: Event) -> list[Parameters]:
    return [] if event.data["request"] is None else [_reported(event) | {"request": event.data["request"]}]


def _of_theirs(event: Event) -> list[Parameters]:
    if event.data["request"] is not None:
        return []
    return [_reported(event) | {key: event.data[key] for key in ("project", "event_name")}]


def _reported(event: Event) -> Parameters:
    return {
        "study": event.data["study"],
        "instance": event.data["instance"],
        "state": _STATES[EventType(event.type)],
        "sent_at": event.data.get("sent_at") or event.data.get("tried_at"),
        "errors": event.data.get("errors", []),
        "failure": event.data.get("failure"),
        "mapped_uids": event.data.get("mapped_uids", []),
        "position": event.position,
        "at": event.recorded_at,
    }
