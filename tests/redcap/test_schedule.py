from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.redcap.schedule import Rate, rate, reserve

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
GAPS = st.lists(st.floats(0, 90).map(lambda s: timedelta(seconds=s)) | st.just(timedelta(0)), max_size=150)


def due_times(given_rate: Rate, gaps: list[timedelta]) -> list[datetime]:
    """When the calls are made of a caller who waits for each slot and then for the gap."""
    now, next_call_at, times = START, None, []
    for gap in gaps:
        slot = reserve(next_call_at, now, given_rate)
        next_call_at = slot.next_call_at
        now = slot.due + gap
        times.append(slot.due)
    return times


def booked(given_rate: Rate, gaps: list[timedelta]) -> list[datetime]:
    """When the calls are due of many callers, who come after the gaps and wait at the same time."""
    now, next_call_at, times = START, None, []
    for gap in gaps:
        slot = reserve(next_call_at, now, given_rate)
        next_call_at = slot.next_call_at
        now += gap / 20
        times.append(slot.due)
    return times


def most_in_a_minute(times: list[datetime]) -> int:
    return max((sum(start <= time < start + MINUTE for time in times) for start in times), default=0)


@given(st.integers(1, 40), GAPS)
def test_no_minute_holds_more_than_the_limit_for_one_caller(limit: int, gaps: list[timedelta]) -> None:
    assert most_in_a_minute(due_times(rate(limit), gaps)) <= limit


@given(st.integers(1, 40), GAPS)
def test_no_minute_holds_more_than_the_limit_for_many_callers(limit: int, gaps: list[timedelta]) -> None:
    assert most_in_a_minute(booked(rate(limit), gaps)) <= limit


@given(st.integers(1, 600))
def test_a_burst_after_a_pause_and_the_steady_rate_fill_a_minute_exactly(limit: int) -> None:
    times = booked(rate(limit), [timedelta(0)] * (limit + 2))

    assert most_in_a_minute(times) == limit


def test_an_idle_run_does_not_wait() -> None:
    assert booked(rate(300), [timedelta(0)] * 60) == [START] * 60


def test_the_wait_is_spread_evenly_after_the_burst() -> None:
    times = booked(rate(10), [timedelta(0)] * 5)

    # Ten a minute: two at once, then 9 in the rest of the minute, so one every 60/9 s.
    assert [round((time - START).total_seconds(), 2) for time in times] == [0, 0, 6.67, 13.33, 20.0]


def test_a_clock_that_was_set_back_costs_a_minute_and_not_a_day() -> None:
    slot = reserve(START + timedelta(days=1), START, rate(300))

    assert slot.due == START + MINUTE


def test_less_than_one_call_a_minute_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one call a minute, found 0"):
        rate(0)
