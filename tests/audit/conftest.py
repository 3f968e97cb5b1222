"""The history of `history.py` in a database of its own, told once for all tests that only look at it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from ledger.database import Database, open_database
from ledger.vault import Vault
from tests.audit.history import Told, tell
from tests.conftest import Server, SettableClock

ZONE = "Europe/Oslo"


@dataclass(frozen=True)
class Story:
    """The history, and where it stands."""

    url: str
    database: Database
    told: Told
    vault: Vault

    def at(self, name: str) -> int:
        """The position of the event of that name."""
        return self.told.positions[name]

    def ask(self, query: str, **parameters: Any) -> list[Mapping[str, Any]]:
        """The rows of a query."""
        with self.database.begin() as connection:
            return [dict(row) for row in connection.execute(text(query), parameters).mappings()]


@contextmanager
def told_story(server: Server, template: str, key_file: Path) -> Iterator[Story]:
    """The history in a database made after a migrated one, whose days are those of the hospital."""
    with server.fresh(template=template) as name:
        server.execute(f"alter database {name} set timezone = '{ZONE}'")
        database = open_database(server.url_of(name), Path("/nowhere"))
        try:
            with database.begin() as connection:
                vault = Vault.open(connection, key_file)
            yield Story(server.url_of(name), database, tell(database, vault, SettableClock()), vault)
        finally:
            database.close()


@pytest.fixture(scope="session")
def story(server: Server, migrated: tuple[str, Path]) -> Iterator[Story]:
    """Only to be looked at."""
    with told_story(server, *migrated) as story:
        yield story
