"""A project's event log: what REDCap writes down about every change and export, and how it is asked."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_KINDS = {
    "export": ("export",),
    "manage": ("manage", "export"),
    "record": ("record_add", "record_edit", "record_delete", "lock_record"),
}


@dataclass(frozen=True, kw_only=True)
class LogEntry:
    """One line of the log; `time` is server local, `YYYY-MM-DD HH:MM:SS`, `record` may be blank."""

    time: str
    username: str
    kind: str
    action: str
    details: str
    record: str = ""


@dataclass(frozen=True, kw_only=True)
class LogQuestion:
    """Which entries a log export asks for; blank means any. Times as text, both ends included."""

    kind: str = ""
    username: str = ""
    record: str = ""
    begin: str = ""
    end: str = ""


def exported(entries: Sequence[LogEntry], question: LogQuestion) -> list[dict[str, str]]:
    """The entries asked for as REDCap exports them: newest first, times to the minute."""
    return [_exported(entry) for entry in reversed(entries) if _is_asked(entry, question)]


def _exported(entry: LogEntry) -> dict[str, str]:
    return {
        "timestamp": entry.time[:16],
        "username": entry.username,
        "action": f"{entry.action} {entry.record}",
        "details": entry.details,
        "record": entry.record,
    }


def _is_asked(entry: LogEntry, question: LogQuestion) -> bool:
    return (
        (not question.kind or entry.kind in _KINDS.get(question.kind, (question.kind,)))
        and question.username in ("", entry.username)
        and question.record in ("", entry.record)
        and is_between(entry.time, question.begin, question.end)
    )


def is_between(time: str, begin: str, end: str) -> bool:
    """Whether a time lies in the window; blank is open, an end in minutes covers its whole minute."""
    return (not begin or time >= begin) and (not end or time[: len(end)] <= end)


def records_changed(entries: Iterable[LogEntry], begin: str, end: str) -> set[str]:
    """The records created, changed or deleted in the window; REDCap finds them in its log, not in a field."""
    changes = ("record_add", "record_edit", "record_delete")
    return {entry.record for entry in entries if entry.kind in changes and is_between(entry.time, begin, end)}


def as_json(entries: Iterable[LogEntry]) -> list[dict[str, str]]:
    """The entries for a state file."""
    return [asdict(entry) for entry in entries]
