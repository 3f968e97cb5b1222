"""REDCap's data dictionary, read: the fields that it makes, the choices of a dropdown, and where it is remembered."""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

from sqlalchemy import text

from ledger.database import Database

_NOT_IN_A_NAME: Final = re.compile(r"[^a-z0-9_]")

_RECALL = text(
    "select fields, record_id, looked_at from gateway.dictionary where project = :project and address = :address"
)
_REMEMBER = text("""
    insert into gateway.dictionary (project, address, fields, record_id, looked_at)
    values (:project, :address, :fields, :record_id, :looked_at)
        on conflict (project) do update
       set address = excluded.address, fields = excluded.fields, record_id = excluded.record_id,
           looked_at = excluded.looked_at
""")
_FORGET = text("delete from gateway.dictionary where project = :project")


def field_names(metadata: Iterable[Mapping[str, str]]) -> frozenset[str]:
    """All names that a data dictionary makes: fields, columns of checkboxes, form statuses."""
    return frozenset(name for field in metadata for name in _names(field))


def choices(text: str) -> dict[str, str]:
    """The labels by code of a dropdown, radio or checkbox field: `0, Label | 1, Label, with comma`.

    Only the first comma of a choice parts its code from its label. A choice without a comma is its own
    label; of two choices with one code the last counts.
    """
    labels = {}
    for choice in text.split("|"):
        code, comma, label = choice.partition(",")
        if code.strip():
            labels[code.strip()] = label.strip() if comma else code.strip()
    return labels


class Remembered(NamedTuple):
    """The fields of a project, which of them holds the record id, and when they were looked up."""

    fields: frozenset[str]
    record_id: str
    looked_at: datetime


def recall(database: Database, project: str, address: str) -> Remembered | None:
    """What was looked up of the project last; None where nothing was at this address."""
    with database.begin() as connection:
        row = connection.execute(_RECALL, {"project": project, "address": address}).one_or_none()
    return None if row is None else Remembered(frozenset(row.fields), row.record_id, row.looked_at)


def remember(database: Database, project: str, address: str, seen: Remembered) -> None:
    """Keeps the fields for all processes, in place of what was kept of the project before."""
    looked_at = seen.looked_at.astimezone(UTC)
    values = {"project": project, "address": address, **seen._asdict(), "looked_at": looked_at}
    values["fields"] = sorted(seen.fields)
    with database.begin() as connection:
        connection.execute(_REMEMBER, values)


def forget(database: Database, project: str) -> None:
    """Has the fields of the project looked up again when they are needed next."""
    with database.begin() as connection:
        connection.execute(_FORGET, {"project": project})


def column_ending(code: str) -> str:
    """What a checkbox's column for this code ends with."""
    return _NOT_IN_A_NAME.sub("_", code.lower())


def _names(field: Mapping[str, str]) -> Iterator[str]:
    name = field["field_name"]
    yield name
    yield f"{field['form_name']}_complete"
    if field["field_type"] == "checkbox":
        # REDCap's columns are lower case, and a code such as -1 becomes name____1.
        for code in choices(field["select_choices_or_calculations"]):
            yield f"{name}___{column_ending(code)}"
