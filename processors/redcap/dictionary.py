"""Which fields a REDCap project has, looked up once a day: servers differ in what they know.

What a project lacks is left out of imports and exports. An answer that names unknown fields shows that
the dictionary has changed: it is then forgotten and looked up again.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from sqlalchemy import text

from ledger.database import Database

from .choices import choices
from .rows import Row

_GOOD_FOR: Final = timedelta(hours=24)
_NOT_IN_A_NAME = re.compile(r"[^a-z0-9_]")

_LOOK = text("select fields, looked_at from gateway.dictionary where project = :project and address = :address")
_STORE = text("""
    insert into gateway.dictionary (project, address, fields, looked_at)
    values (:project, :address, :fields, :looked_at)
        on conflict (project) do update
       set address = excluded.address, fields = excluded.fields, looked_at = excluded.looked_at
""")
_FORGET = text("delete from gateway.dictionary where project = :project")


class DescribesProjects(Protocol):
    """What is needed of the client."""

    def address(self, project: str) -> str:
        """Where the project is: another server or token is asked anew."""

    def metadata(self, project: str) -> Sequence[Row]:
        """The project's data dictionary, one row a field."""


def known_fields(client: DescribesProjects, database: Database, project: str, now: datetime) -> frozenset[str]:
    """The names that the project takes in imports and exports, as looked up within the last 24 hours.

    A checkbox stands under its own name, by which exports are asked for, and under those of its columns.
    The repeat columns are not among them: REDCap adds them, and refuses to be asked for them.
    """
    address = client.address(project)
    with database.begin() as connection:
        row = connection.execute(_LOOK, {"project": project, "address": address}).one_or_none()
    if row is not None and timedelta(0) <= now - row.looked_at < _GOOD_FOR:
        return frozenset(row.fields)
    fields = field_names(client.metadata(project))
    values = {"project": project, "address": address, "fields": sorted(fields), "looked_at": now.astimezone(UTC)}
    with database.begin() as connection:
        connection.execute(_STORE, values)
    return fields


def remembered_fields(client: DescribesProjects, database: Database, project: str) -> frozenset[str] | None:
    """The same, however long ago it was looked up; None where it never was. Never asks REDCap."""
    with database.begin() as connection:
        row = connection.execute(_LOOK, {"project": project, "address": client.address(project)}).one_or_none()
    return None if row is None else frozenset(row.fields)


def forget_fields(database: Database, project: str) -> None:
    """Has the next `known_fields` look again."""
    with database.begin() as connection:
        connection.execute(_FORGET, {"project": project})


def field_names(metadata: Iterable[Mapping[str, str]]) -> frozenset[str]:
    """All names that a data dictionary makes: fields, columns of checkboxes, form statuses."""
    return frozenset(name for field in metadata for name in _names(field))


def _names(field: Mapping[str, str]) -> Iterator[str]:
    name = field["field_name"]
    yield name
    yield f"{field['form_name']}_complete"
    if field["field_type"] == "checkbox":
        # REDCap's columns are lower case, and a code such as -1 becomes name____1.
        for code in choices(field["select_choices_or_calculations"]):
            yield f"{name}___{_NOT_IN_A_NAME.sub('_', code.lower())}"
