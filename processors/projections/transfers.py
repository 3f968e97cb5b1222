"""Projection of decisions and what became of them: gateway.transfer, held_request, conflict and others."""

from collections.abc import Sequence

import orjson
from sqlalchemy import text

from ledger import codec
from ledger.events import Told
from ledger.projector import Changes
from processors.events.deliveries import Acknowledged, LostUpdateFound
from processors.events.holds import RequestHeld, RequestQuestioned, RequestReleased
from processors.events.patients import StudyChangeFound, TwoNamesFound
from processors.events.rules import (
    ConflictFound,
    ConflictResolved,
    DecidedByHand,
    DecisionDeferred,
    DecisionResumed,
    DecisionsMade,
    RuleTimedOut,
    RuleTimeoutResolved,
)
from processors.events.transfers import (
    DoubleFound,
    TransferAmended,
    TransferPlaced,
    TransferRecalled,
    TransferRequested,
    TransferRetracted,
    TransferStrayed,
    TransferWithdrawn,
)
from processors.projections.rows import Again, Parameters, Rules, Statement, on
from processors.projections.statements import Table


class Transfers:
    """One row a transfer request, in the state that its latest event left it in."""

    name = "transfers"
    code_version = 9
    tables: Sequence[str] = (
        "gateway.transfer",
        "gateway.written_transfer",
        "gateway.held_request",
        "gateway.conflict",
        "gateway.rule_failure",
        "gateway.notice",
        "gateway.decision",
        "gateway.decision_by_hand",
        "gateway.deferred_decision",
    )

    def __init__(self) -> None:
        self._rules = Rules(
            on(TransferRequested, (_INSERT, _requested), (_SET_STATE, _replaced), (_NOTICE, _partial_match)),
            on(RequestHeld, (_UPSERT_HELD, _held)),
            on(RequestQuestioned, (_NOTICE, _questioned)),
            on(RequestReleased, (_DELETE_HELD, _decided)),
            on(TransferRetracted, (_SET_STATE, _to_be_ended)),
            on(TransferPlaced, (_PLACE, _placed), (_WRITE, _written)),
            on(TransferAmended, (_PLACE, _placed), (_WRITE, _written), (_SET_STATE, _amended)),
            on(DoubleFound, (_WRITE, _written)),
            on(TransferWithdrawn, (_WITHDRAW, _ended), (_NOTICE, _if_sent)),
            on(TransferStrayed, (_SET_STATE, _to_be_ended)),
            on(TransferRecalled, (_RECALL, _recalled)),
            on(StudyChangeFound, (_NOTICE, _study_changed)),
            on(TwoNamesFound, (_NOTICE, _two_names)),
            on(ConflictFound, (_UPSERT_CONFLICT, _conflict), (_CONTEST, _contested)),
            on(ConflictResolved, (_DELETE_CONFLICT, _decided)),
            on(DecisionDeferred, (_UPSERT_DEFERRED, _deferred)),
            on(DecisionResumed, (_DELETE_DEFERRED, _decided)),
            on(RuleTimedOut, (_UPSERT_FAILURE, _failure)),
            on(RuleTimeoutResolved, (_DELETE_FAILURE, _failure)),
            on(DecisionsMade, (_UPSERT_DECISION, lambda made, _: [{"site": made.site, "position": made.position}])),
            on(DecidedByHand, (_UPSERT_BY_HAND, _decided)),
            on(LostUpdateFound, (_NOTICE, _lost_update)),
            on(Acknowledged, (_DELETE_NOTICE, lambda acknowledged, _: [{"position": acknowledged.position}])),
        )
        self.types = self._rules.types

    def plan(self, events: Sequence[Told]) -> Changes:
        """What the events change, as if applied in order."""
        return self._rules.plan(events)


_INSERT = Statement(
    "transfer",
    ("position",),
    text("""
        insert into gateway.transfer (position, study, project, event_name, cause_kind, cause_record,
                                      cause_position, whole_match, replaces, state, instance, found, placed_at,
                                      ended_position)
        select position, study, project, event_name, cause_kind, cause_record, cause_position, whole_match, replaces,
               coalesce(state, case when placed then 'placed' else 'requested' end), instance, coalesce(found, false),
               placed_at, ended_position
          from json_to_recordset(cast(:rows as json)) as r (
               position bigint, study text, project text, event_name text, cause_kind text, cause_record text,
               cause_position bigint, whole_match boolean, replaces bigint[], state text, instance integer,
               placed boolean, found boolean, placed_at timestamptz, ended_position bigint)
    """),
    Again.BOTH_COUNT,
)
_SET_STATE = Statement(
    "transfer",
    ("request",),
    text("""
        update gateway.transfer set state = r.state, ended_position = r.ended_position
          from json_to_recordset(cast(:rows as json)) as r (request bigint, state text, ended_position bigint)
         where transfer.position = r.request
    """),
    taken_up_by=_INSERT,
)
# A run that was cut off may have written a row nobody recorded. What the sender writes there tells of this request.
_WITHDRAW = Statement(
    "transfer",
    ("request",),
    text("""
        update gateway.transfer
           set state = r.state, ended_position = r.ended_position, instance = coalesce(transfer.instance, r.instance)
          from json_to_recordset(cast(:rows as json)) as r (
               request bigint, state text, ended_position bigint, instance integer)
         where transfer.position = r.request
    """),
    again=Again.BOTH_COUNT,
)
# What was retracted or replaced while another site's import was under way stays so, and is to be ended.
_PLACE = Statement(
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
_CONTEST = Statement(
    "transfer",
    ("request",),
    text("""
        update gateway.transfer set state = 'contested'
          from json_to_recordset(cast(:rows as json)) as r (request bigint)
         where transfer.position = r.request and transfer.state in ('requested', 'placed')
    """),
)
_WRITTEN = Table(
    name="written_transfer",
    key=("request", "instance"),
    columns={"request": "bigint", "instance": "integer", "since": "timestamptz", "recalled": "boolean"},
)
# Its file is made anew once it stands there again.
_WRITE = _WRITTEN.upsert(but={"since": "least(written_transfer.since, excluded.since)"}, again=Again.BOTH_COUNT)
_RECALL = _WRITTEN.upsert(but={"since": "written_transfer.since"}, again=Again.BOTH_COUNT)
_SUBJECT = ("study", "project", "event_name")
_HELD = Table(
    name="held_request",
    key=_SUBJECT,
    columns={
        "study": "text",
        "project": "text",
        "event_name": "text",
        "position": "bigint",
        "kind": "text",
        "details": "text",
        "studies": "text[]",
        "cause_kind": "text",
        "cause_record": "text",
        "cause_position": "bigint",
        "since_position": "bigint",
        "name_fingerprint": "text",
        "patient": "uuid",
    },
)
# For another reason, it is held anew.
_UPSERT_HELD = _HELD.upsert(
    but={
        "since_position": "case when held_request.kind = excluded.kind then held_request.since_position"
        " else excluded.since_position end"
    },
    again=Again.BOTH_COUNT,
)
_DELETE_HELD = _HELD.delete()
_UPSERT_CONFLICT = Statement(
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
_DELETE_CONFLICT = Statement(
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
# Since its first deferral it has been open, whatever it depends on by now.
_UPSERT_DEFERRED = Statement(
    "deferred_decision",
    _SUBJECT,
    text("""
        insert into gateway.deferred_decision (study, project, event_name, position, details)
        select study, project, event_name, position, details
          from json_to_recordset(cast(:rows as json)) as r (
               study text, project text, event_name text, position bigint, details json)
        on conflict (study, project, event_name) do update set details = excluded.details
    """),
    Again.BOTH_COUNT,
)
_DELETE_DEFERRED = _DEFERRED.delete()
_FAILURE = ("record_id", "study")
_UPSERT_FAILURE = Statement(
    "rule_failure",
    _FAILURE,
    text("""
        insert into gateway.rule_failure (record_id, study, position)
        select record_id, study, position
          from json_to_recordset(cast(:rows as json)) as r (record_id text, study text, position bigint)
        on conflict (record_id, study) do update set position = excluded.position
    """),
)
_DELETE_FAILURE = Statement(
    "rule_failure",
    _FAILURE,
    text("""
        delete from gateway.rule_failure as f
         using json_to_recordset(cast(:rows as json)) as r (record_id text, study text)
         where f.record_id = r.record_id and f.study = r.study
    """),
)
_NOTICE = Statement(
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
_DELETE_NOTICE = Statement(
    "notice",
    ("position",),
    text("""
        delete from gateway.notice as n
         using json_to_recordset(cast(:rows as json)) as r (position bigint)
         where n.position = r.position
    """),
)
_UPSERT_DECISION = Statement(
    "decision",
    ("site",),
    text("""
        insert into gateway.decision (site, position)
        select site, position
          from json_to_recordset(cast(:rows as json)) as r (site text, position bigint)
        on conflict (site) do update set position = excluded.position
    """),
)
_UPSERT_BY_HAND = Statement(
    "decision_by_hand",
    _SUBJECT,
    text("""
        insert into gateway.decision_by_hand (study, project, event_name, position)
        select study, project, event_name, position
          from json_to_recordset(cast(:rows as json)) as r (study text, project text, event_name text, position bigint)
        on conflict (study, project, event_name) do update set position = excluded.position
    """),
)


def _requested(requested: TransferRequested, event: Told) -> list[Parameters]:
    return [
        {
            "position": event.position,
            "study": requested.study,
            "project": requested.project,
            "event_name": requested.event_name,
            "cause_kind": requested.cause.kind,
            "cause_record": requested.cause.record_id,
            "cause_position": requested.cause.position,
            "whole_match": requested.whole_match,
            "replaces": requested.replaces,
        }
    ]


def _held(held: RequestHeld, event: Told) -> list[Parameters]:
    return [
        {
            "study": held.study,
            "project": held.project,
            "event_name": held.event_name,
            "position": event.position,
            "kind": held.kind,
            "details": held.details,
            "studies": held.studies,
            "cause_kind": held.cause.kind,
            "cause_record": held.cause.record_id,
            "cause_position": held.cause.position,
            "since_position": event.position,
            "name_fingerprint": held.name_fingerprint,
            "patient": held.patient,
        }
    ]


def _replaced(requested: TransferRequested, _: Told) -> list[Parameters]:
    """What may stand of them in REDCap has still to be ended."""
    return [_state(request, "ending") for request in requested.replaces]


def _to_be_ended(transfer: TransferRetracted | TransferStrayed, _: Told) -> list[Parameters]:
    return [_state(transfer.request, "ending")]


def _amended(amended: TransferAmended, event: Told) -> list[Parameters]:
    """The row says something else now: nothing is left of the request that it was."""
    return [_state(amended.replaced, "withdrawn", event.position)]


def _ended(withdrawn: TransferWithdrawn, event: Told) -> list[Parameters]:
    state = "withdrawn" if withdrawn.fate == "unsent" else "closed"
    return [_state(withdrawn.request, state, event.position) | {"instance": withdrawn.instance}]


def _state(request: int, state: str, ended_position: int | None = None) -> Parameters:
    return {"request": request, "state": state, "ended_position": ended_position}


def _placed(placed: TransferPlaced | TransferAmended, event: Told) -> list[Parameters]:
    return [
        {
            "request": placed.request,
            "placed": True,
            "instance": placed.instance,
            "found": isinstance(placed, TransferPlaced) and placed.found,
            "placed_at": placed.since or event.recorded_at,
        }
    ]


def _written(row: TransferPlaced | TransferAmended | DoubleFound, event: Told) -> list[Parameters]:
    """The row, where it is ours."""
    if isinstance(row, TransferPlaced) and row.found:
        return []
    since = None if isinstance(row, DoubleFound) else row.since
    return [_row(row, since or event.recorded_at, recalled=False)]


def _recalled(recalled: TransferRecalled, event: Told) -> list[Parameters]:
    return [_row(recalled, event.recorded_at, recalled=True)]


def _row(
    row: TransferPlaced | TransferAmended | DoubleFound | TransferRecalled, since: object, *, recalled: bool
) -> Parameters:
    return {"request": row.request, "instance": row.instance, "since": since, "recalled": recalled}


def _partial_match(requested: TransferRequested, event: Told) -> list[Parameters]:
    if requested.whole_match:
        return []
    return [_notice(requested, event, "pattern matched the start only", {"rule": requested.cause.record_id})]


def _if_sent(withdrawn: TransferWithdrawn, event: Told) -> list[Parameters]:
    if withdrawn.fate != "sent":
        return []
    kind = "retracted after it was sent" if withdrawn.by is None else "replaced after it was sent"
    return [_notice(withdrawn, event, kind, {"request": withdrawn.request})]


def _study_changed(change: StudyChangeFound, event: Told) -> list[Parameters]:
    details: Parameters = {
        "request": change.request,
        "changed": change.changed,
        "consequence": change.consequence,
    }
    return [_notice(change, event, "study changed", details)]


def _two_names(fact: TwoNamesFound, event: Told) -> list[Parameters]:
    return [_notice(fact, event, "one PatientID, two names", {"studies": fact.studies})]


def _questioned(questioned: RequestQuestioned, event: Told) -> list[Parameters]:
    details: Parameters = {
        "event_name": questioned.event_name,
        "details": questioned.details,
        "studies": questioned.studies,
    }
    known = {name: value for name, value in details.items() if value}
    return [_notice(questioned, event, questioned.kind, known)]


def _lost_update(lost: LostUpdateFound, event: Told) -> list[Parameters]:
    where: Parameters = {"request": lost.request, "series": lost.series, "instance": lost.instance}
    known = {name: value for name, value in where.items() if value is not None}
    return [_notice(lost, event, "written over by this system", known)]


def _notice(
    about: TransferRequested
    | TransferWithdrawn
    | StudyChangeFound
    | TwoNamesFound
    | RequestQuestioned
    | LostUpdateFound,
    event: Told,
    kind: str,
    details: Parameters,
) -> Parameters:
    return {
        "position": event.position,
        "kind": kind,
        "study": about.study,
        "project": "" if isinstance(about, TwoNamesFound) else about.project,
        "details": orjson.Fragment(codec.encode(details)),
    }


def _conflict(conflict: ConflictFound, event: Told) -> list[Parameters]:
    (decided,) = _decided(conflict, event)
    return [decided | {"kind": conflict.kind, "details": _causes(conflict)}]


def _deferred(deferred: DecisionDeferred, event: Told) -> list[Parameters]:
    (decided,) = _decided(deferred, event)
    return [decided | {"details": _causes(deferred, restores=deferred.restores)}]


def _causes(because: ConflictFound | DecisionDeferred, **more: Sequence[int]) -> orjson.Fragment:
    return orjson.Fragment(codec.encode({"causes": [cause._asdict() for cause in because.causes], **more}))


def _contested(conflict: ConflictFound, _: Told) -> list[Parameters]:
    return [{"request": conflict.request}]


def _decided(
    decided: ConflictFound | ConflictResolved | DecisionDeferred | DecisionResumed | DecidedByHand | RequestReleased,
    event: Told,
) -> list[Parameters]:
    return [
        {
            "study": decided.study,
            "project": decided.project,
            "event_name": decided.event_name,
            "position": event.position,
        }
    ]


def _failure(timeout: RuleTimedOut | RuleTimeoutResolved, event: Told) -> list[Parameters]:
    return [{"record_id": timeout.record_id, "study": timeout.study, "position": event.position}]
