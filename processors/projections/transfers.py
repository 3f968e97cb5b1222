"""Projection of decisions and what became of them: gateway.transfer, decision_by_hand, conflict and others."""

from collections.abc import Sequence

import orjson
from sqlalchemy import Connection, text

from ledger import codec
from ledger.events import Event
from processors.events.types import EventType
from processors.projections.rows import Again, Change, Each, Parameters, Rules, apply_rules
from processors.projections.statements import Table


class Transfers:
    """One row a transfer request, in the state that its latest event left it in."""

    name = "transfers"
    code_version = 3
    tables: Sequence[str] = (
        "gateway.transfer",
        "gateway.conflict",
        "gateway.deferred_decision",
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
            EventType.TRANSFER_RETRACTED: [Each(_SET_STATE, lambda event: _state(event, "ending"))],
            EventType.TRANSFER_PLACED: [Each(_PLACE, _placed)],
            EventType.TRANSFER_AMENDED: [Each(_PLACE, _placed), Each(_SET_STATE, _amended)],
            EventType.TRANSFER_WITHDRAWN: [Each(_SET_STATE, _ended), Each(_NOTICE, _if_sent)],
            EventType.TRANSFER_STRAYED: [Each(_SET_STATE, lambda event: _state(event, "ending"))],
            EventType.TRANSFER_RECALLED: [Each(_RECALL, lambda event: [{"request": event.data["request"]}])],
            EventType.CONFLICT_FOUND: [Each(_UPSERT_CONFLICT, _conflict), Each(_CONTEST, _contested)],
            EventType.CONFLICT_RESOLVED: [Each(_DELETE_CONFLICT, _conflict_key)],
            EventType.DECISION_DEFERRED: [Each(_UPSERT_DEFERRED, _deferred)],
            EventType.DECISION_RESUMED: [Each(_DELETE_DEFERRED, _conflict_key)],
            EventType.RULE_TIMED_OUT: [Each(_UPSERT_FAILURE, _failure)],
            EventType.RULE_TIMEOUT_RESOLVED: [Each(_DELETE_FAILURE, _failure)],
            EventType.DECISIONS_MADE: [Each(_UPSERT_DECISION, _decision)],
            EventType.DECIDED_BY_HAND: [Each(_UPSERT_BY_HAND, _by_hand)],
            EventType.LOST_UPDATE_FOUND: [Each(_NOTICE, _lost_update)],
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
                                      cause_position, whole_match, replaces, state, instance, found, placed_at,
                                      ended_position)
        select position, study, project, event_name, cause_kind, cause_record, cause_position, whole_match, replaces,
               case when placed and coalesce(state, 'requested') in ('requested', 'contested') then 'placed'
                    else coalesce(state, 'requested') end, instance, coalesce(found, false), placed_at, ended_position
          from json_to_recordset(cast(:rows as json)) as r (
               position bigint, study text, project text, event_name text, cause_kind text, cause_record text,
               cause_position bigint, whole_match boolean, replaces bigint[], state text, instance integer,
               placed boolean, found boolean, placed_at timestamptz, ended_position bigint)
    """),
    Again.BOTH_COUNT,
)
_SET_STATE = Change(
    "transfer",
    ("request",),
    text("""
        update gateway.transfer set state = r.state, ended_position = r.ended_position
          from json_to_recordset(cast(:rows as json)) as r (request bigint, state text, ended_position bigint)
         where transfer.position = r.request
    """),
    taken_up_by=_INSERT,
)
# What was retracted or replaced while another site's import was under way stays so, and is to be ended.
_PLACE = Change(
    "transfer",
    ("request",),
    text("""
        update gateway.transfer
           set state = case when transfer.state in ('requested', 'contested') then 'placed' else transfer.state end,
               instance = r.instance, found = r.found, placed_at = r.placed_at
          from json_to_recordset(cast(:rows as json)) as r (
               request bigint, instance integer, found boolean, placed_at timestamptz)
         where transfer.position = r.request
    """),
    taken_up_by=_INSERT,
)
_CONTEST = Change(
    "transfer",
    ("request",),
    text("""
        update gateway.transfer set state = 'contested'
          from json_to_recordset(cast(:rows as json)) as r (request bigint)
         where transfer.position = r.request and transfer.state in ('requested', 'placed')
    """),
)
_RECALL = Change(
    "transfer",
    ("request",),
    text("""
        update gateway.transfer set recalled = true
          from json_to_recordset(cast(:rows as json)) as r (request bigint)
         where transfer.position = r.request
    """),
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
_DEFERRED = Table(
    name="deferred_decision",
    key=_SUBJECT,
    columns={
        "study": "text",
        "project": "text",
        "event_name": "text",
        "position": "bigint",
        "details": "json",
    },
)
_UPSERT_DEFERRED = _DEFERRED.upsert()
_DELETE_DEFERRED = _DEFERRED.delete()
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
    """What may stand of them in REDCap has still to be ended."""
    return [_with_state(request, "ending") for request in event.data["replaces"]]


def _amended(event: Event) -> list[Parameters]:
    """The row says something else now: nothing is left of the request that it was."""
    return [_with_state(event.data["replaced"], "withdrawn") | {"ended_position": event.position}]


def _ended(event: Event) -> list[Parameters]:
    state = "withdrawn" if event.data["fate"] == "unsent" else "closed"
    return [_with_state(event.data["request"], state) | {"ended_position": event.position}]


def _partial_match(event: Event) -> list[Parameters]:
    if event.data["whole_match"]:
        return []
    cause = event.data["cause"]
    return [_notice(event, "pattern matched the start only", {"rule": cause["record_id"]})]


def _if_sent(event: Event) -> list[Parameters]:
    if event.data["fate"] != "sent":
        return []
    kind = "retracted after it was sent" if event.data["by"] is None else "replaced after it was sent"
    return [_notice(event, kind, {"request": event.data["request"]})]


def _lost_update(event: Event) -> list[Parameters]:
    keys = ("request", "series", "instance")
    where: Parameters = {key: event.data[key] for key in keys if event.data.get(key) is not None}
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
    return [_with_state(event.data["request"], state)]


def _with_state(request: int, state: str) -> Parameters:
    # Joined with the insert of the same row: a placement before counts no more, one after it does.
    return {"request": request, "state": state, "placed": False, "ended_position": None}


def _contested(event: Event) -> list[Parameters]:
    return [{"request": event.data["request"]}] if event.data.get("request") else []


def _placed(event: Event) -> list[Parameters]:
    return [
        {
            "request": event.data["request"],
            "placed": True,
            "instance": event.data["instance"],
            "found": event.data.get("found", False),
            "placed_at": event.recorded_at,
        }
    ]


def _conflict_key(event: Event) -> list[Parameters]:
    return [{key: event.data[key] for key in _SUBJECT}]


def _causes(event: Event) -> orjson.Fragment:
    return orjson.Fragment(codec.encode({"causes": event.data["causes"]}))


def _deferred(event: Event) -> list[Parameters]:
    (key,) = _conflict_key(event)
    return [key | {"position": event.position, "details": _causes(event)}]


def _conflict(event: Event) -> list[Parameters]:
    (key,) = _conflict_key(event)
    return [
        key
        | {
            "kind": event.data["kind"],
            "position": event.position,
            "details": _causes(event),
        }
    ]


def _by_hand(event: Event) -> list[Parameters]:
    (key,) = _conflict_key(event)
    return [key | {"position": event.position}]


def _failure(event: Event) -> list[Parameters]:
    return [{"record_id": event.data["record_id"], "study": event.data["study"], "position": event.position}]


def _decision(event: Event) -> list[Parameters]:
    return [{"site": event.data["site"], "position": event.data["position"]}]
