"""REDCap's list of withdrawals, where a site keeps one: each new entry is a withdrawal, and stays one for ever."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import orjson
from sqlalchemy import text

from processors import bounds
from processors.events.withdrawals import (
    WithdrawalEntryChanged,
    WithdrawalEntryDoubted,
    WithdrawalEntryRemoved,
    WithdrawalEntryReturned,
)
from processors.gateway import Gateway, Work
from processors.observed_list import Before, compared, listed_project, tell_unreadable
from processors.redcap import Redcap
from processors.redcap.needed import LISTS
from processors.routing.participants import Withdrawal
from processors.routing.withdraw import is_known, withdraw_all

_UNKNOWN = "Nothing else that the ledger knows names its project."
_BOUNDS = {"wd_project": bounds.NAME, "wd_subject": bounds.PSEUDONYM}


@dataclass(frozen=True, kw_only=True, slots=True)
class WithdrawalEntry:
    """An entry as REDCap holds it: `subject` is a pseudonym of the project, or a PatientID."""

    record_id: str
    project: str
    subject: str
    problems: tuple[str, ...] = ()

    @property
    def is_usable(self) -> bool:
        """Whether it tells who withdraws from what."""
        return not self.problems


def observe_withdrawals(gateway: Gateway, redcap: Redcap, before: Before) -> None:
    """Records what is new in the list, and has those participants withdraw; what is gone from it withdraws nothing."""
    listed = listed_project(gateway, redcap, "withdrawals", LISTS["withdrawals"], before)
    entries = {entry.record_id: entry for entry in entries_from_rows(listed.export_list())}
    with gateway.begin() as work:
        prints = {record: _fingerprint(work, entry) for record, entry in entries.items()}
        tell_unreadable(work, listed)
        comparison = compared(
            work, "gateway.withdrawal_entry", prints, asked_at=before.head, unreadable=listed.unreadable
        )
        _withdraw(work, [entries[record] for record in comparison.changed], prints)
        work.record(
            comparison.facts(
                doubted=WithdrawalEntryDoubted, returned=WithdrawalEntryReturned, removed=WithdrawalEntryRemoved
            )
        )


def entries_from_rows(rows: Sequence[Mapping[str, str]]) -> list[WithdrawalEntry]:
    """The entries in REDCap's rows, each record id once; nothing is said by one that stands there several times."""
    times = Counter(bounds.name(row["record_id"]) for row in rows)
    entries = [_entry(row) for row in rows if times[bounds.name(row["record_id"])] == 1]
    problems = ("The record id appears more than once in the export.",)
    return entries + [
        WithdrawalEntry(record_id=record, project="", subject="", problems=problems)
        for record, number in times.items()
        if number > 1
    ]


def _entry(row: Mapping[str, str]) -> WithdrawalEntry:
    project, subject = bounds.name(row.get("wd_project", "")), row.get("wd_subject", "").strip()
    blank = [f"{field} is blank." for field, value in (("wd_project", project), ("wd_subject", subject)) if not value]
    return WithdrawalEntry(
        record_id=bounds.name(row["record_id"]),
        project=project,
        subject=bounds.cut(subject, bounds.PSEUDONYM),
        problems=bounds.overlong(row, _BOUNDS) or tuple(blank),
    )


_WITHDREW = text("""
    select distinct data ->> 'record_id' from ledger.event
     where stream = 'withdrawals' and data ->> 'record_id' = any(:records)
""")


def _withdraw(
    work: Work,
    entries: Sequence[WithdrawalEntry],
    fingerprints: Mapping[str, str],
) -> None:
    """Records what the entries say, and has those whom they name withdraw."""
    known = {project: is_known(work, project) for project in {entry.project for entry in entries if entry.is_usable}}
    withdrew = set(work.execute(_WITHDREW, {"records": [entry.record_id for entry in entries]}).scalars())
    work.record(
        WithdrawalEntryChanged(
            record_id=entry.record_id,
            project=entry.project,
            problems=entry.problems or (_UNKNOWN,) * (not known[entry.project]),
            fingerprint=fingerprints[entry.record_id],
            withdrew_before=entry.record_id in withdrew,
        )
        for entry in entries
    )
    withdraw_all(
        work,
        [
            Withdrawal(
                project=entry.project,
                patient_ids=[entry.subject],
                pseudonyms=[entry.subject],
                by="REDCap",
                reason=f"record {entry.record_id} of REDCap's list of withdrawals",
                record_id=entry.record_id,
            )
            for entry in entries
            if entry.is_usable
        ],
    )


def _fingerprint(work: Work, entry: WithdrawalEntry) -> str:
    return work.vault.fingerprint(orjson.dumps(asdict(entry), option=orjson.OPT_SORT_KEYS))
