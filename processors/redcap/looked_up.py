"""What was looked up of REDCap's projects and holds for a while, kept in the database for all processes."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import TextClause, text

from ledger.database import Database

_ALL: Final = text("""
    select project, address, true as is_dictionary, fields as names, record_id, looked_at from gateway.dictionary
    union all
    select project, address, false, codes, null, looked_at from gateway.missing_data
""")
_KEEP_DICTIONARY: Final = text("""
    insert into gateway.dictionary (project, address, fields, record_id, looked_at)
    values (:project, :address, :fields, :record_id, :looked_at)
        on conflict (project) do update
       set address = excluded.address, fields = excluded.fields, record_id = excluded.record_id,
           looked_at = excluded.looked_at
""")
_KEEP_CODES: Final = text("""
    insert into gateway.missing_data (project, address, codes, looked_at)
    values (:project, :address, :codes, :looked_at)
        on conflict (project) do update
       set address = excluded.address, codes = excluded.codes, looked_at = excluded.looked_at
""")
_FORGET_DICTIONARY: Final = text("delete from gateway.dictionary where project = :project")


class Dictionary(NamedTuple):
    """The fields of a project, which of them holds the record id, and when they were looked up."""

    fields: frozenset[str]
    record_id: str
    looked_at: datetime


class Codes(NamedTuple):
    """The missing data codes of a project, and when they were looked up."""

    codes: frozenset[str]
    looked_at: datetime


class LookedUp:
    """What is known of all projects: read once, when it is first asked for, and stored as it changes.

    A project is known at the address where it was looked up, and at no other.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: tuple[dict[tuple[str, str], Dictionary], dict[tuple[str, str], Codes]] | None = None

    def dictionary(self, project: str, address: str) -> Dictionary | None:
        """The dictionary of the project as looked up last; None where nothing was at this address."""
        return self._read()[0].get((project, address))

    def codes(self, project: str, address: str) -> Codes | None:
        """The missing data codes of the project as looked up last; None where nothing was at this address."""
        return self._read()[1].get((project, address))

    def keep_dictionary(self, project: str, address: str, seen: Dictionary) -> None:
        """Keeps the dictionary in place of what was kept of the project before."""
        self._store(_KEEP_DICTIONARY, project, address, seen._asdict() | {"fields": sorted(seen.fields)})
        self._read()[0][project, address] = seen

    def keep_codes(self, project: str, address: str, seen: Codes) -> None:
        """Keeps the codes in place of what was kept of the project before."""
        self._store(_KEEP_CODES, project, address, seen._asdict() | {"codes": sorted(seen.codes)})
        self._read()[1][project, address] = seen

    def forget_dictionary(self, project: str) -> None:
        """Has the dictionary of the project looked up again when it is needed next."""
        with self._database.begin() as connection:
            connection.execute(_FORGET_DICTIONARY, {"project": project})
        known = self._read()[0]
        for place in [place for place in known if place[0] == project]:
            del known[place]

    def _store(self, statement: TextClause, project: str, address: str, values: Mapping[str, Any]) -> None:
        looked_at = values["looked_at"].astimezone(UTC)
        parameters = {"project": project, "address": address, **values, "looked_at": looked_at}
        with self._database.begin() as connection:
            connection.execute(statement, parameters)

    def _read(self) -> tuple[dict[tuple[str, str], Dictionary], dict[tuple[str, str], Codes]]:
        if self._known is None:
            dictionaries, codes = {}, {}
            with self._database.begin() as connection:
                for row in connection.execute(_ALL):
                    place, names = (row.project, row.address), frozenset(row.names)
                    if row.is_dictionary:
                        dictionaries[place] = Dictionary(names, row.record_id, row.looked_at)
                    else:
                        codes[place] = Codes(names, row.looked_at)
            self._known = dictionaries, codes
        return self._known
