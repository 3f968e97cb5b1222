"""The rate limit in PostgreSQL: shared by processes, waiting without locks, pausing after a ban."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from ledger.database import Database, open_database
from processors.demo.simulator import Fault, Simulator
from processors.redcap import Banned, Redcap, SharedRateLimit
from tests.conftest import SettableClock

URL = "https://redcap.example/api/"

SPENDER = """
import sys
from pathlib import Path
from ledger.database import open_database
from processors.redcap import Banned, SharedRateLimit

address, url, calls = sys.argv[1:]
database = open_database(address, Path("/nowhere"))
limit = SharedRateLimit(database, url=url, calls_per_minute=20, ban_pause_minutes=15)
print("ready", flush=True)
sys.stdin.readline()
try:
    for _ in range(int(calls)):
        print(limit.reserve().due.isoformat(), flush=True)
except Banned as banned:
    print(banned, flush=True)
database.close()
"""


@contextmanager
def spender(address: str, calls: int) -> Iterator[subprocess.Popen[str]]:
    """Another process that reserves so many calls as soon as it reads a line."""
    command = [sys.executable, "-c", SPENDER, address, URL, str(calls)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process


def limit_of(
    database: Database,
    clock: SettableClock | None = None,
    waits: list[float] | None = None,
    calls_per_minute: int = 20,
    url: str = URL,
) -> SharedRateLimit:
    return SharedRateLimit(
        database,
        url=url,
        calls_per_minute=calls_per_minute,
        ban_pause_minutes=15,
        clock=clock,
        sleep=(waits if waits is not None else []).append,
    )


def most_in_a_minute(times: list[datetime]) -> int:
    minute = timedelta(minutes=1)
    return max(sum(start <= time < start + minute for time in times) for start in times)


def test_two_processes_at_once_stay_below_the_limit_together(database_url: str) -> None:
    with spender(database_url, 15) as one, spender(database_url, 15) as other:
        for process in (one, other):
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        outputs = [process.communicate()[0] for process in (one, other)]

    times = [datetime.fromisoformat(line) for output in outputs for line in output.split()]
    assert len(times) == 30
    assert most_in_a_minute(times) <= 20


def test_a_pause_is_seen_by_another_process(database: Database, database_url: str) -> None:
    until = limit_of(database).pause()

    with spender(database_url, 1) as other:
        output, _nothing = other.communicate("go\n")

    assert "Banned IP Addresses in REDCap's Control Center" in output
    assert f"{until.astimezone():%Y-%m-%d %H:%M}" in output


def test_a_run_that_starts_anew_goes_on_within_the_same_limit(database: Database, clock: SettableClock) -> None:
    waits: list[float] = []
    for _ in range(2):
        limit = limit_of(database, clock, waits)
        for _ in range(3):
            limit.take()

    # Twenty a minute: four at once, then one in each 17th of a minute.
    assert waits == [pytest.approx(60 / 17, abs=0.001), pytest.approx(120 / 17, abs=0.001)]


def test_servers_have_limits_of_their_own(database: Database, clock: SettableClock) -> None:
    waits: list[float] = []
    for url in (URL, "https://other.example/api/"):
        limit = limit_of(database, clock, waits, url=url)
        for _ in range(4):
            limit.take()

    assert waits == []


def test_nothing_is_locked_while_a_process_waits(database_url: str, tmp_path: Path) -> None:
    impatient = open_database(
        f"{database_url}&options=-c%20lock_timeout%3D2s"
        if "?" in database_url
        else f"{database_url}?options=-c%20lock_timeout%3D2s",
        tmp_path,
    )
    other = limit_of(impatient)
    seen: list[timedelta] = []
    limit = SharedRateLimit(
        impatient,
        url=URL,
        calls_per_minute=1,
        ban_pause_minutes=15,
        sleep=lambda _seconds: seen.append(other.reserve().wait),
    )

    limit.take()
    limit.take()

    assert len(seen) == 1
    impatient.close()


def test_the_databases_clock_counts(database: Database) -> None:
    with database.begin() as connection:
        before = connection.exec_driver_sql("select clock_timestamp()").scalar_one()
        due = limit_of(database).reserve().due
        after = connection.exec_driver_sql("select clock_timestamp()").scalar_one()

    assert before <= due <= after


def test_a_pause_ends_by_itself(database: Database, clock: SettableClock) -> None:
    limit = limit_of(database, clock)
    limit.take()
    limit.pause()

    clock.advance(14 * 60)
    with pytest.raises(Banned, match="No call to REDCap was made"):
        limit.take()
    clock.advance(60)
    limit.take()


def test_a_pause_further_ahead_than_any_is_of_a_clock_that_was_set_back(
    database: Database, clock: SettableClock
) -> None:
    limit = limit_of(database, clock, calls_per_minute=600)
    limit.pause()
    with pytest.raises(Banned):
        limit.take()

    clock.advance(-60 * 60)
    limit.take()


def test_a_refused_call_is_not_counted(database: Database, clock: SettableClock) -> None:
    limit = limit_of(database, clock, calls_per_minute=1)
    limit.pause()
    for _ in range(5):
        with pytest.raises(Banned):
            limit.take()
    clock.advance(15 * 60)

    assert limit.reserve().wait == timedelta(0)


def test_a_ban_stops_every_client_before_its_next_call(
    database: Database, simulator: Simulator, clock: SettableClock
) -> None:
    simulator.inject(Fault(kind="banned"))
    tokens = {"incoming": simulator.projects["incoming"].token}
    clients = [Redcap(url=simulator.url, tokens=tokens, rate_limit=limit_of(database, clock)) for _ in range(2)]

    with clients[0], clients[1]:
        with pytest.raises(Banned, match="No call is made before 20"):
            clients[0].metadata("incoming")
        for client in clients:
            with pytest.raises(Banned, match="as an earlier call has shown"):
                client.metadata("incoming")
        clock.advance(15 * 60)
        assert clients[1].metadata("incoming") != []

    assert len(simulator.calls) == 2


def test_every_attempt_counts(database: Database, simulator: Simulator, clock: SettableClock) -> None:
    waits: list[float] = []
    simulator.inject(Fault(kind="empty", times=2))
    tokens = {"incoming": simulator.projects["incoming"].token}
    limit = limit_of(database, clock, waits, calls_per_minute=2)
    with Redcap(url=simulator.url, tokens=tokens, rate_limit=limit, sleep=lambda _seconds: None) as client:
        client.metadata("incoming")

    assert waits == [30, 60]
