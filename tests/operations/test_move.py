"""A ledger moved to another database: the same there, whatever interrupts it, and nothing else is written over."""

from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from ledger import lease
from ledger.database import Database, open_database
from ledger.errors import Misconfigured
from ledger.migrations import migrate
from ledger.vault import initialise
from processors.errors import ServiceError
from processors.operations.move import Moved, move
from tests.cli.test_backup import configuration, give, record
from tests.conftest import server_folder
from tests.flow.harness import HEART, Killed, Site, SteppingDatabase, Steps

_OWN = ("ledger.lease", "ledger.projection")


@pytest.fixture
def lived(site: Site) -> Site:
    """A ledger of which something stands in many tables."""
    site.rule("1", patient_id="H-[0-9]+")
    for number in range(4):
        site.series(f"1.{number}", PatientID=f"H-{number}")
    site.entry(study="1.1", project=HEART, subject="H-77")
    site.run()
    return site


def moved(site: Site, url: str, steps: Steps | None = None, *, events_a_step: int = 8) -> Moved:
    with (
        closing(Database(site.database_url)) as source,
        closing(SteppingDatabase(url, steps or Steps())) as target,
    ):
        return move(source, target, site.key_file, events_a_step=events_a_step)


def rows(url: str) -> dict[str, list[bytes]]:
    """All rows of a ledger but those of who works on it, as COPY writes them."""
    tables = """select oid::regclass::text from pg_class
                 where relnamespace::regnamespace::text in ('ledger', 'gateway') and relkind = 'r'"""
    with psycopg.connect(url) as connection:
        found = {}
        for (table,) in connection.execute(tables).fetchall():
            with connection.cursor().copy(f"copy {table} to stdout") as copy:
                found[table] = sorted(b"".join(copy).splitlines())
    return {table: lines for table, lines in found.items() if table not in _OWN}


def bury(url: str) -> None:
    """A killed move in this process holds its lease on."""
    with psycopg.connect(url) as connection:
        if connection.execute("select to_regclass('ledger.lease') is not null").fetchone() == (True,):
            connection.execute("delete from ledger.lease")


def test_killed_at_every_step_the_same_again_ends_in_the_same_ledger(lived: Site, empty_url: str) -> None:
    steps = 0
    while True:
        steps += 1
        try:
            done = moved(lived, empty_url, Steps(steps))
            break
        except Killed:
            bury(empty_url)
    assert steps > 10
    assert (done.position, done.there) == (lived.head(), lived.head())
    assert rows(empty_url) == rows(lived.database_url)


def test_a_database_with_other_presets_takes_the_same_ledger(lived: Site, empty_url: str) -> None:
    """Two servers are seldom in the same zone: what is compared as text must not follow it."""
    with psycopg.connect(empty_url, autocommit=True) as connection:
        for setting in ("timezone = 'Asia/Kathmandu'", "datestyle = 'SQL, DMY'", "extra_float_digits = 0"):
            connection.execute(f'alter database "{connection.info.dbname}" set {setting}')
    assert moved(lived, empty_url).position == lived.head()


def test_what_came_since_is_copied_by_the_same_again(lived: Site, empty_url: str) -> None:
    first = moved(lived, empty_url)
    lived.series("1.9", PatientID="H-9")
    lived.run()
    again = moved(lived, empty_url)
    assert (first.there, again.there) == (0, first.position)
    assert rows(empty_url) == rows(lived.database_url)


def test_another_ledger_is_never_written_over(lived: Site, empty_url: str, tmp_path: Path) -> None:
    with closing(open_database(empty_url, tmp_path)) as database:
        migrate(database)
        with database.begin() as connection:
            initialise(connection, tmp_path / "another.key")
    before = rows(empty_url)
    with pytest.raises(Misconfigured, match="found another ledger"):
        moved(lived, empty_url)
    assert rows(empty_url) == before


def test_a_copy_that_has_gone_on_is_not_written_over(lived: Site, empty_url: str) -> None:
    moved(lived, empty_url)
    lived.series("1.9", PatientID="H-9")
    here, lived.database_url = lived.database_url, empty_url
    lived.run()
    before = rows(empty_url)
    lived.database_url = here
    with pytest.raises(Misconfigured, match="has gone on there"):
        moved(lived, empty_url)
    assert rows(empty_url) == before


def test_nothing_is_copied_to_a_database_on_which_a_run_works(lived: Site, empty_url: str) -> None:
    moved(lived, empty_url)
    with (
        closing(Database(empty_url)) as other,
        lease.held(other, lease.RUN, "main"),
        pytest.raises(ServiceError, match="must be another"),
    ):
        moved(lived, empty_url)


def test_an_embedded_ledger_moves_to_a_server_and_is_gone_on_with_there(empty_url: str) -> None:
    with server_folder() as folder:
        config = configuration(folder)
        record(config, "19151210-0001")
        done = give(config, "move", "--to", empty_url)
        assert (done.exit_code, "To switch" in done.output) == (0, True), done.output
        config.write_text(config.read_text().replace('"embedded"', f'"{empty_url}"'))
        verified = give(config, "verify", "--projections")
        assert (verified.exit_code, "Subjects: 1" in verified.output) == (0, True), verified.output
