"""Runs on a machine whose clock is wrong: they are refused before anything is decided, and leave nothing behind."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from ledger.database import Database
from processors.cli.bootstrap import now
from processors.cli.news import Audience
from processors.cli.runs import periodic_run
from processors.clocks import ClockComparison
from processors.demo.simulator import Simulator
from processors.errors import WrongClock
from processors.redcap import NoRateLimit, Redcap
from tests.cli.conftest import Site
from tests.cli.test_run import in_one_sentence

Run = Callable[[timedelta], bool]
YEAR, HOUR = timedelta(days=365), timedelta(hours=1)


@pytest.fixture
def run(site: Site) -> Run:
    """A run on a machine whose clock is so much ahead; so is PostgreSQL's, where it is told to be on the same one."""

    def run(ahead: timedelta) -> bool:
        return periodic_run(site.config, Audience(verbose=True), command="run", clock=lambda: now() + ahead)

    return run


def set_clock(database: Database, ahead: timedelta) -> None:
    """Sets PostgreSQL's clock, in this database, which is no test's any more afterwards."""
    with database.begin() as connection:
        connection.execute(
            text(f"""
            -- Plans that are kept hold the clock as it was: connections to databases with settings are made anew.
            do $$ begin execute format('alter database %I set plan_cache_mode = auto', current_database()); end $$;
            delete from gateway.call_budget; -- else the first call after a step back is waited for, a minute
            set local allow_system_table_mods = on;
            create or replace function public.right_clock() returns timestamptz language internal as 'clock_timestamp';
            create or replace function pg_catalog.clock_timestamp() returns timestamptz language sql
                as 'select public.right_clock() + interval ''{ahead.total_seconds()} s''';
        """)
        )


def head(database: Database) -> int:
    with database.begin() as connection:
        return int(connection.execute(text("select position from ledger.head")).scalar_one())


@pytest.mark.parametrize("ahead", [YEAR, -timedelta(days=30), 2 * HOUR])
def test_a_clock_that_contradicts_postgresql_ends_the_run_before_anything_is_recorded(
    run: Run, site: Site, database: Database, ahead: timedelta
) -> None:
    run(timedelta(0))
    before, calls = head(database), len(site.simulator.calls)
    with pytest.raises(WrongClock, match=r"This machine's clock says .*, that of PostgreSQL"):
        run(ahead)
    assert (head(database), len(site.simulator.calls)) == (before, calls)
    run(timedelta(0))
    status = site.command("status")
    assert f"Last run: run at {datetime.now().astimezone():%Y-%m-%d}" in status.out
    assert status.code == 0


def test_it_is_exit_code_3_and_a_sentence(site: Site, database: Database) -> None:
    site.change("[redcap]", "[clock]\ntolerance_minutes = 60\n[redcap]")
    site.command("run")
    set_clock(database, -timedelta(days=1))
    done = site.command("run")
    assert (done.code, in_one_sentence(done)) == (3, True)
    assert "[fiona-ledger] This machine's clock says " in done.err


def test_a_few_minutes_are_told_and_hold_nothing_up(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run(timedelta(minutes=9))
    assert "This machine's clock is 9 minutes ahead of that of PostgreSQL" in capsys.readouterr().out


class OneMachine:
    """A machine with a PostgreSQL of its own: a wrong clock is that of both, and REDCap alone knows better."""

    def __init__(self, site: Site, database: Database) -> None:
        self.site, self.database = site, database

    def run(self, ahead: timedelta) -> None:
        set_clock(self.database, ahead)
        periodic_run(self.site.config, Audience(verbose=True), command="run", clock=lambda: now() + ahead)


@pytest.fixture
def machine(site: Site, database: Database) -> OneMachine:
    return OneMachine(site, database)


@pytest.mark.parametrize("ahead", [YEAR, -timedelta(days=30)])
def test_where_postgresql_is_wrong_as_well_redcap_is_asked_before_arrivals_are_recorded(
    machine: OneMachine, database: Database, ahead: timedelta
) -> None:
    to_come = machine.site.raw.rename(machine.site.raw.with_name("to come"))
    machine.site.raw.mkdir()
    machine.run(timedelta(0))
    machine.site.raw.rmdir()
    to_come.rename(machine.site.raw)
    before = head(database)
    with pytest.raises(WrongClock, match="that of REDCap"):
        machine.run(ahead)
    assert head(database) == before
    machine.run(timedelta(0))
    assert head(database) > before


def test_a_clock_that_went_back_is_not_believed_while_redcap_cannot_be_asked(machine: OneMachine) -> None:
    machine.run(timedelta(0))
    machine.site.shut_out()
    with pytest.raises(WrongClock, match="in an earlier run: one of the two is wrong"):
        machine.run(-timedelta(days=30))


def test_after_an_outage_the_first_run_reads_the_disk_although_redcap_cannot_be_asked(
    machine: OneMachine, database: Database
) -> None:
    to_come = machine.site.raw.rename(machine.site.raw.with_name("to come"))
    machine.site.raw.mkdir()
    machine.run(timedelta(0))
    machine.site.raw.rmdir()
    to_come.rename(machine.site.raw)
    with database.begin() as connection:
        connection.execute(text("update gateway.site set clock_at = clock_at - interval '3 days'"))
    machine.site.shut_out()
    assert machine.site.command("run").code == 3
    with database.begin() as connection:
        assert connection.execute(text("select count(*) from gateway.study")).scalar_one() == 54


def test_redcaps_clock_is_heard_in_each_response_that_counts(simulator: Simulator) -> None:
    tokens = {name: project.token for name, project in simulator.projects.items()}
    clocks = ClockComparison(lambda: now() + 3 * HOUR, tolerance=HOUR)
    with (
        Redcap(url=simulator.url, tokens=tokens, rate_limit=NoRateLimit(), clocks=clocks) as client,
        pytest.raises(WrongClock, match="that of REDCap"),
    ):
        client.metadata("incoming")


def test_two_gateways_with_one_name_are_noticed_when_they_take_turns(site: Site, database: Database) -> None:
    for _ in range(3):
        site.command("run")
    assert site.command("status").code == 0
    with database.begin() as connection:
        runs = connection.execute(text("select run from gateway.run order by started_at")).scalars().all()
        rename = text("update gateway.run set machine = 'fiona-clone (0a1b2c3d)' where run = :run")
        connection.execute(rename, {"run": runs[0]})
    assert site.command("status").code == 0, "a gateway that moved to another machine"
    with database.begin() as connection:
        connection.execute(rename, {"run": runs[2]})
    shown = site.command("status").out
    assert "two gateways with one name" in shown
    assert "fiona-clone (0a1b2c3d) and " in shown


def test_old_runs_are_counted_by_day_and_their_rows_go(site: Site, database: Database) -> None:
    site.command("run")
    with database.begin() as connection:
        connection.execute(
            text("""
            insert into gateway.run (run, site, command, started_at, exit_code, changed, summary)
            select gen_random_uuid(), 'main', 'run', now() - age, 0, changed, '{"events": 2, "calls": 5}'
              from (values (interval '20 days', false), (interval '40 days', false), (interval '40 days', true),
                           (interval '400 days', true), (interval '400 days', true)) as old (age, changed)
        """)
        )
    site.command("run")
    with database.begin() as connection:
        rows = connection.execute(text("select count(*) from gateway.run")).scalar_one()
        told = connection.execute(text("select runs, events, calls from audit.runs_by_day order by day")).all()
    assert rows == 4
    assert [tuple(row) for row in told][:4] == [(2, 4, 10), (2, 4, 10), (1, 2, 5), (2, *told[-1][1:])]


def test_the_machine_is_named_in_the_audit(site: Site) -> None:
    site.command("run")
    (row,) = site.command("audit", "run", "--json").data
    assert Path("/proc/sys/kernel/random/boot_id").read_text()[:8] in row["machine"]
