"""Whose a row of `transfers` is, what the sender may hold of it, and what says the same."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.requests import (
    GRACE,
    IN_FORCE,
    NOBODY_KNOWN,
    Owner,
    State,
    TransferRequest,
    TransferRow,
    owner,
    rows_written,
    stands_elsewhere,
)
from tests.transfer_requests import BY_HAND, FAILED, JUST_NOW, LONG_AGO, NOW, SENT, ours, row

EVERY_STATE: tuple[State, ...] = get_args(State)


# Whose a row is


class Case(NamedTuple):
    """One request of ours and one row: what is known of the one, what the other says, and whose it is."""

    instance_known: bool
    found: bool
    minute_equal: bool
    name: str
    in_force: bool
    whose: str


YES, NO = True, False
SAME, OTHER, BLANK = "same", "other", "blank"
OURS, ANSWERS, THEIRS = "ours", "answers ours", "theirs"

TABLE = [
    # the request stands here | found | the row: minute | name | the request is in force | the row is
    Case(YES, NO, YES, SAME, YES, OURS),
    Case(YES, NO, YES, SAME, NO, OURS),
    Case(YES, NO, YES, OTHER, YES, THEIRS),
    Case(YES, NO, YES, OTHER, NO, THEIRS),
    Case(YES, NO, YES, BLANK, YES, THEIRS),
    Case(YES, NO, YES, BLANK, NO, OURS),
    Case(YES, NO, NO, SAME, YES, OURS),
    Case(YES, NO, NO, SAME, NO, OURS),
    Case(YES, NO, NO, OTHER, YES, THEIRS),
    Case(YES, NO, NO, OTHER, NO, THEIRS),
    Case(YES, NO, NO, BLANK, YES, THEIRS),
    Case(YES, NO, NO, BLANK, NO, OURS),
    Case(YES, YES, YES, SAME, YES, ANSWERS),
    Case(YES, YES, YES, SAME, NO, ANSWERS),
    Case(YES, YES, YES, OTHER, YES, THEIRS),
    Case(YES, YES, YES, OTHER, NO, THEIRS),
    Case(YES, YES, YES, BLANK, YES, THEIRS),
    Case(YES, YES, YES, BLANK, NO, THEIRS),
    Case(YES, YES, NO, SAME, YES, ANSWERS),
    Case(YES, YES, NO, SAME, NO, ANSWERS),
    Case(YES, YES, NO, OTHER, YES, THEIRS),
    Case(YES, YES, NO, OTHER, NO, THEIRS),
    Case(YES, YES, NO, BLANK, YES, THEIRS),
    Case(YES, YES, NO, BLANK, NO, THEIRS),
    Case(NO, NO, YES, SAME, YES, OURS),
    Case(NO, NO, YES, SAME, NO, OURS),
    Case(NO, NO, YES, OTHER, YES, THEIRS),
    Case(NO, NO, YES, OTHER, NO, THEIRS),
    Case(NO, NO, YES, BLANK, YES, THEIRS),
    Case(NO, NO, YES, BLANK, NO, OURS),
    Case(NO, NO, NO, SAME, YES, THEIRS),
    Case(NO, NO, NO, SAME, NO, THEIRS),
    Case(NO, NO, NO, OTHER, YES, THEIRS),
    Case(NO, NO, NO, OTHER, NO, THEIRS),
    Case(NO, NO, NO, BLANK, YES, THEIRS),
    Case(NO, NO, NO, BLANK, NO, THEIRS),
]
NAMES = {SAME: "P1", OTHER: "P9", BLANK: ""}


def made(case: Case, state: State) -> tuple[TransferRequest, TransferRow]:
    request = ours(5, state=state, instance=1 if case.instance_known else None, found=case.found, placed_at=JUST_NOW)
    minute = request.minute if case.minute_equal else BY_HAND
    return request, row(1, name=NAMES[case.name], requested=minute)


def whose(found: Owner) -> str:
    if found.request is None:
        return THEIRS
    return OURS if found.wrote else ANSWERS


@pytest.mark.parametrize(
    ("case", "state"),
    [(case, state) for case in TABLE for state in EVERY_STATE if (state in IN_FORCE) == case.in_force],
)
def test_whose_a_row_is(case: Case, state: State) -> None:
    """What says the same again where ours was emptied, in another minute, a person has asked for anew."""
    request, told = made(case, state)
    is_anew = case[:4] == (YES, NO, NO, SAME) and state in ("withdrawn", "closed")
    assert whose(owner(told, [request])) == (THEIRS if is_anew else case.whose)


@pytest.mark.parametrize(
    ("case", "state"),
    [(case, state) for case in TABLE for state in EVERY_STATE if (state in IN_FORCE) == case.in_force],
)
def test_whose_a_row_is_where_ours_is_known_to_be_deleted(case: Case, state: State) -> None:
    """What says the same there in another minute a person has asked for anew; in ours, it was put back."""
    request, told = made(case, state)
    is_anew = case[:4] == (YES, NO, NO, SAME)
    assert whose(owner(told, [replace(request, is_missing=True)])) == (THEIRS if is_anew else case.whose)


def test_a_deleted_row_stands_again_once_it_is_put_back_and_not_where_a_person_asks_for_the_same() -> None:
    gone = ours(5, state="placed", instance=1, is_missing=True)
    assert gone.stands_in([row(1, requested=gone.minute)])
    assert not gone.stands_in([row(1, requested=BY_HAND)])
    assert replace(gone, found=True).stands_in([row(1, requested=BY_HAND)])
    assert replace(gone, is_missing=False).stands_in([row(1, requested=BY_HAND)])


def test_the_table_leaves_nothing_out() -> None:
    known = [(YES, NO), (YES, YES), (NO, NO)]
    every = {
        (*at, minute, name, force) for at in known for minute in (YES, NO) for name in NAMES for force in (YES, NO)
    }
    assert {case[:5] for case in TABLE} == every
    assert len(TABLE) == len(every)


def test_a_row_amended_and_closed_by_imports_that_were_never_recorded_tells_of_whose_minute_it_shows() -> None:
    """It was told of the request that was known to stand there: what may have been sent counted as unsent."""
    known = ours(5, state="ending", instance=1)
    amended = ours(6, state="ending")
    assert owner(row(1, name="", requested=amended.minute), [known, amended]) == Owner(amended, wrote=True)
    assert owner(row(1, name="", requested=known.minute), [known, amended]) == Owner(known, wrote=True)


@pytest.mark.parametrize("found", [True, False])
def test_a_row_of_ours_elsewhere_is_ours_by_its_minute(*, found: bool) -> None:
    """A second import that was never recorded; where the first row was a person's, also the first of ours."""
    request = ours(5, state="placed", instance=7, found=found)
    assert owner(row(1, requested=request.minute), [request]) == Owner(request, wrote=True)
    assert owner(row(1), [request]) == NOBODY_KNOWN


@pytest.mark.parametrize("told", [row(1, "BRAIN"), row(1, event="visit_1")])
def test_another_project_or_event_is_somebody_else_s_whatever_the_name(told: TransferRow) -> None:
    request = ours(5, state="placed", instance=1)
    assert owner(replace(told, requested=request.minute), [request]) == NOBODY_KNOWN


def test_where_we_know_of_no_request_every_row_is_somebody_else_s() -> None:
    assert owner(row(1), []) == NOBODY_KNOWN


def test_of_two_requests_that_say_the_same_one_in_force_counts() -> None:
    wanted, later = ours(4, state="placed", instance=1), ours(5, state="ending", instance=1)
    assert owner(row(1), [wanted, later]).request == wanted
    assert owner(row(1), [later, wanted]).request == wanted


def test_of_two_that_ended_the_newest_counts() -> None:
    older, newer = ours(4, state="withdrawn", instance=1), ours(5, state="ending", instance=1)
    assert owner(row(1), [older, newer]).request == newer
    assert owner(row(1, name=""), [newer, older]).request == newer


def test_a_row_without_a_name_is_not_an_ended_request_s_where_a_newer_one_stood_after_it() -> None:
    """A person emptied the row that we amended: it is missing, not withdrawn."""
    amended, placed = ours(4, state="withdrawn", instance=1), ours(5, name="P2", state="placed", instance=1)
    assert owner(row(1, name=""), [amended, placed]) == NOBODY_KNOWN


def test_what_is_known_to_stand_here_goes_before_the_minute_of_another() -> None:
    here, other = ours(4, state="ending", instance=1), ours(5, state="requested")
    assert owner(row(1, requested=other.minute), [here, other]).request == here


def test_our_own_row_goes_before_a_person_s_that_answers() -> None:
    answered, own = ours(4, state="placed", instance=1, found=True), ours(5, state="ending")
    assert owner(row(1, requested=own.minute), [answered, own]) == Owner(own, wrote=True)


def test_a_closed_row_into_which_the_sender_writes_stays_ours() -> None:
    closed = ours(4, state="closed", instance=1)
    assert owner(row(1, name="", report=SENT), [closed]) == Owner(closed, wrote=True)


def test_an_emptied_row_into_which_the_sender_writes_stays_ours() -> None:
    withdrawn = ours(4, state="withdrawn", instance=1)
    assert owner(row(1, "", "", requested="", report=SENT), [withdrawn]) == Owner(withdrawn, wrote=True)


def test_what_the_sender_writes_where_ours_was_deleted_is_about_ours() -> None:
    placed = ours(4, state="placed", instance=1)
    assert owner(row(1, "", "", requested="", report=SENT), [placed]) == Owner(placed, wrote=True)
    assert owner(row(1, "BRAIN", "", requested="", report=SENT), [placed]) == NOBODY_KNOWN
    assert owner(row(2, "", "", requested="", report=SENT), [placed]) == NOBODY_KNOWN


def test_a_row_without_a_name_is_not_ours_by_its_minute_where_it_is_about_something_else() -> None:
    ended = ours(4, state="ending")
    assert owner(row(1, "BRAIN", "", requested=ended.minute), [ended]) == NOBODY_KNOWN
    assert owner(row(1, name="", event="visit_1", requested=ended.minute), [ended]) == NOBODY_KNOWN


def test_the_rows_that_we_wrote_are_told_by_request() -> None:
    ending, placed = ours(4, state="ending", instance=1), ours(5, name="P2", state="placed", instance=3, found=True)
    first, double, answer = row(1), row(2, requested=ending.minute), row(3, name="P2")
    assert rows_written([first, double, answer, row(4, name="P9")], [ending, placed]) == {4: [first, double]}


def test_a_request_that_was_written_again_stands_in_that_row_and_in_no_other() -> None:
    placed = ours(5, state="placed", instance=1)
    again, emptied = row(3, requested=placed.minute), row(4, name="", requested=placed.minute)
    theirs, own = row(2), row(1, requested=placed.minute)
    assert stands_elsewhere(placed, [own, theirs, emptied, again], [placed]) == again
    assert stands_elsewhere(placed, [own, theirs, emptied], [placed]) is None
    answered = replace(placed, instance=2, found=True)
    assert stands_elsewhere(replace(answered, instance=1), [theirs], [answered]) is None


# What says the same


def test_a_row_says_what_was_asked_for_in_project_event_and_name() -> None:
    request = ours(5, event="visit_1")
    assert request.says(row(1, event="visit_1"))
    assert not request.says(row(1, "BRAIN", event="visit_1"))
    assert not request.says(row(1, event="visit_2"))
    assert not request.says(row(1, name="P2", event="visit_1"))


def test_a_row_is_for_the_same_where_redcap_has_trimmed_what_it_was_given() -> None:
    request = ours(5, "HEART  1 ", event=" visit_1")
    assert request.says(row(1, "HEART  1", event="visit_1"))
    assert request.says(row(1, "HEART  1 ", event=" visit_1"))
    assert not request.says(row(1, "HEART 1", event="visit_1"))


def test_blanks_around_a_pseudonym_do_not_count() -> None:
    assert ours(5, name=" P1 ").says(row(1))


def test_a_pseudonym_in_another_case_is_another() -> None:
    assert not ours(5, name="p1").says(row(1))


def test_a_forgotten_pseudonym_equals_any_but_not_none() -> None:
    assert ours(5, name=None).says(row(1, name="P9"))
    assert not ours(5, name=None).says(row(1, name=""))


def test_a_row_without_a_name_says_nothing() -> None:
    assert not ours(5, name="").says(row(1, name=""))


def test_a_request_tells_its_minute_in_its_own_zone() -> None:
    asked_at = datetime(2026, 7, 1, 22, 30, 59, tzinfo=UTC).astimezone(ZoneInfo("Europe/Oslo"))
    assert replace(ours(5), requested_at=asked_at).minute == "2026-07-02 00:30"


@pytest.mark.parametrize("state", EVERY_STATE)
def test_a_request_is_in_force_until_something_ends_it(state: State) -> None:
    assert ours(5, state=state).in_force == (state in {"requested", "placed", "contested"})


# What the sender may hold


@pytest.mark.parametrize(
    ("stood", "expected"),
    [
        (timedelta(0), False),
        (timedelta(seconds=59), False),
        (GRACE, False),
        (GRACE + timedelta(microseconds=1), True),
        (timedelta(days=3), True),
        (-timedelta(microseconds=1), True),
        (-timedelta(hours=1), True),
    ],
)
def test_what_stood_for_more_than_a_minute_may_be_taken_and_so_may_what_is_yet_to_come(
    *, stood: timedelta, expected: bool
) -> None:
    assert ours(5, instance=1, placed_at=NOW - stood).may_be_taken(NOW) == expected


@given(st.timedeltas(min_value=timedelta(days=-9), max_value=timedelta(days=9)))
def test_what_was_taken_back_from_the_queue_cannot_be_taken(stood: timedelta) -> None:
    assert not ours(5, instance=1, placed_at=NOW - stood, recalled=True).may_be_taken(NOW)


def test_a_row_whose_import_was_never_recorded_counts_from_its_request() -> None:
    request = ours(5)
    assert not request.may_be_taken(request.requested_at + GRACE)
    assert request.may_be_taken(request.requested_at + GRACE * 2)


def test_the_grace_counts_from_the_row_not_from_the_request() -> None:
    assert not ours(5, instance=1, placed_at=JUST_NOW).may_be_taken(NOW)
    assert ours(5, instance=1, placed_at=LONG_AGO).may_be_taken(NOW)


# What a row is good for


@pytest.mark.parametrize(
    ("told", "sendable", "blank"),
    [
        (row(1), True, False),
        (row(1, report=SENT), True, False),
        (row(1, name=""), False, False),
        (row(1, project=""), False, False),
        (row(1, "", "", report=FAILED), False, False),
        (row(1, "", ""), False, True),
    ],
)
def test_a_row_can_be_sent_with_project_and_name_and_is_blank_without_a_word(
    *, told: TransferRow, sendable: bool, blank: bool
) -> None:
    assert (told.is_sendable, told.is_blank) == (sendable, blank)
