"""PostgreSQL is killed in the middle of a run and started again: what was committed is there, and no more."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from ledger import embedded
from ledger.database import open_database
from ledger.errors import LedgerError
from ledger.migrations import migrate
from ledger.programs import installed
from ledger.vault import initialise
from tests.conftest import Server, server_folder
from tests.databases import contents_of
from tests.flow import table
from tests.flow.crashes import (
    SAME,
    Left,
    Prepared,
    Undisturbed,
    comparable,
    completed,
    named,
    prepared_site,
    restored,
    state_of,
    swept,
)
from tests.flow.harness import Steps

STRETCHES = 2


class MortalServer:
    """A PostgreSQL of the test's own that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.start()
        socket_folder = conninfo_to_dict(self._embedded.conninfo)["host"]
        self.server = Server(f"postgresql://postgres@/postgres?host={socket_folder}")
        # Commits stay durable but for the machine's own end, which no test brings about.
        for setting in ("fsync", "full_page_writes", "autovacuum"):
            self.server.execute(f"alter system set {setting} = off")
        self.server.execute("select pg_reload_conf()")

    def start(self) -> None:
        self._embedded = embedded.start(self._folder, max(installed()))

    def kill(self) -> None:
        """SIGKILL for all of its processes."""
        pid = int((self._folder / "postgres" / "postmaster.pid").read_text().split()[0])
        postmaster = psutil.Process(pid)
        processes = [postmaster, *postmaster.children(recursive=True)]
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        _gone, alive = psutil.wait_procs(processes, timeout=30)
        # As root, nobody of ours is its parent: a zombie that its parent has not fetched yet is dead enough.
        assert all(process.status() == psutil.STATUS_ZOMBIE for process in alive)

    def restart(self) -> None:
        self._embedded.close()
        self.start()

    def close(self) -> None:
        self._embedded.close()


@pytest.fixture(scope="module")
def mortal() -> Iterator[MortalServer]:
    with server_folder() as folder:
        made = MortalServer(folder)
        try:
            yield made
        finally:
            made.close()


@pytest.fixture(scope="module")
def prepared(mortal: MortalServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    folder = tmp_path_factory.mktemp("server-kills")
    key_file = folder / "vault.key"
    with mortal.server.fresh() as name:
        database = open_database(mortal.server.url_of(name), folder)
        migrate(database)
        with database.begin() as connection:
            initialise(connection, key_file)
        database.close()
        with prepared_site(mortal.server, name, key_file, folder) as made:
            yield made


@pytest.fixture(scope="module")
def undisturbed(prepared: Prepared) -> Undisturbed:
    return swept(prepared)


def places(undisturbed: Undisturbed) -> list[int]:
    """Of each phase that writes the first step before a commit or the last after one, in turn; and before imports.

    What else could be tried differs in nothing: recovery takes time.
    """
    names = named(undisturbed)
    phases = list(dict.fromkeys(names[number - 1].split(":")[0] for number in sorted(undisturbed.writing)))
    first = {names[number - 1]: number for number in sorted(undisturbed.writing, reverse=True)}
    last = {names[number - 1]: number for number in sorted(undisturbed.writing)}
    commits = [
        last[f"{phase}: after a commit"] if place % 2 else first[f"{phase}: before a commit"]
        for place, phase in enumerate(phases)
    ]
    imports = {name: number for number, name in enumerate(names, start=1) if "before import" in name}
    return sorted({*commits, *imports.values()})


@pytest.mark.parametrize("stretch", range(STRETCHES))
def test_after_postgresql_was_killed_there_is_what_was_committed_and_the_run_did_not_go_on(
    mortal: MortalServer, prepared: Prepared, undisturbed: Undisturbed, stretch: int
) -> None:
    """What the next run makes of what is left: tests/flow/test_kills.py."""
    for number in places(undisturbed)[stretch::STRETCHES]:
        with restored(prepared) as site:
            with pytest.raises(LedgerError):
                site.run(Steps(fatal=number, kill=mortal.kill))
            calls = [name for name in undisturbed.steps[:number] if name.endswith("a call")]
            assert len(site.calls) == len(calls), number
            mortal.restart()
            site.close()  # connections to the server that was
            redcap = state_of(site.simulator.projects.values(), prepared.folder)
            with psycopg.connect(site.database_url) as connection:
                left = Left(contents_of(connection), redcap)
            assert comparable(left) == comparable(left_at(undisturbed, number)), named(undisturbed)[number - 1]


def left_at(undisturbed: Undisturbed, number: int) -> Left:
    """What the run has left when PostgreSQL was killed at that step: a call to REDCap is still carried out."""
    is_call = undisturbed.steps[number - 1].endswith("a call")
    return undisturbed.left[min(step for step in undisturbed.left if step >= number + is_call)]


def test_a_run_after_postgresql_was_killed_ends_in_the_same_state(
    mortal: MortalServer, prepared: Prepared, undisturbed: Undisturbed
) -> None:
    number = places(undisturbed)[-1]
    with restored(prepared) as site:
        with pytest.raises(LedgerError):
            site.run(Steps(fatal=number, kill=mortal.kill))
        mortal.restart()
        site.close()
        outcome = completed(site, undisturbed, number)
    table.CASES.append((f"PostgreSQL, step {number:3}", named(undisturbed)[number - 1], outcome))
    assert outcome == SAME
