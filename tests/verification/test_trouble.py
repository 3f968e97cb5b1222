"""What befalls a run: lost connections, lost keys, clocks, servers that take no changes, newer ledgers, two sites."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from ledger import verification
from ledger.database import Database
from ledger.errors import Unreachable
from ledger.projector import Projector
from ledger.store import Store
from processors.projections import PROJECTIONS
from tests.conftest import SettableClock
from tests.databases import end_waiting
from tests.flow.harness import HEART, Asked, Site, Steps, standard_simulator
from tests.ledger.samples import append, fact, opened, scalar
from tests.source.receiver import Receiver
from tests.verification.program import Program, configured

ROOT = Path(__file__).parents[2]


@pytest.fixture
def site(database_url: str, key_file: Path, clock: SettableClock, tmp_path: Path) -> Iterator[Site]:
    """Two studies have arrived; a rule sends them on."""
    clock.now = datetime.now().astimezone()  # the program goes by the machine's
    with standard_simulator(clock) as simulator:
        site = Site(folder=tmp_path, database_url=database_url, key_file=key_file, clock=clock, simulator=simulator)
        site.rule(patient_id=r"PID-\d+")
        site.series("1.2.3")
        site.series("1.2.4")
        yield site
        site.close()


@pytest.fixture
def program(site: Site, key_file: Path, tmp_path: Path) -> Program:
    return configured(
        tmp_path,
        url=site.database_url,
        key_file=key_file,
        raw=site.receiver.raw,
        redcap=(site.simulator.url, site.tokens),
    )


def started(program: Program, *arguments: str) -> subprocess.Popen[str]:
    """The program in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "processors.cli.main", "--config", str(program.config), *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "LANG": "C.UTF-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def assert_complete(site: Site) -> None:
    for study in ("1.2.3", "1.2.4"):
        assert site.transfers(study) == {1: Asked(HEART, "PID-1")}
        assert len(site.series_rows(study)) == 1
    assert len(site.events("TransferRequested")) == 2
    assert site.attention() == {}
    site.assert_sound()


# Losing the connection


def terminate_waiting(database: Database) -> bool:
    """Ends a connection that waits for a lock; False where none does yet."""
    with database.begin() as connection:
        return bool(
            connection.execute(
                text("""
                    select count(*) filter (where pg_terminate_backend(pid)) from pg_stat_activity
                     where datname = current_database() and wait_event_type = 'Lock'
                """)
            ).scalar_one()
        )


def test_a_connection_that_is_lost_in_the_middle_of_a_run_ends_it_with_3_and_nothing_half_done(
    site: Site, program: Program, database: Database
) -> None:
    with database.begin() as holding:
        holding.execute(text("select from ledger.head for update"))
        run = started(program, "run")
        while not terminate_waiting(database):
            assert run.poll() is None
    _, err = run.communicate(timeout=60)
    assert run.returncode == 3
    assert "PostgreSQL is not reachable or ended the connection" in err
    assert "Traceback" not in err
    for table in ("ledger.event", "ledger.subject", "gateway.study", "gateway.file", "gateway.folder"):
        assert scalar(database, f"select count(*) from {table}") == 0
    assert program("run").code == 0
    assert_complete(site)


def test_a_connection_lost_at_any_step_of_a_run_leaves_a_ledger_that_the_next_run_completes(site: Site) -> None:
    terminate = text("""
        select pg_terminate_backend(pid, 5000) from pg_stat_activity
         where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
           and application_name = 'fiona-ledger'
    """)

    def cut_off() -> None:
        with opened(site.database_url) as other, other.begin() as connection:
            connection.execute(terminate)

    lost, step = 0, 1
    while True:
        steps = Steps(fatal=step, kill=cut_off)
        try:
            site.run(steps)
        except Unreachable:
            lost += 1
            with opened(site.database_url) as found, found.begin() as connection:
                verification.verify(connection)
        site._database.engine.dispose()
        if len(steps.names) < step:
            break
        step += 3
    assert lost > 3
    site.run()
    assert_complete(site)


# Keys


def remove(key_file: Path) -> None:
    key_file.unlink()


def exchange(key_file: Path) -> None:
    content = key_file.read_text()
    turned = {"A": "B"}.get(content[40], "A")
    key_file.write_text(content[:40] + turned + content[41:])


@pytest.mark.parametrize(("spoil", "words"), [(remove, "is missing"), (exchange, "not the one this ledger")])
def test_without_the_right_key_nothing_is_written_and_what_needs_no_key_works(
    site: Site, program: Program, key_file: Path, spoil: Callable[[Path], None], words: str
) -> None:
    assert program("run").code == 0
    site.series("1.2.5")
    spoil(key_file)
    before = site.everything_stored()
    ended = program("run")
    assert (ended.code, ended.out) == (2, "")
    assert words in ended.err
    assert site.everything_stored() == before
    verified = program("verify")
    assert (verified.code, words in verified.out) == (1, True)
    assert program("export").out.count("\n") == site.head() + 1
    assert program("rebuild").code == 0


# Ledgers of another version


def test_a_ledger_newer_than_the_program_is_left_alone_by_every_command(site: Site, program: Program) -> None:
    assert program("run").code == 0
    with site._database.begin() as connection:
        connection.execute(text("update ledger.alembic_version set version_num = '9999'"))
    before = site.everything_stored()
    for command in (["run"], ["status"], ["verify"], ["export"], ["rebuild"], ["grant", "--auditor", "x"]):
        ended = program(*command)
        assert (ended.code, ended.out) == (2, "")
        assert "revision 9999" in ended.err
        assert "Install that version; nothing was changed." in ended.err
    assert site.everything_stored() == before


@pytest.mark.parametrize("command", ["verify", "export", "rebuild"])
def test_a_database_without_a_ledger_says_what_to_run(
    empty_url: str, key_file: Path, tmp_path: Path, command: str
) -> None:
    ended = configured(tmp_path, url=empty_url, key_file=key_file)(command)
    assert (ended.code, "Run `fiona-ledger migrate` once" in ended.err) == (2, True)


# Clocks


def test_a_clock_that_goes_backwards_loses_nothing_and_the_ledger_verifies(
    site: Site, program: Program, clock: SettableClock
) -> None:
    site.run()
    clock.advance(-86_400)
    site.series("1.2.5")
    site.run()
    assert site.transfers("1.2.5") == {1: Asked(HEART, "PID-1")}
    recorded = [row[0] for row in site.query("select recorded_at from ledger.event order by position")]
    assert recorded != sorted(recorded)
    site.assert_sound()
    assert program("verify", "--projections").code == 0
    assert program("export").code == 0


# Servers that take no changes


def make_read_only(database: Database) -> None:
    name = scalar(database, "select current_database()")
    with database.begin() as connection:
        connection.execute(text(f"alter database {name} set default_transaction_read_only to on"))
    end_waiting(database._conninfo)


def test_a_database_that_takes_no_changes_ends_a_run_with_3_and_can_be_verified(
    site: Site, program: Program, database: Database
) -> None:
    assert program("run").code == 0
    site.series("1.2.5")
    before = site.everything_stored()
    make_read_only(database)
    ended = program("run")
    assert (ended.code, "PostgreSQL takes no changes" in ended.err) == (3, True)
    assert site.everything_stored() == before
    assert program("verify").code == 0
    assert program("export").code == 0
    ended = program("rebuild")
    assert (ended.code, "PostgreSQL takes no changes" in ended.err) == (3, True)


FULL_DISK = """
    create function public.full_disk() returns trigger language plpgsql as $$
    begin raise 'could not extend file: No space left on device' using errcode = '53100'; end $$;
    create trigger full_disk before insert on {} for each row execute function public.full_disk();
"""


@pytest.mark.parametrize("table", ["ledger.event", "gateway.series", "gateway.transfer"])
def test_a_database_that_is_full_ends_a_run_with_3_and_the_next_one_completes_it(
    site: Site, program: Program, table: str
) -> None:
    with site._database.begin() as connection:
        connection.execute(text(FULL_DISK.format(table)))
    ended = program("run")
    assert ended.code == 3
    assert "PostgreSQL cannot do its part: could not extend file: No space left on device." in ended.err
    with site._database.begin() as connection:
        connection.execute(text("drop function public.full_disk cascade"))
    assert program("verify", "--projections").code == 0
    assert program("run").code == 0
    assert_complete(site)


# Two sites


def test_two_sites_append_to_one_ledger_in_one_order(database: Database, database_url: str) -> None:
    each, barrier = 30, threading.Barrier(2)

    def work(name: str) -> None:
        store = Store(site=name, run=uuid4(), clock=lambda: datetime.now(UTC))
        barrier.wait(30)
        with opened(database_url) as own:
            for number in range(each):
                with own.begin() as connection:
                    store.append(connection, [fact(f"{name}/{number % 3}"), fact("shared")])

    sites = [threading.Thread(target=work, args=[name]) for name in ("north", "south")]
    for thread in sites:
        thread.start()
    for thread in sites:
        thread.join(60)
    with database.begin() as connection:
        found = verification.verify(connection)
    assert (found.position, found.streams) == (4 * each, 7)
    per_site = scalar(database, "select json_object_agg(site, n) from (select site, count(*) as n from ledger.event "
                                "group by site) as s")  # fmt: skip
    assert per_site == {"north": 2 * each, "south": 2 * each}


def test_runs_of_two_sites_at_once_keep_their_studies_apart_in_one_ledger(
    site: Site, clock: SettableClock, key_file: Path, tmp_path: Path, database: Database
) -> None:
    programs = []
    for number, name in enumerate(["north", "south"]):
        receiver = Receiver(tmp_path / name, clock)
        for study in range(5):
            receiver.summary(
                f"9.{number}.{study}", f"9.{number}.{study}.1", PatientID=f"PID-{number}{study}", **CONNECTION
            )
        programs.append(
            configured(
                tmp_path,
                url=site.database_url,
                key_file=key_file,
                site=name,
                raw=receiver.raw,
                redcap=(site.simulator.url, site.tokens),
            )
        )
    for run in [started(program, "run") for program in programs]:
        _, err = run.communicate(timeout=120)
        # Both may note the same new rule at the same moment: one of them is told so, and leaves it to its next run.
        assert (run.returncode, err) == (0, "") or (run.returncode == 3 and "The next run goes on." in err)
    assert [program("run").code for program in programs] == [0, 0]
    by_site: dict[str, Any] = scalar(
        database, "select json_object_agg(site, studies) from (select site, count(*) as studies from gateway.study "
                  "group by site) as s"
    )  # fmt: skip
    assert by_site == {"north": 5, "south": 5}
    assert scalar(database, "select count(*) from ledger.event where site not in ('north', 'south')") == 0
    for number in range(2):
        for study in range(5):
            assert site.transfers(f"9.{number}.{study}") == {1: Asked(HEART, f"PID-{number}{study}")}
    with database.begin() as connection:
        verification.verify(connection)
    with database.begin() as connection:
        assert verification.compare(connection, PROJECTIONS) == []


CONNECTION: dict[str, Any] = {
    "PatientName": "Doe^Jane",
    "IncomingConnection": {"AETitleCalled": "FIONA", "AETitleCaller": "CT1", "CallerIP": "10.0.0.1"},
}


def test_a_projection_that_is_behind_is_no_failure_of_the_ledger(site: Site, program: Program) -> None:
    site.run()
    append(site._database, fact("elsewhere"))
    assert program("verify", "--projections").code == 0
    Projector(PROJECTIONS).catch_up(site._database.begin)
