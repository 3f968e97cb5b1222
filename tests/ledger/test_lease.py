"""Who works on the ledger: one at a time, known to all, taken over when it is gone, stopped when it was only slow."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Event

import pytest
from sqlalchemy import text

from ledger import lease
from ledger.database import Database
from ledger.errors import LeaseLost
from ledger.lease import RUN, Lease
from tests.ledger.processes import hold_and_die
from tests.ledger.samples import everything, fact, opened, scalar, the_store
from tests.processes import context


def changed(database: Database, assignment: str) -> None:
    """Makes all leases say something else, as if time had passed or they were another machine's."""
    with database.begin() as connection:
        connection.execute(text(f"update ledger.lease set {assignment}"))


def is_free(url: str, site: str = "main") -> bool:
    """Whether somebody else could begin a run."""
    with opened(url) as database, lease.held(database, RUN, site) as busy:
        return busy is None


def test_the_second_learns_since_when_and_where_the_first_one_works(database: Database, database_url: str) -> None:
    with lease.held(database, RUN, "main") as busy, opened(database_url) as other:
        assert busy is None
        with lease.held(other, RUN, "main") as found:
            assert found is not None
            assert datetime.now(UTC) - found.since < timedelta(seconds=30)
            assert str(found.process) in found.where
            assert found.host in found.sentence()
    assert is_free(database_url)


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [("main", "main", False), ("main", "other", True), ("main", "", False), ("", "main", False), ("", "", False)],
)
def test_sites_work_beside_each_other_and_nobody_beside_who_works_for_all(
    database: Database, database_url: str, first: str, second: str, *, both: bool
) -> None:
    with lease.held(database, RUN, first) as busy:
        assert busy is None
        assert is_free(database_url, second) is both


def test_a_run_can_keep_the_others_away_as_well(database: Database, database_url: str) -> None:
    with lease.held(database, RUN, "main"), lease.alone(database) as busy:
        assert busy is None
        assert not is_free(database_url, "other")
    assert is_free(database_url, "other")


def test_other_work_is_no_matter(database: Database, database_url: str) -> None:
    with lease.held(database, "autoid"):
        assert is_free(database_url)


def test_who_waits_gets_it_when_it_is_free_and_is_told_for_whom_it_waits(database: Database, database_url: str) -> None:
    told: list[Lease] = []
    begun, released = Event(), Event()

    def work() -> None:
        with opened(database_url) as other, lease.held(other, RUN, "main"):
            begun.set()
            released.wait(30)

    def waiting(busy: Lease) -> None:
        told.append(busy)
        released.set()

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        assert begun.wait(30)
        with lease.alone(database, patience=timedelta(seconds=30), waiting=waiting) as busy:
            assert busy is None
        working.result(30)
    assert [busy.who for busy in told] == ["the run of site 'main'"]


# Holders that are gone


def test_a_holder_that_was_killed_on_this_machine_is_taken_over_at_once(database: Database, database_url: str) -> None:
    process = context().Process(target=hold_and_die, args=(database_url,))
    process.start()
    process.join(60)
    assert scalar(database, "select count(*) from ledger.lease") == 1
    assert is_free(database_url)


def test_one_that_was_not_given_up_while_the_server_was_away_keeps_its_own_process_from_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_give_up", lambda _database, _holder: None)
    for _ in range(2):
        with lease.held(database, RUN, "main") as busy:
            assert busy is None


def test_a_number_that_was_given_to_another_process_is_not_the_holder(database: Database, database_url: str) -> None:
    with lease.held(database, RUN, "main"):
        changed(database, "known_by = known_by || '0'")
        assert is_free(database_url)


@pytest.mark.parametrize("silence", [timedelta(seconds=60), timedelta(seconds=120)])
def test_a_holder_on_a_machine_without_power_is_taken_over_when_its_time_is_up(
    database: Database, database_url: str, silence: timedelta
) -> None:
    with lease.held(database, RUN, "main"):
        changed(database, f"host = 'elsewhere', known_by = '', process = 1, "
                          f"renewed_at = renewed_at - interval '{silence.total_seconds()} s'")  # fmt: skip
        assert is_free(database_url) is (silence > lease.LASTS)


def test_a_holder_renews_while_it_is_busy_with_one_transaction(database: Database, database_url: str) -> None:
    renewed = "select count(*) from ledger.lease where renewed_at > since"
    with (
        lease.held(database, RUN, "main", renewed_every=timedelta(milliseconds=10)),
        database.begin(),
        opened(database_url) as other,
    ):
        while not scalar(other, renewed):
            pass


# Holders that were only slow

TAKEN_AWAY: list[Callable[[Database], None]] = [
    lambda database: changed(database, "holder = gen_random_uuid(), host = 'elsewhere'"),
    lambda database: _taken_over(database),
]


def _taken_over(database: Database) -> None:
    changed(database, "renewed_at = '-infinity'")
    with lease.held(database, RUN, "main") as busy:
        assert busy is None


@pytest.mark.parametrize("take_away", TAKEN_AWAY)
def test_whoever_has_lost_its_lease_begins_no_transaction(
    database: Database, database_url: str, take_away: Callable[[Database], None]
) -> None:
    with lease.held(database, RUN, "main"):
        with opened(database_url) as other:
            take_away(other)
        with pytest.raises(LeaseLost, match="has lost its lock on the ledger"), database.begin():
            pytest.fail("worked beside another one")
    with database.begin():
        pass


def test_whoever_loses_its_lease_in_a_transaction_appends_nothing(database: Database, database_url: str) -> None:
    with lease.held(database, RUN, "main"), opened(database_url) as other:
        with pytest.raises(LeaseLost):
            _append_while(database, lambda: _taken_over(other))
        assert everything(other) == []


def _append_while(database: Database, happens: Callable[[], object]) -> None:
    with database.begin() as connection:
        happens()
        the_store().append(connection, [fact()])
        database.require_leases(connection)


def test_what_is_being_appended_is_waited_for_by_whoever_takes_over(database: Database, database_url: str) -> None:
    with opened(database_url) as other, ThreadPoolExecutor(1) as pool:
        with lease.held(database, RUN, "main"):
            with database.begin() as connection:
                the_store().append(connection, [fact()])
                database.require_leases(connection)
                taking = pool.submit(_taken_over, other)
                while not scalar(other, "select count(*) from pg_locks where not granted"):
                    assert not taking.done()
            taking.result(30)
        assert len(everything(other)) == 1


def test_giving_up_a_lease_leaves_that_of_whoever_has_taken_it_over(database: Database, database_url: str) -> None:
    with opened(database_url) as other:
        with lease.held(database, RUN, "main"):
            changed(other, "holder = gen_random_uuid(), host = 'elsewhere', process = 1, known_by = ''")
        assert scalar(other, "select host from ledger.lease") == "elsewhere"
        assert not is_free(database_url)
