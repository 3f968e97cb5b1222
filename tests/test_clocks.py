"""Which stored times can be relied on, and when two clocks differ too much."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from ledger.database import Database
from processors.clocks import ClockComparison, believed, due, duration, is_due
from processors.errors import WrongClock

NOW = datetime.fromisoformat("2026-03-02T09:00:00+01:00")
HOUR = timedelta(hours=1)
STORED = st.none() | st.timedeltas(timedelta(days=-400), timedelta(days=400)).map(lambda ahead: NOW + ahead)


@pytest.mark.parametrize(
    ("stored", "expected"), [(None, None), (NOW, NOW), (NOW - HOUR, NOW - HOUR), (NOW + timedelta(seconds=1), None)]
)
def test_a_time_that_lies_ahead_says_nothing(stored: datetime | None, expected: datetime | None) -> None:
    assert believed(stored, NOW) == expected


@given(STORED, st.timedeltas(timedelta(0), timedelta(days=30)))
def test_nothing_is_put_off_for_longer_than_was_meant(stored: datetime | None, after: timedelta) -> None:
    assert is_due(stored, NOW, after) or is_due(stored, NOW + after, after)


@pytest.mark.parametrize(
    ("time", "words"),
    [
        (timedelta(0), "less than a minute"),
        (timedelta(seconds=59), "less than a minute"),
        (timedelta(seconds=61), "1 minute"),
        (timedelta(minutes=20), "20 minutes"),
        (timedelta(hours=31), "31 hours"),
        (timedelta(days=12, hours=5), "12 days"),
    ],
)
def test_how_long_something_is_in_words(time: timedelta, words: str) -> None:
    assert duration(time) == words


def test_in_sql_the_same_is_due(database: Database) -> None:
    asked = text(f"select {due('stored')} from (select cast(:stored as timestamptz) as stored) as row")
    cases = [None, *(NOW + timedelta(minutes=minutes) for minutes in (-61, -60, -59, -1, 0, 1, 60, 600_000))]
    with database.begin() as connection:
        found = [
            connection.execute(asked, {"stored": stored, "now": NOW, "before": NOW - HOUR}).scalar_one()
            for stored in cases
        ]
    assert found == [is_due(stored, NOW, HOUR) for stored in cases]


def test_clocks_that_differ_by_minutes_are_told_of_and_by_hours_refused() -> None:
    clocks = ClockComparison(lambda: NOW, tolerance=HOUR)
    clocks.hear("PostgreSQL", NOW + timedelta(minutes=7))
    clocks.hear("REDCap", (NOW - timedelta(minutes=4)).astimezone(UTC))
    assert list(clocks.warnings()) == [
        "This machine's clock is 7 minutes behind that of PostgreSQL: have the wrong one set."
    ]
    clocks.hear("REDCap", NOW - timedelta(minutes=1))
    assert clocks.newest == {"PostgreSQL": timedelta(minutes=-7), "REDCap": timedelta(minutes=1)}
    with pytest.raises(WrongClock) as raised:
        clocks.hear("REDCap", (NOW - timedelta(hours=2)).astimezone(UTC))
    assert "This machine's clock says 2026-03-02 09:00:00, that of REDCap 2026-03-02 07:00:00" in str(raised.value)
