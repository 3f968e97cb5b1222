"""What one project stores: its dictionary, its records with their instances and locks, and its log."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from .log import LogEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from .dictionary import Dictionary

Values = dict[str, str]


def local_time() -> datetime:
    """Now, in the machine's time zone: REDCap writes and reads server local time."""
    return datetime.now(tz=UTC).astimezone()


@dataclass(kw_only=True)
class Record:
    """One record: base values and, by instrument and number, its instances; blanks are not stored."""

    base: Values = field(default_factory=dict)
    instances: dict[str, dict[int, Values]] = field(default_factory=dict)
    locked: bool = False
    group: str = ""

    def values(self, instrument: str, instance: int) -> Values:
        """The values stored at a place (instrument blank: the base row); made if it is not there yet."""
        if not instrument:
            return self.base
        return self.instances.setdefault(instrument, {}).setdefault(instance, {})

    def next_instance(self, instrument: str) -> int:
        """The number that `new` stands for."""
        return max(self.instances.get(instrument, ()), default=0) + 1

    def forget_empty(self) -> None:
        """Drop instances without a value: they exist in REDCap only as long as a value of theirs does."""
        for instrument in list(self.instances):
            kept = {number: values for number, values in self.instances[instrument].items() if values}
            if kept:
                self.instances[instrument] = kept
            else:
                del self.instances[instrument]


class RecordStore:
    """The records of one project, and what exports and imports must know of the project besides.

    `group` is the number of the data access group that the token's user is in: the user sees that group's records
    alone, and what the user makes is the group's. `alterations` are what the server makes of values that it saves.
    """

    def __init__(self, dictionary: Dictionary, *, repeating: Sequence[str], autonumbering: bool) -> None:
        self.dictionary = dictionary
        self.repeating = tuple(repeating)
        self.autonumbering = autonumbering
        self.longitudinal = False
        self.group = ""
        self.alterations: Collection[str] = ()
        self.username = "api_user"
        self.records: dict[str, Record] = {}
        self.log: list[LogEntry] = []
        self.lock_state = threading.RLock()
        self.clock: Callable[[], datetime] = local_time

    def record(self, name: str) -> Record:
        """The record of that name, made if there is none."""
        return self.records.setdefault(name, Record(group=self.group))

    def is_seen(self, name: str) -> bool:
        """Whether the token's user sees the record."""
        return self.group in ("", self.records[name].group)

    def next_record_name(self) -> str:
        """The highest number among the record ids, plus one, after the number of the user's group if there is one.

        REDCap reserves nothing by telling it.
        """
        prefix = f"{self.group}-" if self.group else ""
        with self.lock_state:
            numbers = (name.removeprefix(prefix) for name in self.records)
            return prefix + str(max((int(name) for name in numbers if name.isdecimal()), default=0) + 1)

    def ordered_records(self, names: Iterable[str] | None = None) -> list[str]:
        """The records of those names (None: all), each once, in REDCap's order; unknown ones are left out."""
        wanted = self.records if names is None else {name for name in names if name in self.records}
        return sorted(wanted, key=_natural)

    def note(self, kind: str, action: str, details: str, record: str = "", username: str = "") -> None:
        """Write one line of the log."""
        time = self.clock().strftime("%Y-%m-%d %H:%M:%S")
        user = username or self.username
        self.log.append(LogEntry(time=time, username=user, kind=kind, action=action, details=details, record=record))


def _natural(name: str) -> tuple[tuple[bool, int, str], ...]:
    """Numbers sort by value and before text: REDCap lists record 9 before record 10."""
    parts = (part for part in re.split(r"(\d+)", name) if part)
    return tuple((False, int(part), "") if part.isdecimal() else (True, 0, part) for part in parts)
