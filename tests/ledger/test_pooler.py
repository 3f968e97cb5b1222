"""The program behind a transaction pooler, which gives each transaction another session."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import text

from ledger import lease
from ledger.database import Database
from ledger.migrations import migrate
from tests.conftest import Server, SettableClock
from tests.flow.harness import HEART, Asked, Site, standard_simulator
from tests.ledger.samples import append, everything, fact, opened, scalar
from tests.pooler import standing_before, url_of
from tests.verification.program import configured


@pytest.fixture
def pooler_folder(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The folder with the socket of a pooler before the server."""
    folder = tmp_path_factory.mktemp("p")
    socket_folder = parse_qs(urlsplit(server.url).query).get("host")
    if socket_folder is None:
        pytest.skip("a server that is not reached by a socket")
    with standing_before(Path(socket_folder[0], ".s.PGSQL.5432"), folder):
        yield str(folder)


@pytest.fixture
def pooled_url(pooler_folder: str, database_url: str) -> str:
    """The address of the test's database through the pooler."""
    return url_of(pooler_folder, urlsplit(database_url).path.lstrip("/"))


def test_each_transaction_gets_another_session_with_the_settings_that_it_needs(
    database: Database, pooled_url: str
) -> None:
    name = scalar(database, "select current_database()")
    with database.begin() as connection:
        connection.execute(text(f"alter database {name} set datestyle to 'German'"))
        connection.execute(text(f"alter database {name} set statement_timeout to '300ms'"))
    with opened(pooled_url) as pooled:
        with pooled.begin(), pooled.begin():
            pass  # so that there are two
        sessions = {scalar(pooled, "select pg_backend_pid()") for _ in range(6)}
        assert len(sessions) > 1
        stored = append(pooled, *(fact(number=number) for number in range(50)))
        for number in range(10):
            stored += append(pooled, fact(f"study/{number}"))
        assert everything(pooled) == stored
        assert scalar(pooled, "show datestyle") == "ISO, MDY"
        with pooled.begin() as connection:
            connection.execute(text("select pg_sleep(0.4)"))


def test_a_lease_is_one_holders_behind_a_pooler_too(pooled_url: str) -> None:
    with opened(pooled_url) as first, opened(pooled_url) as second:
        for _ in range(3):
            with lease.held(first, lease.RUN, "main") as busy:
                assert busy is None
                with lease.held(second, lease.RUN, "main") as found:
                    assert found is not None
        with lease.held(second, lease.RUN, "main") as busy:
            assert busy is None


def test_a_ledger_is_set_up_through_a_pooler(server: Server, pooler_folder: str) -> None:
    with server.fresh() as name, opened(url_of(pooler_folder, name)) as database:
        assert migrate(database)
        assert not migrate(database)


def test_runs_do_their_work_through_a_pooler(
    database_url: str, pooled_url: str, key_file: Path, clock: SettableClock, tmp_path: Path
) -> None:
    clock.now = datetime.now().astimezone()
    with standard_simulator(clock) as simulator:
        site = Site(folder=tmp_path, database_url=database_url, key_file=key_file, clock=clock, simulator=simulator)
        program = configured(
            tmp_path,
            url=pooled_url,
            key_file=key_file,
            raw=site.receiver.raw,
            redcap=(simulator.url, site.tokens),
        )
        site.rule(patient_id=r"PID-\d+")
        for number in range(3):
            site.series(f"1.2.{number}")
            ended = program("run")
            assert (ended.err, ended.code) == ("", 0)
            assert site.transfers(f"1.2.{number}") == {1: Asked(HEART, "PID-1")}
        assert program("verify", "--projections").code == 0
        assert program("rebuild").code == 0
        site.close()
