"""The fixtures of all tests, on each server whose binaries are installed instead of the embedded one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.database import open_database
from ledger.migrations import migrate
from ledger.vault import initialise
from tests.conftest import Server
from tests.servers.cluster import INSTALLED, cluster

_VERSIONS = [pytest.param(folder, id=f"PostgreSQL {folder.parent.name}") for folder in INSTALLED] or [
    pytest.param(None, id="none", marks=pytest.mark.skip("no PostgreSQL 14 or newer in /usr/lib/postgresql"))
]


@pytest.fixture(scope="session", params=_VERSIONS)
def binaries(request: pytest.FixtureRequest) -> Path:
    """The folder with a version's programs."""
    found: Path = request.param
    return found


@pytest.fixture(scope="session")
def server(binaries: Path) -> Iterator[Server]:
    with cluster(binaries) as made:
        made.initialise()
        made.start(fsync="off", synchronous_commit="off", full_page_writes="off", autovacuum="off")
        yield Server(made.url)


@pytest.fixture(scope="session")
def migrated(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """As in `tests.conftest`, whose own is kept for the embedded server."""
    key_file = tmp_path_factory.mktemp("vault") / "vault.key"
    with server.fresh() as name:
        database = open_database(server.url_of(name), tmp_path_factory.getbasetemp())
        migrate(database)
        with database.begin() as connection:
            initialise(connection, key_file)
        database.close()
        yield name, key_file
