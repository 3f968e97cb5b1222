"""Projection of decisions and what became of them: gateway.transfer, decision_by_hand, conflict and others."""

from collections.abc import Sequence

import orjson
from sqlalchemy import Connection, text

from ledger import codec
from ledger.events import Event
from processors.events.types import EventType
from processors.projections.rows import Again, Change, Each, Parameters, Rules, apply_rules


class Transfers:
    """One row a transfer request, in the state that its latest event left it in."""

    name = "transfers"
    code_version = 2
    tables: Sequence[str] = (
        "gateway.transfer",
        "gateway.conflict",
        "gateway.rule_failure",
        "gateway.notice",
        "gateway.decision",
        "gateway.decision_by_hand",
    )

    def __init__(self) -> None:
        self._rules: Rules = {
            EventType.TRANSFER_REQUESTED: [
                Each(_INSERT, _request),
                Each(_SET_STATE, _replaced),
                Each(_NOTICE, _partial_match),
            ],
            EventType.TRANSFER_RETRACTED: [Each(_SET_STATE, lambda event: _state(event, "retracting"))],
            EventType.TRANSFER_PLACED: [Each(_PLACE, _placed)],
            EventType.TRANSFER_AMENDED: [Each(_PLACE, _placed)],
            EventType.TRANSFER_REPLACED: [
                Each(_SET_STATE, lambda event: _state(event, "replaced")),
                Each(_NOTICE, lambda event: _if_sent(event, "replaced after it was sent")),
            ],
            EventType.RETRACTION_DELIVERED: [
                Each(_SET_STATE, lambda event: _state(event, "retracted")),
                Each(_NOTICE, lambda event: _if_sent(event, "retracted after it was sent")),
            ],
            EventType.CONFLICT_FOUND: [Each(_UPSERT_CONFLICT, _conflict), Each(_SET_STATE, _contested)],
            EventType.CONFLICT_RESOLVED: [Each(_DELETE_CONFLICT, _conflict_key)],
            EventType.RULE_TIMED_OUT: [Each(_UPSERT_FAILURE, _failure)],
            EventType.RULE_TIMEOUT_RESOLVED: [Each(_DELETE_FAILURE, _failure)],
            EventType.DECISIONS_MADE: [Each(_UPSERT_DECISION, _decision)],
            EventType.DECIDED_BY_HAND: [Each(_UPSERT_BY_HAND, _by_hand)],
            EventType.LOST_UPDATE_FOUND: [Each(_NOTICE, _clash)],
            EventType.ACKNOWLEDGED: [Each(_DELETE_NOTICE, lambda event: [{"position": event.data["position"]}])],
        }
        self.types = frozenset(self._rules)

    def apply(self, connection: Connection, events: Sequence[Event]) -> None:
        """Applies the events in order."""
        apply_rules(connection, events, self._rules)


_INSERT = Change(
    "transfer",
    ("position",),
    text("""
        insert into gateway.transfer (position, study, project, event_name, cause_kind, cause_record,
                                      cause_position, whole_match, replaces, state, instance, found, placed_at)
        select position, study, project, event_name, cause_kind, cause_record, cause_position, whole_match, replaces,
               coalesce(state, 'requested'), instance, coalesce(found, false), placed_at
          from json_to_recordset(cast(:rows as json)) as r (
               position bigint, study text, project text, event_name text, cause_kind text, cause_record text,
               cause_position bigint, whole_match boolean, replaces bigint[], state text, instance integer,
               found boolean, placed_at timestamptz)
    """),
    Again.BOTH_COUNT,
)
_SET_STATE = Change(
    "transfer",
    ("request",),
    text("""
        update gateway.transfer set state = r.state
          from json_to_recordset(cast(:rows as json)) as r (request bigint, state text)
         where transfer.position = r.request
    """),
    taken_up_by=_INSERT,
)
_PLACE = Change(
    "transfer",
    ("request",),
    text("""
        update gateway.transfer set state = r.state, instance = r.instance, found = r.found, placed_at = r.placed_at
          from json_to_recordset(cast(:rows as json)) as r (
               request bigint, state text, instance integer, found boolean, placed_at timestamptz)
         where transfer.position = r.request
    """),
    taken_up_by=_INSERT,
)
_SUBJECT = ("study", "project", "event_name")
_UPSERT_CONFLICT = Change(
    "conflict",
    _SUBJECT,
    text("""
        insert into gateway.conflict (study, project, event_name, kind, position, details)
        select study, project, event_name, kind, position, details
          from json_to_recordset(cast(:rows as json)) as r (
               study text, project text, event_name text, kind text, position bigint, details json)
        on conflict (study, project, event_name) do update
           set kind = excluded.kind, position = excluded.position, details = excluded.details
    """),
)
_DELETE_CONFLICT = Change(
    "conflict",
    _SUBJECT,
    text("""
        delete from gateway.conflict as c
         using json_to_recordset(cast(:rows as json)) as r (study text, project text, event_name text)
         where c.study = r.study and c.project = r.project and c.event_name = r.event_name
    """),
)
_FAILURE = ("record_id", "study")
_UPSERT_FAILURE = Change(
    "rule_failure",
    _FAILURE,
    text("""
        insert into gateway.rule_failure (record_id, study, position)
        select record_id, study, position
          from json_to_recordset(cast(:rows as json)) as r (record_id text, study text, position bigint)
        on conflict (record_id, study) do update set position = excluded.position
    """),
)
_DELETE_FAILURE = Change(
    "rule_failure",
    _FAILURE,
    text("""
        delete from gateway.rule_failure as f
         using json_to_recordset(cast(:rows as json)) as r (record_id text, study text)
         where f.record_id = r.record_id and f.study = r.study
    """),
)
_NOTICE = Change(
    "notice",
    ("position",),
    text("""
        insert into gateway.notice (position, kind, study, project, details)
        select position, kind, study, project, details
          from json_to_recordset(cast(:rows as json)) as r (
               position bigint, kind text, study text, project text, details json)
    """),
    Again.BOTH_COUNT,
)
_DELETE_NOTICE = Change(
    "notice",
    ("position",),
    text("""
        delete from gateway.notice as n
         using json_to_recordset(cast(:rows as json)) as r (position bigint)
         where n.position = r.position
    """),
)
_UPSERT_DECISION = Change(
    "decision",
    ("site",),
    text("""
        insert into gateway.decision (site, position)
        select site, position
          from json_to_recordset(cast(:rows as json)) as r (site text, position bigint)
        on conflict (site) do update set position = excluded.position
    """),
)
_UPSERT_BY_HAND = Change(
    "decision_by_hand",
    _SUBJECT,
    text("""
        insert into gateway.decision_by_hand (study, project, event_name, position)
        select study, project, event_name, position
          from json_to_recordset(cast(:rows as json)) as r (study text, project text, event_name text, position bigint)
        on conflict (study, project, event_name) do update set position = excluded.position
    """),
)


def _request(event: Event) -> list[Parameters]:
    cause = event.data["cause"]
    return [
        {
            "position": event.position,
            "study": event.data["study"],
            "project": event.data["project"],
            "event_name": event.data["event_name"],
            "cause_kind": cause["kind"],
            "cause_record": cause["record_id"],
            "cause_position": cause["position"],
            "whole_match": event.data["whole_match"],
            "replaces": event.data["replaces"],
        }
    ]


def _replaced(event: Event) -> list[Parameters]:
    """Those are no longer delivered by themselves: the delivery of this one settles what REDCap holds of them."""
    return [{"request": request, "state": "replaced"} for request in event.data["replaces"]]


def _partial_match(event: Event) -> list[Parameters]:
    if event.data["whole_match"]:
        return []
    cause = event.data["cause"]
    return [_notice(event, "pattern matched the start only", {"rule": cause["record_id"]})]


def _if_sent(event: Event, kind: str) -> list[Parameters]:
    if not event.data["sent"]:
        return []
    return [_notice(event, kind, {"request": event.data["request"]})]


def _clash(event: Event) -> list[Parameters]:
    where: Parameters = {key: event.data[key] for key in ("request", "series", "instance") if key in event.data}
    return [_notice(event, "written over by this system", where)]


def _notice(event: Event, kind: str, details: Parameters) -> Parameters:
    return {
        "position": event.position,
        "kind": kind,
        "study": event.data["study"],
        "project": event.data["project"],
        "details": orjson.Fragment(codec.encode(details)),
    }


def _state(event: Event, state: str) -> list[Parameters]:
    return [{"request": event.data["request"], "state": state}]


def _contested(event: Event) -> list[Parameters]:
    return _state(event, "contested") if event.data.get("request") else []


def _placed(event: Event) -> list[Parameters]:
    return [
        {
            "request": event.data["request"],
            "state": "placed",
            "instance": event.data["instance"],
            "found": event.data.get("found", False),
            "placed_at": event.recorded_at,
        }
    ]


def _conflict_key(event: Event) -> list[Parameters]:
    return [{key: event.data[key] for key in _SUBJECT}]


def _conflict(event: Event) -> list[Parameters]:
    (key,) = _conflict_key(event)
    return [
        key
        | {
            "kind": event.data["kind"],
            "position": event.position,
            "details": orjson.Fragment(codec.encode({"causes": event.data["causes"]})),
        }
    ]


def _by_hand(event: Event) -> list[Parameters]:
    (key,) = _conflict_key(event)
    return [key | {"position": event.position}]


def _failure(event: Event) -> list[Parameters]:
    return [{"record_id": event.data["record_id"], "study": event.data["study"], "position": event.position}]


def _decision(event: Event) -> list[Parameters]:
    return [{"site": event.data["site"], "position": event.data["position"]}]
