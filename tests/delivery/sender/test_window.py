from datetime import datetime, timedelta

from processors.delivery.sender.poll import Memory, window

NOW = datetime.fromisoformat("2026-03-02T09:00:00+01:00")
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def remembered(looked: timedelta, long: timedelta) -> Memory:
    return Memory(since=NOW - 30 * 24 * HOUR, looked_at=NOW - looked, long_look_at=NOW - long)


def test_the_first_look_promises_a_day_and_reaches_back_by_what_zones_differ_in_addition() -> None:
    begin, after = window(None, NOW)
    assert begin == NOW - 26 * HOUR
    assert after == Memory(since=NOW - 24 * HOUR, looked_at=NOW, long_look_at=NOW)


def test_a_look_reaches_ten_minutes_before_the_last_one() -> None:
    begin, after = window(remembered(MINUTE, 30 * MINUTE), NOW)
    assert begin == NOW - 11 * MINUTE
    assert (after.looked_at, after.long_look_at) == (NOW, NOW - 30 * MINUTE)
    assert after.since == NOW - 30 * 24 * HOUR


def test_once_an_hour_it_reaches_back_by_more_than_zones_differ() -> None:
    begin, after = window(remembered(MINUTE, HOUR), NOW)
    assert begin == NOW - MINUTE - 26 * HOUR
    assert after.long_look_at == NOW


def test_after_days_without_runs_nothing_is_left_out() -> None:
    begin, _ = window(remembered(72 * HOUR, 72 * HOUR), NOW)
    assert begin == NOW - 98 * HOUR


def test_a_clock_that_was_ahead_leaves_nothing_out() -> None:
    begin, after = window(remembered(-48 * HOUR, -48 * HOUR), NOW)
    assert begin == NOW - 26 * HOUR
    assert (after.looked_at, after.long_look_at) == (NOW, NOW)
