"""The fixtures of all tests, on the oldest server that is installed; with `FIONA_LEDGER_TEST_SERVERS=all`, on each."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.database import open_database
from ledger.migrations import migrate
from ledger.programs import Programs
from ledger.vault import initialise
from tests.conftest import Server
from tests.servers.cluster import INSTALLED, cluster

_WANTED = INSTALLED if os.environ.get("FIONA_LEDGER_TEST_SERVERS") == "all" else INSTALLED[:1]
_VERSIONS = [pytest.param(programs, id=f"PostgreSQL {programs.version}") for programs in _WANTED]


@pytest.fixture(scope="session", params=_VERSIONS)
def programs(request: pytest.FixtureRequest) -> Programs:
    """A version's programs."""
    found: Programs = request.param
    return found


@pytest.fixture(scope="session")
def server(programs: Programs) -> Iterator[Server]:
    with cluster(programs) as made:
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
