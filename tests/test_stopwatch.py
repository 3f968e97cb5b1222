"""Where time goes is told apart: each moment counts once."""

import time
from contextlib import AbstractContextManager
from threading import Thread

from ledger.database import Database
from processors.stopwatch import Stopwatch


def test_what_is_waited_within_a_wait_counts_for_the_inner_one() -> None:
    stopwatch = Stopwatch()
    before = stopwatch.read()
    with stopwatch.waiting("REDCap"):
        time.sleep(0.01)
        for _ in range(2):
            with stopwatch.waiting("PostgreSQL"):
                time.sleep(0.02)
    time.sleep(0.03)
    after = stopwatch.read()
    shares = after.since(before)
    assert 0.01 <= shares["REDCap"] < shares["PostgreSQL"]
    assert shares["PostgreSQL"] >= 0.04
    assert shares["disk"] >= 0.02
    assert abs(sum(shares.values()) - (after.wall - before.wall)) < 1e-6


def test_what_is_computed_while_a_server_is_waited_for_is_no_computing() -> None:
    stopwatch = Stopwatch()
    before = stopwatch.read()
    with stopwatch.waiting("PostgreSQL"):
        sum(range(300_000))
    assert stopwatch.read().since(before)["Python"] < 0.001
    sum(range(300_000))
    assert stopwatch.read().since(before)["Python"] > 0.001


def test_another_thread_keeps_nobody_waiting() -> None:
    stopwatch = Stopwatch()

    def wait() -> None:
        with stopwatch.waiting("PostgreSQL"):
            time.sleep(0.01)

    thread = Thread(target=wait)
    thread.start()
    thread.join()
    assert stopwatch.read().waited["PostgreSQL"] == 0


def test_each_wait_for_a_database_is_measured_while_it_is_watched_and_no_longer(database: Database) -> None:
    waits = []

    def waiting() -> AbstractContextManager[None]:
        waits.append(1)
        return stopwatch.waiting("PostgreSQL")

    def ask() -> None:
        with database.begin() as connection:
            connection.exec_driver_sql("select 1")

    stopwatch = Stopwatch()
    with database.watched(waiting):
        ask()
    assert waits
    assert stopwatch.read().waited["PostgreSQL"] > 0
    count = len(waits)
    ask()
    assert len(waits) == count
