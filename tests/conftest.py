"""A real PostgreSQL for the tests: one server a session, a migrated template, a copy per test that is used again.

The server is an embedded one; `FIONA_LEDGER_TEST_URL=postgresql://...` names another, in which
databases are then made and dropped.
"""

import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import uuid4
from zoneinfo import ZoneInfo

import hypothesis
import psycopg
import pytest
import sqlalchemy
from psycopg.conninfo import conninfo_to_dict

from ledger import embedded
from ledger.database import Database, open_database
from ledger.dry_run import DryRun
from ledger.migrations import migrate
from ledger.programs import installed
from ledger.vault import Vault, initialise
from tests.databases import Contents, Copies, create_engine, dial
from tests.flow.table import pytest_sessionfinish, pytest_terminal_summary, pytest_testnodedown

if TYPE_CHECKING:
    from processors.gateway import Gateway

__all__ = ["pytest_sessionfinish", "pytest_terminal_summary", "pytest_testnodedown"]  # hooks

TEST_URL = "FIONA_LEDGER_TEST_URL"
TEST_TEMPLATE = "FIONA_LEDGER_TEST_TEMPLATE"
"""Names a migrated database on that server and its key file, as NAME:PATH."""

# Started in the background of a script, this process ignores Ctrl-C, and would hand that on to the commands that
# tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Examples share a test's database: properties make streams or ledgers of their own per example.
hypothesis.settings.register_profile(
    "fiona-ledger",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=50,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile("quick", hypothesis.settings.get_profile("fiona-ledger"), max_examples=10)
hypothesis.settings.load_profile("fiona-ledger")


def pytest_xdist_auto_num_workers() -> int:
    """Three for two cores: one of them always waits for its PostgreSQL, or for a process or a time limit."""
    return (os.cpu_count() or 1) * 3 // 2


def pytest_collection_finish() -> None:
    """What has been imported stays: collecting garbage, Python need not look through it again and again.

    Nor after each few hundred objects: a run makes a hundred thousand, and most are gone before.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


class SettableClock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = datetime.fromisoformat("2026-03-02T09:00:00+01:00")

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Server:
    """A PostgreSQL in which tests make databases of their own."""

    def __init__(self, url: str) -> None:
        self.url = url
        with psycopg.connect(url) as connection:
            # A quarter of the time; before version 15 the only way.
            self._quickly = "strategy file_copy" if connection.info.server_version >= 150_000 else ""
        self._copies = Copies(self.url_of, self._make, self._drop)

    def url_of(self, name: str) -> str:
        return urlsplit(self.url)._replace(path=f"/{name}").geturl()

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement.encode())

    @contextmanager
    def fresh(self, *, template: str | None = None, contents: Contents | None = None) -> Iterator[str]:
        """The name of an empty database, or of one that holds what `template` does: the test's own, until the end.

        With `contents`, it holds these rows in the tables of the template.
        """
        if template is not None:
            with self._copies.lent(template, contents) as name:
                yield name
            return
        name = self._make(self._empty)
        try:
            yield name
        finally:
            self._copies.remove_all_of(name)
            self._drop(name)

    def contents(self, name: str) -> Contents:
        """What is committed now in a database that was made after a template."""
        return self._copies.contents(name)

    @cached_property
    def _empty(self) -> str:
        """An empty database which has been connected to, so that what that made PostgreSQL write is copied as well."""
        name = self._make("template0")
        psycopg.connect(self.url_of(name)).close()
        return name

    def _make(self, template: str) -> str:
        name = f"fiona_test_{uuid4().hex}"
        self.execute(f"create database {name} template {template} {self._quickly}")
        return name

    def _drop(self, name: str) -> None:
        self.execute(f"drop database {name} with (force)")

    def close(self) -> None:
        """Drops what was made for all databases."""
        if "_empty" in self.__dict__:
            self._drop(self._empty)


@contextmanager
def server_folder() -> Iterator[Path]:
    """A folder for an embedded server; as root, PostgreSQL's own user must be able to pass it."""
    parent = "/var/tmp" if os.geteuid() == 0 else None  # noqa: S108 - mkdtemp makes it safely
    folder = Path(tempfile.mkdtemp(prefix="fiona-test-", dir=parent))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def a_server() -> Iterator[Server]:
    """An embedded server for tests: what they write may be lost when the machine goes down."""
    with server_folder() as folder:
        started = embedded.start(folder, max(installed()))
        try:
            socket_folder = conninfo_to_dict(started.conninfo)["host"]
            server = Server(f"postgresql://postgres@/postgres?host={socket_folder}")
            for setting in ("fsync", "synchronous_commit", "full_page_writes", "autovacuum"):
                server.execute(f"alter system set {setting} = off")
            server.execute("select pg_reload_conf()")
            yield server
        finally:
            started.close()


@pytest.fixture(scope="session", autouse=True)
def _kept_connections() -> Iterator[None]:
    """Connections to databases that are used again are so, too, and so is what is compiled for them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Database, "_dial", dial)
        patch.setattr(sqlalchemy, "create_engine", create_engine)
        yield


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    named = os.environ.get(TEST_URL)
    with closing(Server(named)) if named else a_server() as server:
        if not named:
            # Tables of a handful of rows: a plan for one test is as good for the next.
            server.execute("alter system set plan_cache_mode = force_generic_plan")
            server.execute("select pg_reload_conf()")
        yield server


@contextmanager
def a_template(server: Server, folder: Path) -> Iterator[tuple[str, Path]]:
    """The name of a migrated database, to be copied, and the key file of its vault, in the folder."""
    key_file = folder / "vault.key"
    with server.fresh() as name:
        database = open_database(server.url_of(name), folder)
        migrate(database)
        with database.begin() as connection:
            initialise(connection, key_file)
        database.close()
        yield name, key_file


@pytest.fixture(scope="session")
def migrated(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The template of all databases of tests; one that is there already where many sessions share a server."""
    named = os.environ.get(TEST_TEMPLATE)
    if named:
        name, _, key_file = named.partition(":")
        yield name, Path(key_file)
    else:
        with a_template(server, tmp_path_factory.mktemp("vault")) as made:
            yield made


@pytest.fixture
def database_url(server: Server, migrated: tuple[str, Path]) -> Iterator[str]:
    """The address of a migrated database of the test's own."""
    with server.fresh(template=migrated[0]) as name:
        yield server.url_of(name)


@pytest.fixture
def empty_url(server: Server) -> Iterator[str]:
    """The address of a database without tables."""
    with server.fresh() as name:
        yield server.url_of(name)


@pytest.fixture
def database(database_url: str, tmp_path: Path) -> Iterator[Database]:
    database = open_database(database_url, tmp_path)
    yield database
    database.close()


@pytest.fixture(scope="session")
def shared_database(
    server: Server, migrated: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    """A migrated database in which nothing is ever committed."""
    with server.fresh(template=migrated[0]) as name:
        database = open_database(server.url_of(name), tmp_path_factory.getbasetemp())
        yield database
        database.close()


@pytest.fixture
def passing_database(shared_database: Database) -> Iterator[Database]:
    """A database of which nothing stays, for tests of statements: a fraction of the time of one of their own."""
    with DryRun(shared_database) as database:
        yield database


@pytest.fixture
def key_file(migrated: tuple[str, Path], tmp_path: Path) -> Path:
    """A copy of the master key of `database`, which a test may spoil."""
    return Path(shutil.copy(migrated[1], tmp_path / "vault.key"))


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
def vault(database: Database, key_file: Path) -> Vault:
    with database.begin() as connection:
        return Vault.open(connection, key_file)


@pytest.fixture
def gateway(database: Database, vault: Vault, clock: SettableClock) -> "Gateway":
    from processors.gateway import Gateway

    return Gateway(database=database, vault=vault, site="main", clock=clock, run=uuid4(), zone=ZoneInfo("Europe/Oslo"))
