"""Embedded servers of a test's own, which may be killed and moved away."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from ledger.database import Database, open_database
from tests.conftest import server_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    with server_folder() as found:
        yield found


@pytest.fixture(scope="session")
def stopped() -> Iterator[Path]:
    """A folder with the data of a server that was stopped."""
    with server_folder() as found:
        open_database("embedded", found).close()
        yield found


@pytest.fixture
def used(stopped: Path, folder: Path) -> Path:
    """A folder of the test's own with data in it: making those takes a second."""
    subprocess.run(["/bin/cp", "-a", stopped / "postgres", folder], check=True)
    return folder


@contextmanager
def embedded(folder: Path, *, stays: float = 0) -> Iterator[Database]:
    database = open_database("embedded", folder, stays=timedelta(seconds=stays))
    try:
        yield database
    finally:
        database.close()


def postmaster(folder: Path) -> psutil.Process:
    return psutil.Process(int((folder / "postgres" / "postmaster.pid").read_text().split()[0]))


def wait_until_it_has_gone(process: psutil.Process) -> None:
    deadline = time.monotonic() + 60
    while is_there(process):
        assert time.monotonic() < deadline, process
        time.sleep(0.01)


def is_there(process: psutil.Process) -> bool:
    """Where nobody reaps it, a dead process stays on as a zombie."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
