"""Throw-away PostgreSQL servers from installed binaries, run by PostgreSQL's own user where we are root."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from ledger import embedded
from ledger.programs import Programs, installed

INSTALLED = sorted({programs.version: programs for programs in reversed(installed())}.values())
"""The programs of each version that the ledger supports, as far as they are here; the distribution's before others."""

_PATIENCE = 30


class Cluster:
    """One server, reached through a socket in a folder of its own."""

    def __init__(self, programs: Programs, folder: Path) -> None:
        self._binaries = programs.folder
        self.folder = folder
        self.data = folder / "data"
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/postgres?host={self.folder}"

    def initialise(self) -> None:
        self.run("initdb", "--pgdata", str(self.data), "--username=postgres", "--auth=trust", "--no-sync",
                 "--encoding=UTF8", "--locale=C")  # fmt: skip

    def run(self, program: str, *arguments: str) -> None:
        """A program of the server's, to its end."""
        subprocess.run(
            [self._binaries / program, *arguments],
            check=True,
            capture_output=True,
            cwd=self.folder,
            user=postgres_user(),
        )

    def start(self, **settings: str) -> None:
        """Starts the server and waits until it answers."""
        given = {"listen_addresses": "", "unix_socket_directories": str(self.folder), **settings}
        arguments = [part for name, value in given.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [self._binaries / "postgres", "-D", self.data, *arguments],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                user=postgres_user(),
            )
        self._await_answer()

    def _await_answer(self) -> None:
        assert self._server is not None
        while self._server.poll() is None:
            try:
                psycopg.connect(self.url, connect_timeout=_PATIENCE).close()
            except psycopg.OperationalError:
                continue
            return
        raise AssertionError((self.folder / "log").read_text())

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def kill(self) -> None:
        """SIGKILL for the server itself: all of its processes end at once, and nothing is finished."""
        if self._server is not None:
            self._server.kill()
            self._server.wait(_PATIENCE)
            self._server = None

    def stop(self) -> None:
        if self._server is not None:
            self._server.terminate()
            try:
                self._server.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                self.kill()
            self._server = None


@contextmanager
def cluster(programs: Programs) -> Iterator[Cluster]:
    """A folder for a server of this version; the server is stopped at the end."""
    # Short, for the socket's path, and below a folder that PostgreSQL's own user may pass.
    folder = Path(tempfile.mkdtemp(prefix="fiona-server-", dir="/var/tmp"))
    user = postgres_user()
    if user is not None:
        shutil.chown(folder, user)
        embedded._let_pass(programs.folder.resolve())
    made = Cluster(programs, folder)
    try:
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder)


def postgres_user() -> str | None:
    """Whom the server runs as: it refuses root."""
    if os.geteuid() != 0:
        return None
    return embedded._account(Path("/nowhere")).pw_name
