"""What a run costs depends on what is new and in force, not on how long the ledger has lived."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest
from sqlalchemy import event, text
from sqlalchemy.engine import Engine

from ledger.dry_run import DryRun
from processors.delivery.due import is_anything_due
from processors.events.operations import RedcapAccepted
from processors.gateway import Gateway
from processors.run import Report, recorded_run
from tests.autoid.sites import AETITLE, AutoidSite
from tests.benchmarks.years import BIG, age
from tests.flow.harness import HEART

ROWS = 5_000


def rows_read(site: AutoidSite) -> dict[str, int]:
    """How many rows of each table were read, by going through it or by an index."""
    rows = site.query("""
        select relname, (seq_tup_read + coalesce(idx_tup_fetch, 0))::int from pg_stat_user_tables
         where schemaname = 'gateway'
    """)
    return {table: read for table, read in rows if table in BIG}


def _use_indexes(site: AutoidSite) -> None:
    """From now on all that is read is counted; and tables are as if they were large, where there is an index."""
    with site._database.begin() as connection:
        name = connection.execute(text("select current_database()")).scalar_one()
        connection.execute(text(f"alter database {name} set enable_seqscan = off"))
        # As servers are, and the tests' own is not: see `server`.
        connection.execute(text(f"alter database {name} set plan_cache_mode = auto"))
        # As autovacuum does in time, which the tests' server lacks: else plans go by what an earlier test left behind.
        connection.execute(text("analyze"))
    site.query("select pg_stat_reset()")
    site._database.engine.dispose()


@contextmanager
def counted_statements() -> Iterator[list[str]]:
    """All that PostgreSQL is asked meanwhile."""
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_others: object) -> None:
        asked.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def test_a_project_for_which_nothing_waits_costs_a_run_one_question(site: AutoidSite) -> None:
    """Each cost fourteen: with forty projects, an idle minute asked nearly seven hundred."""

    def questions_with(projects: int) -> int:
        for number in range(projects):
            site.project(str(number), name=f"Project {number}", pattern=f"P{number}-[0-9]{{4}}", aetitle=f"P{number}")
        site.study("1.2.1", called="P0")
        site.run()
        site.run()
        with counted_statements() as asked:
            site.run()
        return len(asked)

    few, many = questions_with(2), questions_with(7)
    assert many - few == 7 - 2


def test_a_run_that_finds_nothing_new_asks_little(site: AutoidSite) -> None:
    """It asked twice as much: much of it several times, and in units of work of its own."""
    site.rule(patient_id="PID-7$")
    site.entry(accession="ACC-1")
    site.study("1.2.1", "PID-7")
    for _ in range(3):
        site.run()
    with counted_statements() as asked:
        site.run()
    assert len(asked) <= 50


@pytest.mark.parametrize("hourly", [False, True])
def test_no_run_goes_through_what_was_settled_long_ago(site: AutoidSite, *, hourly: bool) -> None:
    """Each run used to load all removed coupling entries, and to go through all runs and requests there had been."""
    site.rule(patient_id="PID-7$")
    site.entry(accession="ACC-1")
    site.study("1.2.1", "PID-1")
    site.series("1.2.2", AccessionNumber="ACC-1", PatientID="X")
    site.run()
    site.run()
    with site._database.begin() as connection:
        age(connection, studies=ROWS, entries=ROWS, runs=ROWS, called=AETITLE, project=HEART)
    with site.machine.gateway() as gateway, gateway.begin() as work:
        # REDCap holds nothing of those years, which would be taken for a restored backup.
        work.record([RedcapAccepted(site="main", by="operator", reason="a test")])
    _use_indexes(site)
    report = site.run(after=3_700 if hourly else 60)
    assert report.discovery is not None
    assert report.discovery.full_pass is hourly
    site.query("select pg_sleep(0.1)")
    read = rows_read(site)
    assert {table: rows for table, rows in read.items() if rows >= ROWS} == {}


def test_what_waits_to_be_written_is_found_without_the_rest(site: AutoidSite, gateway: Gateway) -> None:
    """PostgreSQL took it for a third of all there is, and went through all studies for it."""
    site.run()
    with site._database.begin() as connection:
        age(connection, studies=ROWS, entries=1, runs=1, called=AETITLE, project=HEART)
        connection.execute(text("analyze"))
    # One transaction: what it has read is known before its end.
    with DryRun(gateway.database) as gateway.database:
        assert not is_anything_due(gateway, ["study", "series", "transfer"])
        with gateway.begin() as work:
            read = work.execute(_READ_OF_STUDIES).scalar_one()
    assert read < ROWS


_READ_OF_STUDIES = text("""
    select seq_tup_read + idx_tup_fetch from pg_stat_xact_user_tables where schemaname = 'gateway' and relname = 'study'
""")


def test_what_is_kept_of_runs_is_found_by_its_index(site: AutoidSite, gateway: Gateway) -> None:
    site.run()
    with site._database.begin() as connection:
        age(connection, studies=1, entries=1, runs=ROWS, called=AETITLE, project=HEART)
    _use_indexes(site)
    gateway.run = uuid4()
    with recorded_run(gateway, "run", Report()):
        pass
    gateway.database.close()
    site.query("select pg_sleep(0.1)")
    assert rows_read(site)["run"] < ROWS
