"""One project: its records as people change them, its token, and the rights of the token's user."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from . import export, importing
from .record_store import RecordStore
from .replies import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .dictionary import Dictionary
    from .record_store import Record, Values
    from .replies import Row


Status = Literal["development", "production", "analysis"]
"""How far the project has come; in Analysis/Cleanup, nothing is imported."""


@dataclass(frozen=True, kw_only=True)
class Rights:
    """What the user behind a project's token may do."""

    export: bool = True
    import_: bool = True
    delete: bool = False
    logging: bool = True
    design: bool = False


class Project(RecordStore):
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
        super().__init__(dictionary, repeating=repeating, autonumbering=autonumbering)
        self.name = name
        self.token = token or default_token(name)
        self.rights = Rights()
        self.status: Status = "development"
        self.created = "2020-01-01 00:00:00"

    def rows(self) -> list[Row]:
        """All rows as a flat raw export gives them: base rows and instance rows, in REDCap's order."""
        with self.lock_state:
            return export.flat_rows(self, export.Selection.everything(self.dictionary), self.ordered_records())

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

    def set_missing_data_codes(self, codes: str) -> None:
        """Replace the project's missing data codes: `NA, Not available | UNK, Unknown`."""
        with self.lock_state:
            self.dictionary = self.dictionary.with_missing_data_codes(codes)

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


def default_token(name: str) -> str:
    """A token that is always the same for a project's name: 32 hex characters, upper case."""
    return hashlib.sha256(f"token of {name}".encode()).hexdigest()[:32].upper()


def _all_values(record: Record) -> Iterable[Values]:
    yield record.base
    for numbered in record.instances.values():
        yield from numbered.values()
