"""The state of one project: its records with their instances and locks, its rights and its log."""

from __future__ import annotations

import hashlib
import re
import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from . import export, importing
from .log import LogEntry
from .replies import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from .dictionary import Dictionary
    from .replies import Row

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


@dataclass(frozen=True, kw_only=True)
class Rights:
    """What the user behind a project's token may do."""

    export: bool = True
    import_: bool = True
    delete: bool = False
    logging: bool = True
    design: bool = False


class Project:
    """One REDCap project. Every method takes the project's lock: people and calls act one after the other."""

    def __init__(
        self,
        name: str,
        dictionary: Dictionary,
        *,
        repeating: Sequence[str] = (),
        autonumbering: bool = False,
        token: str = "",
    ) -> None:
        self.name = name
        self.dictionary = dictionary
        self.repeating = tuple(repeating)
        self.autonumbering = autonumbering
        self.token = token or default_token(name)
        self.username = "api_user"
        self.rights = Rights()
        self.records: dict[str, Record] = {}
        self.log: list[LogEntry] = []
        self.lock_state = threading.RLock()
        self.clock: Callable[[], datetime] = local_time

    def rows(self) -> list[Row]:
        """All rows as a flat raw export gives them: base rows and instance rows, in REDCap's order."""
        with self.lock_state:
            return export.flat_rows(self, export.Selection.everything(self.dictionary), self.ordered_records())

    def record(self, name: str) -> Record:
        """The record of that name, made if there is none."""
        return self.records.setdefault(name, Record())

    def put(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Write rows as a person does; ValueError with all problems, and nothing stored, if one is bad."""
        with self.lock_state:
            importing.import_rows(self, list(rows), importing.Manner(overwrite=True, username="person"))

    def delete(self, record: str, *, username: str = "person") -> None:
        """Delete one record with all its instances; KeyError if there is none."""
        with self.lock_state:
            del self.records[record]
            self.note(
                "record_delete",
                "Delete record",
                f"{self.dictionary.record_id} = '{record}'",
                record,
                username,
            )

    def delete_instance(self, record: str, instrument: str, instance: int, *, username: str = "person") -> None:
        """Delete one instance of a repeating instrument; the others keep their numbers."""
        with self.lock_state:
            stored = self.records[record]
            del stored.instances[instrument][instance]
            stored.forget_empty()
            details = f"Delete all data from instrument '{instrument}', [instance = {instance}]"
            self.note("record_edit", "Update record", details, record, username)

    def clear_form(self, record: str, form: str, *, username: str = "person") -> None:
        """Delete what a record holds on one form, all its instances included."""
        with self.lock_state:
            stored = self.records[record]
            stored.instances.pop(form, None)
            for column in self.dictionary.of_form(form):
                stored.base.pop(column.name, None)
            self.note("record_edit", "Update record", f"Delete all data from instrument '{form}'", record, username)

    def rename(self, record: str, new_name: str, *, username: str = "person") -> None:
        """Give a record another id; KeyError if there is none, ValueError if the new id is taken."""
        with self.lock_state:
            if new_name in self.records:
                raise Refusal(f'The new record name "{new_name}" already exists in the project.')
            self.records[new_name] = self.records.pop(record)
            self.note(
                "record_edit",
                "Update record",
                f"{self.dictionary.record_id} = '{new_name}'",
                new_name,
                username,
            )

    def lock(self, record: str) -> None:
        """Lock a whole record, which is made if it does not exist: every import that names it is refused."""
        with self.lock_state:
            self.record(record).locked = True
            self.note("lock_record", "Lock/Unlock Record", "Action: Lock entire record", record, "person")

    def unlock(self, record: str) -> None:
        """Unlock a record."""
        with self.lock_state:
            self.records[record].locked = False
            self.note("lock_record", "Lock/Unlock Record", "Action: Unlock entire record", record, "person")

    def set_choices(self, name: str, choices: Sequence[tuple[str, str]]) -> None:
        """Replace the choices of a dropdown, radio or checkbox field; stored codes stay as they are."""
        with self.lock_state:
            self.dictionary = self.dictionary.with_choices(name, choices)

    def remove_field(self, name: str) -> None:
        """Take a field out of the dictionary, with its stored values: a server that never had it."""
        with self.lock_state:
            columns = self.dictionary.of_name(name)
            self.dictionary = self.dictionary.without(name)
            for values in (values for record in self.records.values() for values in _all_values(record)):
                for column in columns:
                    values.pop(column.name, None)

    def grant(
        self,
        *,
        export: bool = True,
        import_: bool = True,
        delete: bool = False,
        logging: bool = True,
        design: bool = False,
    ) -> None:
        """Set all rights of the token's user."""
        self.rights = Rights(export=export, import_=import_, delete=delete, logging=logging, design=design)

    def revoke(self, right: str) -> None:
        """Take one right away: export, import, delete, logging or design."""
        self.rights = replace(self.rights, **{"import_" if right == "import" else right: False})

    def next_record_name(self) -> str:
        """The highest number among the record ids, plus one; REDCap reserves nothing by telling it."""
        with self.lock_state:
            return str(max((int(name) for name in self.records if name.isdecimal()), default=0) + 1)

    def ordered_records(self, names: Iterable[str] | None = None) -> list[str]:
        """The records of those names (None: all), each once, in REDCap's order; unknown ones are left out."""
        wanted = self.records if names is None else {name for name in names if name in self.records}
        return sorted(wanted, key=_natural)

    def note(self, kind: str, action: str, details: str, record: str = "", username: str = "") -> None:
        """Write one line of the log."""
        time = self.clock().strftime("%Y-%m-%d %H:%M:%S")
        user = username or self.username
        self.log.append(LogEntry(time=time, username=user, kind=kind, action=action, details=details, record=record))


def default_token(name: str) -> str:
    """A token that is always the same for a project's name: 32 hex characters, upper case."""
    return hashlib.sha256(f"token of {name}".encode()).hexdigest()[:32].upper()


def _natural(name: str) -> tuple[tuple[bool, int, str], ...]:
    """Numbers sort by value and before text: REDCap lists record 9 before record 10."""
    parts = (part for part in re.split(r"(\d+)", name) if part)
    return tuple((False, int(part), "") if part.isdecimal() else (True, 0, part) for part in parts)


def _all_values(record: Record) -> Iterable[Values]:
    yield record.base
    for numbered in record.instances.values():
        yield from numbered.values()
