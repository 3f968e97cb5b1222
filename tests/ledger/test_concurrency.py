from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from sqlalchemy import Connection, text

from ledger import store
from ledger.database import Database
from ledger.errors import Conflict
from ledger.events import NewEvent
from ledger.store import Head, Store
from tests.ledger.processes import append_one_by_one, processes
from tests.ledger.samples import RUN, everything, fact, first_broken, the_store

WRITERS = 8
EACH = 40


def seen_by_a_tailing_reader(database: Database, last: int) -> list[int]:
    with database.begin() as connection:
        return [event.position for event in store.read(connection, after=last)]


def test_with_eight_writing_processes_a_tailing_reader_sees_each_event_once_and_in_order(
    database: Database, database_url: str
) -> None:
    seen: list[int] = []
    with processes(WRITERS) as pool:
        writers = [pool.submit(append_one_by_one, database_url, n, EACH) for n in range(WRITERS)]
        while not all(writer.done() for writer in writers):
            seen += seen_by_a_tailing_reader(database, seen[-1] if seen else 0)
        assert [writer.result() for writer in writers] == [EACH] * WRITERS
    seen += seen_by_a_tailing_reader(database, seen[-1] if seen else 0)
    assert seen == list(range(1, WRITERS * EACH + 1))


def test_eight_writing_processes_leave_a_whole_chain_and_whole_streams(database: Database, database_url: str) -> None:
    with processes(WRITERS) as pool:
        writers = [pool.submit(append_one_by_one, database_url, n, 10) for n in range(WRITERS)]
        assert sum(writer.result() for writer in writers) == WRITERS * 10
    with database.begin() as connection:
        assert first_broken(connection) is None
        for writer in range(WRITERS):
            events = store.read_stream(connection, f"writer/{writer}")
            assert [(e.version, e.data["number"]) for e in events] == [(n + 1, n) for n in range(10)]


def wait_until_somebody_waits_for_a_lock(database: Database) -> None:
    query = text("""
        select count(*) from pg_stat_activity
         where datname = current_database() and wait_event_type = 'Lock'
    """)
    while True:
        with database.begin() as connection:
            if connection.execute(query).scalar_one():
                return


def test_a_second_writer_waits_so_that_its_event_appears_after_the_first(database: Database) -> None:
    with ThreadPoolExecutor(1) as pool:
        with database.begin() as first:
            the_store().append(first, [fact("first")])
            second = pool.submit(append_in_a_transaction_of_its_own, database)
            wait_until_somebody_waits_for_a_lock(database)
            assert seen_by_a_tailing_reader(database, 0) == []
        assert second.result(timeout=30) == 2
    assert [event.stream for event in everything(database)] == ["first", "second"]


def append_in_a_transaction_of_its_own(database: Database) -> int:
    with database.begin() as connection:
        return the_store().append(connection, [fact("second")])[0].position


def test_who_had_to_wait_counts_on_from_the_versions_that_the_first_left(database: Database) -> None:
    with ThreadPoolExecutor(1) as pool:
        with database.begin() as first:
            the_store().append(first, [fact("second"), fact("second")])
            second = pool.submit(append_in_a_transaction_of_its_own, database)
            wait_until_somebody_waits_for_a_lock(database)
        assert second.result(timeout=30) == 3
    assert [event.version for event in everything(database)] == [1, 2, 3]


def test_who_waited_for_one_that_gave_up_begins_where_the_ledger_ends(database: Database) -> None:
    with ThreadPoolExecutor(1) as pool:
        with database.begin() as first:
            the_store().append(first, [fact("second"), fact("second")])
            second = pool.submit(append_in_a_transaction_of_its_own, database)
            wait_until_somebody_waits_for_a_lock(database)
            first.rollback()
        assert second.result(timeout=30) == 1
    assert [event.version for event in everything(database)] == [1]


def append_without_lock(connection: Connection, event: NewEvent, head: Head) -> None:
    """`Store.append` but for the `for update`: the head was read before, as a writer without a lock would."""
    chained = Store(site="main", run=RUN, clock=the_store().clock)._chained([event], head, {event.stream: 0})
    store._write(connection, 1, chained)


def test_without_the_heads_lock_two_writers_would_take_the_same_position(database: Database) -> None:
    with database.begin() as slow:
        seen_by_slow = store.head(slow)
        with database.begin() as quick:
            append_without_lock(quick, fact("quick"), store.head(quick))
        with pytest.raises(Conflict):
            append_without_lock(slow, fact("slow"), seen_by_slow)
        slow.rollback()
    assert [event.stream for event in everything(database)] == ["quick"]


def test_positions_from_a_sequence_instead_would_let_a_tailing_reader_miss_an_event(
    database: Database,
) -> None:
    with database.begin() as connection:
        connection.execute(text("create sequence public.bare"))
    with database.begin() as slow:
        append_with_sequence(slow)
        with database.begin() as quick:
            append_with_sequence(quick)
        seen = seen_by_a_tailing_reader(database, 0)
    assert seen == [2]
    assert seen_by_a_tailing_reader(database, seen[-1]) == [], "the event at position 1 is never seen"
    assert [event.position for event in everything(database)] == [1, 2]


def append_with_sequence(connection: Connection) -> None:
    position = connection.execute(text("select nextval('public.bare')")).scalar_one()
    append_without_head(connection, fact(f"s/{uuid4()}"), position)


def append_without_head(connection: Connection, event: NewEvent, position: int) -> None:
    store._copy(connection, the_store()._chained([event], Head(position - 1, bytes(32)), {event.stream: 0}))
