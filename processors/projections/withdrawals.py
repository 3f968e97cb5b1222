"""Projection of withdrawals: gateway.withdrawal_mark, withdrawn_study, withdrawal_entry."""

from collections.abc import Sequence

from sqlalchemy import text

from ledger.events import Told
from ledger.projector import Changes
from processors.events.holds import RequestHeld
from processors.events.withdrawals import (
    ParticipantWithdrew,
    StudyWithdrawn,
    WithdrawalEntryChanged,
    WithdrawalEntryDismissed,
    WithdrawalEntryDoubted,
    WithdrawalEntryFact,
    WithdrawalEntryRemoved,
    WithdrawalEntryReturned,
)
from processors.projections.rows import Parameters, Rules, Statement, on
from processors.projections.statements import Table


class Withdrawals:
    """One row for each mark that later studies are known by, study of who withdrew, and entry of REDCap's list."""

    name = "withdrawals"
    code_version = 3
    tables: Sequence[str] = ("gateway.withdrawal_mark", "gateway.withdrawn_study", "gateway.withdrawal_entry")

    def __init__(self) -> None:
        self._rules = Rules(
            on(ParticipantWithdrew, (_MARK, _marks)),
            on(StudyWithdrawn, (_WITHDRAW, _study)),
            on(RequestHeld, (_WITHDRAW, _held)),
            on(WithdrawalEntryChanged, (_UPSERT_ENTRY, _entry)),
            on(WithdrawalEntryDoubted, (_SET_DOUBT, _record)),
            on(WithdrawalEntryReturned, (_SET_DOUBT, _no_doubt)),
            on(WithdrawalEntryRemoved, (_REMOVE_ENTRY, _record)),
            on(WithdrawalEntryDismissed, (_DELETE_REMOVED, _record), (_SETTLE, _record)),
        )
        self.types = self._rules.types

    def plan(self, events: Sequence[Told]) -> Changes:
        """What the events change, as if applied in order."""
        return self._rules.plan(events)


_MARK = Table(
    name="withdrawal_mark",
    key=("position", "mark"),
    columns={"position": "bigint", "mark": "text", "project": "text", "doubted": "boolean"},
).insert_once()
_WITHDRAW = Table(
    name="withdrawn_study",
    key=("study", "project"),
    columns={"study": "text", "project": "text", "position": "bigint"},
).insert_once()

_ENTRIES = Table(
    name="withdrawal_entry",
    key=("record_id",),
    columns={
        "record_id": "text",
        "position": "bigint",
        "project": "text",
        "fingerprint": "text",
        "problems": "text[]",
        "changed_position": "bigint",
    },
)
_UPSERT_ENTRY = _ENTRIES.upsert(also="removed = false, doubted_position = null")
_SET_DOUBT = _ENTRIES.set_doubt()
_REMOVE_ENTRY = _ENTRIES.mark_removed()
_OF_RECORDS = """
    json_to_recordset(cast(:rows as json)) as r (record_id text) where withdrawal_entry.record_id = r.record_id
"""
_DELETE_REMOVED = Statement(
    "withdrawal_entry", ("record_id",), text(f"delete from gateway.withdrawal_entry using {_OF_RECORDS} and removed")
)
_SETTLE = Statement(
    "withdrawal_entry",
    ("record_id",),
    text(f"update gateway.withdrawal_entry set changed_position = null, problems = '{{}}' from {_OF_RECORDS}"),
)


def _marks(withdrew: ParticipantWithdrew, event: Told) -> list[Parameters]:
    return [
        {"position": event.position, "mark": mark, "project": withdrew.project, "doubted": is_doubted}
        for marks, is_doubted in (((*withdrew.patients, *withdrew.pseudonyms), False), (withdrew.doubted, True))
        for mark in marks
    ]


def _study(withdrawn: StudyWithdrawn, event: Told) -> list[Parameters]:
    return [{"study": withdrawn.study, "project": withdrawn.project, "position": event.position}]


def _held(held: RequestHeld, event: Told) -> list[Parameters]:
    """A later study: what people request of it in REDCap is a task as well."""
    if held.kind != "participant withdrew":
        return []
    return [{"study": held.study, "project": held.project, "position": event.position}]


def _entry(entry: WithdrawalEntryChanged, event: Told) -> list[Parameters]:
    (record,) = _record(entry, event)
    changed_at = event.position if entry.withdrew_before else None
    content: Parameters = {"project": entry.project, "fingerprint": entry.fingerprint, "problems": entry.problems}
    return [record | content | {"changed_position": changed_at}]


def _record(entry: WithdrawalEntryFact, event: Told) -> list[Parameters]:
    return [{"record_id": entry.record_id, "position": event.position}]


def _no_doubt(entry: WithdrawalEntryFact, _: Told) -> list[Parameters]:
    return [{"record_id": entry.record_id, "position": None}]
