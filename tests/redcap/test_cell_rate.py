import heapq
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.redcap.cell_rate import Rate, rate, reserve

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


def shared(given_rate: Rate, callers: int, gaps: list[timedelta]) -> list[datetime]:
    """When the calls are due of callers at the same time, each of whom waits for its slot and then for the gap."""
    next_call_at, times = None, []
    ready = [START] * callers
    for gap in gaps:
        now = heapq.heappop(ready)
        slot = reserve(next_call_at, now, given_rate)
        next_call_at = slot.next_call_at
        heapq.heappush(ready, slot.due + gap)
        times.append(slot.due)
    return times


def booked(given_rate: Rate, calls: int) -> list[datetime]:
    """When the calls are due of so many callers who come in the same moment."""
    return shared(given_rate, calls, [timedelta(0)] * calls)


def most_in_a_minute(times: list[datetime]) -> int:
    return max((sum(start <= time < start + MINUTE for time in times) for start in times), default=0)


@given(st.integers(1, 40), GAPS)
def test_no_minute_holds_more_than_the_limit_for_one_caller(limit: int, gaps: list[timedelta]) -> None:
    assert most_in_a_minute(due_times(rate(limit), gaps)) <= limit


@given(st.integers(1, 40), st.integers(1, 10), GAPS)
def test_no_minute_holds_more_than_the_limit_for_ten_callers(limit: int, callers: int, gaps: list[timedelta]) -> None:
    assert most_in_a_minute(shared(rate(limit), callers, gaps)) <= limit


@given(st.integers(1, 600))
def test_a_burst_after_a_pause_and_the_steady_rate_fill_a_minute_exactly(limit: int) -> None:
    times = booked(rate(limit), limit + 2)

    assert most_in_a_minute(times) == limit


def test_an_idle_run_does_not_wait() -> None:
    assert booked(rate(300), 60) == [START] * 60


def test_the_wait_is_spread_evenly_after_the_burst() -> None:
    times = booked(rate(10), 5)

    # Ten a minute: two at once, then 9 in the rest of the minute, so one every 60/9 s.
    assert [round((time - START).total_seconds(), 2) for time in times] == [0, 0, 6.67, 13.33, 20.0]


@pytest.mark.parametrize("back", [timedelta(minutes=3), timedelta(minutes=119), timedelta(days=1)])
def test_a_clock_that_was_set_back_costs_a_minute(back: timedelta) -> None:
    # By less than two hours, a run used to sleep for as long.
    slot = reserve(START + back, START, rate(300))

    assert slot.due == START + MINUTE


def test_no_clock_makes_a_call_wait_for_more_than_two_minutes() -> None:
    waits = [reserve(START + timedelta(seconds=s), START, rate(300)).due - START for s in range(0, 8000, 10)]

    assert max(waits) == 2 * MINUTE


def test_less_than_one_call_a_minute_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one call a minute, found 0"):
        rate(0)
