"""PgBouncer before a server, where it is installed."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.pooler import PORT, url_of
from tests.servers.cluster import postgres_user

INSTALLED = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")

_PATIENCE = 30


@contextmanager
def standing_before(server_folder: str) -> Iterator[str]:
    """The folder with the socket of a pooler, which gives each transaction another of its server connections."""
    assert INSTALLED is not None
    folder = Path(tempfile.mkdtemp(prefix="fiona-pooler-", dir="/var/tmp"))  # short, for the socket's path
    if (user := postgres_user()) is not None:
        shutil.chown(folder, user)
    settings = folder / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\n* = host={server_folder} port=5432 user=postgres\n[pgbouncer]\npool_mode = transaction\n"
        f"server_round_robin = 1\nlisten_port = {PORT}\nunix_socket_dir = {folder}\nauth_type = any\n"
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([INSTALLED, settings], stdout=log, stderr=log, cwd=folder, user=user)
    try:
        _await_answer(process, folder)
        yield str(folder)
    finally:
        process.kill()
        process.wait(_PATIENCE)
        shutil.rmtree(folder)


def _await_answer(process: "subprocess.Popen[bytes]", folder: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        try:
            psycopg.connect(url_of(folder, "postgres"), connect_timeout=_PATIENCE).close()
        except psycopg.OperationalError:
            time.sleep(0.05)
            continue
        return
    raise AssertionError((folder / "log").read_text())
