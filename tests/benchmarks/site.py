"""Gateways to measure: a PostgreSQL that is running already, its disk written durably, and a ledger in it."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import orjson
from psycopg.conninfo import conninfo_to_dict

from ledger import embedded
from ledger.database import Database, open_database
from ledger.migrations import migrate
from ledger.programs import installed
from ledger.vault import Vault, initialise
from processors.gateway import Gateway
from tests.benchmarks.processes import PROGRAM, Took, taken
from tests.conftest import Server, server_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@contextmanager
def running_server() -> Iterator[tuple[Server, Path]]:
    """An embedded PostgreSQL with its settings as they are, fsync on; and a folder for whatever else is needed."""
    with server_folder() as folder:
        started = embedded.start(folder / "postgres", max(installed()))
        try:
            host = conninfo_to_dict(started.conninfo)["host"]
            yield Server(f"postgresql://postgres@/postgres?host={host}"), folder
        finally:
            started.close()


@contextmanager
def fresh_database(server: Server) -> Iterator[Database]:
    """A migrated, empty ledger."""
    with server.fresh() as name:
        database = open_database(server.url_of(name), Path("/nowhere"))
        migrate(database)
        try:
            yield database
        finally:
            database.close()


@dataclass(frozen=True, kw_only=True)
class Redcap:
    """A simulator in a process of its own."""

    url: str
    tokens: Mapping[str, str]


NOWHERE = Redcap(url="http://localhost/api/", tokens={"incoming": "0" * 32, "coupling": "0" * 32, "routing": "0" * 32})
"""For what never calls REDCap, yet reads a configuration that must name one."""


@contextmanager
def redcap(*, thinks: float = 0, status: str = "production") -> Iterator[Redcap]:
    """A REDCap with one routing rule, which sends two studies of five to a project; it `thinks` some seconds a call.

    `status` is that of Incoming, which takes rows in development and production only.
    """
    command = [sys.executable, "-m", "tests.benchmarks.redcap", str(thinks), status]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            if process.stdout is None or process.stdin is None:
                raise RuntimeError("expected pipes to the simulator, found none")
            yield Redcap(**orjson.loads(process.stdout.readline()))
        finally:
            process.terminate()


@dataclass(frozen=True, kw_only=True)
class Site:
    """A configured gateway with a ledger, a tree and a REDCap."""

    database: Database
    key_file: Path
    raw: Path
    config: Path

    def run(self) -> Took:
        """`fiona-ledger run`, from its start to its exit."""
        return taken(PROGRAM, "--config", str(self.config), "run", "--json")

    def embedded(self) -> Site:
        """The same, which looks after its PostgreSQL itself. Its ledger must be in the database that this one has."""
        config = self.config.with_name("embedded.toml")
        data_dir = Path(str(conninfo_to_dict(self.database.conninfo)["host"])).parent
        lines = ["[ledger]", 'url = "embedded"', f'data_dir = "{data_dir}"', *self.config.read_text().splitlines()[3:]]
        config.write_text("\n".join(lines) + "\n")
        config.chmod(0o600)
        return replace(self, config=config)

    def recognise(self) -> None:
        """`fiona-ledger recognise`: what REDCap lacks of what the ledger says was written is no reason to stop."""
        taken(PROGRAM, "--config", str(self.config), "recognise", "--reason", "benchmark")

    def gateway(self) -> Gateway:
        """The gateway for a part of a run within this process."""
        with self.database.begin() as connection:
            vault = Vault.open(connection, self.key_file)
        return Gateway(database=self.database, vault=vault, site="main", clock=_now, run=uuid4())


@contextmanager
def site(
    server: Server, folder: Path, *, raw: Path, redcap: Redcap = NOWHERE, database_name: str | None = None
) -> Iterator[Site]:
    """A gateway whose ledger is empty: in a database of its own, unless one is named."""
    with server.fresh() if database_name is None else nullcontext(database_name) as name:
        url = server.url_of(name)
        database = open_database(url, Path("/nowhere"))
        migrate(database)
        key_file = folder / f"{name}.key"
        with database.begin() as connection:
            initialise(connection, key_file)
        config = folder / f"{name}.toml"
        config.write_text(_configuration(url, key_file, raw, redcap))
        config.chmod(0o600)
        try:
            yield Site(database=database, key_file=key_file, raw=raw, config=config)
        finally:
            database.close()


def _configuration(url: str, key_file: Path, raw: Path, redcap: Redcap) -> str:
    lines = [
        "[ledger]",
        f'url = "{url}"',
        f'data_dir = "{raw.with_name("data")}"',
        f'key_file = "{key_file}"',
        "[source]",
        f'raw = "{raw}"',
    ]
    # Our own limiter keeps below a real server's limit by waiting: that is not what is measured.
    lines += ["[redcap]", f'url = "{redcap.url}"', "calls_per_minute = 60000", "[redcap.tokens]"]
    lines += [f'{name} = "{token}"' for name, token in redcap.tokens.items()]
    return "\n".join(lines) + "\n"


def _now() -> datetime:
    return datetime.now().astimezone()
