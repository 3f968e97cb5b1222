"""What tests run in processes of their own: functions that a fresh interpreter can import."""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, text

from ledger import lease
from ledger.database import open_database
from ledger.errors import Unreachable
from ledger.events import Told
from ledger.migrations import migrate
from ledger.projector import Changes, Projector
from ledger.vault import SubjectName, Vault, initialise
from tests.ledger.samples import fact, opened, the_store
from tests.processes import context


@contextmanager
def processes(count: int) -> Iterator[Executor]:
    """Processes that are forked from a fresh interpreter, not from this one with its threads and sockets."""
    with ProcessPoolExecutor(count, mp_context=context()) as pool:
        yield pool


class Tally:
    """A projection that counts how often it was given each event, and remembers the last one."""

    name = "tally"
    tables = ("public.tally",)

    def __init__(self, code_version: int = 1, types: frozenset[str] = frozenset({"Happened"})) -> None:
        self.code_version = code_version
        self.types = types

    def plan(self, events: Sequence[Told]) -> Changes:
        insert = text("""
            insert into public.tally (stream, position, times, n)
            values (:stream, :position, 1, :n)
            on conflict (position) do update set times = tally.times + 1
        """)
        rows = [{"stream": e.stream, "position": e.position, "n": e.data.get("n")} for e in events]

        def change(connection: Connection) -> None:
            connection.execute(insert, rows)

        return change


def append_one_by_one(url: str, writer: int, count: int) -> int:
    with opened(url) as database:
        for number in range(count):
            with database.begin() as connection:
                the_store().append(connection, [fact(f"writer/{writer}", number=number)])
    return count


def migrate_and_initialise(url: str, key_file: Path) -> tuple[bool, bool]:
    with opened(url) as database:
        changed = migrate(database)
        with database.begin() as connection:
            made = initialise(connection, key_file)
    return changed, made


def make_subjects(url: str, key_file: Path, names: list[SubjectName]) -> list[str]:
    with opened(url) as database, database.begin() as connection:
        vault = Vault.open(connection, key_file)
        return [str(vault.subjects(connection, [name])[name]) for name in names]


def hold_and_die(url: str) -> None:
    """Takes the lease of a run, and is killed with it."""
    with opened(url) as database, lease.held(database, lease.RUN, "main") as busy:
        assert busy is None
        os.kill(os.getpid(), signal.SIGKILL)


def catch_up(url: str) -> int:
    with opened(url) as database:
        return Projector([Tally()]).catch_up(database.begin)


def append_to_embedded(data_dir: str) -> None:
    """Says the position of every event that was acknowledged, and when the server has gone."""
    database = open_database("embedded", Path(data_dir))
    migrate(database)
    try:
        while True:
            with database.begin() as connection:
                (event,) = the_store().append(connection, [fact()])
            print(event.position, flush=True)  # noqa: T201 - the parent reads it
    except Unreachable:
        print("unreachable", flush=True)  # noqa: T201


if __name__ == "__main__":
    append_to_embedded(sys.argv[1])
    os._exit(0)
