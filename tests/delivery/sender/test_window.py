from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

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


def test_once_redcaps_log_has_shown_that_it_is_not_behind_a_look_reaches_back_a_minute() -> None:
    """For hours after a first run, every look had fetched all that was just placed."""
    heard = replace(remembered(MINUTE, 30 * MINUTE), heard_at=NOW - 20 * HOUR)
    begin, after = window(heard, NOW)
    assert begin == NOW - 2 * MINUTE
    assert after.heard_at == heard.heard_at


def test_once_an_hour_it_then_reaches_back_to_the_last_such_look() -> None:
    """A request to REDCap that took minutes stands in its log under the moment it began."""
    begin, after = window(replace(remembered(MINUTE, HOUR), heard_at=NOW - 20 * HOUR), NOW)
    assert begin == NOW - 70 * MINUTE
    assert after.long_look_at == NOW


def test_a_day_later_that_is_asked_for_again_as_if_it_had_never_been_so() -> None:
    begin, after = window(replace(remembered(MINUTE, MINUTE), heard_at=NOW - 24 * HOUR), NOW)
    assert begin == NOW - 50 * HOUR
    assert (after.heard_at, after.long_look_at) == (None, NOW)


def test_so_it_is_when_clocks_are_put_forward() -> None:
    """REDCap's may not be: its log would be an hour behind then."""
    oslo = ZoneInfo("Europe/Oslo")
    before = datetime.fromisoformat("2026-03-29T01:59:00+01:00")
    memory = Memory(since=before, looked_at=before, long_look_at=before, heard_at=before)
    assert window(memory, before + 30 * MINUTE, oslo)[0] == before - 26 * HOUR
    assert window(memory, before + 30 * MINUTE, ZoneInfo("UTC"))[0] == before - MINUTE


def test_a_clock_that_was_ahead_when_redcap_was_heard_leaves_nothing_out() -> None:
    begin, after = window(replace(remembered(MINUTE, MINUTE), heard_at=NOW + 48 * HOUR), NOW)
    assert (begin, after.heard_at) == (NOW - 26 * HOUR, None)


def test_a_look_reaches_back_to_the_one_before_the_last_which_may_have_lacked_a_record() -> None:
    memory = replace(remembered(MINUTE, 30 * MINUTE), looked_before=NOW - 71 * MINUTE)
    begin, after = window(memory, NOW)
    assert begin == NOW - 72 * MINUTE
    assert after.looked_before == NOW - MINUTE
    heard = replace(memory, heard_at=NOW - HOUR, looked_before=NOW - 2 * MINUTE)
    assert window(heard, NOW)[0] == NOW - 3 * MINUTE


def test_a_look_before_the_last_that_lies_ahead_says_nothing() -> None:
    memory = replace(remembered(MINUTE, 30 * MINUTE), looked_before=NOW + 48 * HOUR)
    assert window(memory, NOW)[0] == NOW - 11 * MINUTE
