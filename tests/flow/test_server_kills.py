"""PostgreSQL is killed in the middle of a run and started again; the next run ends as if nothing had happened."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from psycopg.conninfo import conninfo_to_dict

from ledger import embedded
from ledger.database import open_database
from ledger.errors import LedgerError
from ledger.migrations import migrate
from ledger.programs import installed
from ledger.vault import initialise
from tests.conftest import Server, server_folder
from tests.flow import table
from tests.flow.crashes import SAME, Prepared, Undisturbed, completed, left_alone, named, prepared_site, restored
from tests.flow.harness import Steps

EVERY = 7
"""Of the steps before and after commits that have something to write, every so many-th: recovery takes time."""
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
    return left_alone(prepared)


@pytest.mark.parametrize("stretch", range(STRETCHES))
def test_after_postgresql_was_killed_the_next_run_ends_in_the_same_state(
    mortal: MortalServer, prepared: Prepared, undisturbed: Undisturbed, stretch: int
) -> None:
    places = named(undisturbed)
    imports = {number for number, name in enumerate(places, start=1) if "before import" in name}
    different = []
    for number in sorted({*sorted(undisturbed.writing)[::EVERY], *imports})[stretch::STRETCHES]:
        with restored(prepared) as site:
            with contextlib.suppress(LedgerError):
                site.run(Steps(fatal=number, kill=mortal.kill))
            mortal.restart()
            site.close()  # connections to the server that was
            outcome = completed(site, undisturbed, number)
        table.CASES.append((f"PostgreSQL, step {number:3}", places[number - 1], outcome))
        if outcome != SAME:
            different.append((number, places[number - 1], outcome))
    assert different == []


def test_a_run_that_loses_postgresql_says_so_and_does_not_go_on(
    mortal: MortalServer, prepared: Prepared, undisturbed: Undisturbed
) -> None:
    first = min(undisturbed.writing)
    with restored(prepared) as site:
        with pytest.raises(LedgerError):
            site.run(Steps(fatal=first, kill=mortal.kill))
        assert site.calls == []
        mortal.restart()
        site.close()
