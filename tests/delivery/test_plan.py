"""Planning rows: what is placed, amended, emptied or closed, and what is never touched."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from processors.delivery.plan import Plan, PlannedRow
from processors.events.deliveries import RowMissing, RowRestored, StudyDelivered
from processors.events.fact import Cause
from processors.events.operations import StudyAdopted
from processors.events.rules import ConflictFound, ConflictResolved
from processors.events.transfers import DoubleEnded, TransferAmended, TransferPlaced, TransferWithdrawn
from processors.redcap import incoming
from processors.requests import AWAITED, Key, Report, TransferRequest, WrittenRow
from tests.delivery.planning import (
    STUDY_ROW,
    TICKS,
    Redcap,
    desired,
    imported,
    instances,
    names,
    plan,
    series,
    told,
)
from tests.transfer_requests import FAILED, JUST_NOW, LONG_AGO, NOW, SENT, STUDY, ours


def placed(request: int, instance: int, *, found: bool = False, since: datetime | None = None) -> TransferPlaced:
    stood_since = None if since is None else since.isoformat()
    return TransferPlaced(study=STUDY, request=request, instance=instance, found=found, since=stood_since)


def amended(request: int, instance: int, replaced: int, *, since: datetime | None = None) -> TransferAmended:
    stood_since = None if since is None else since.isoformat()
    return TransferAmended(study=STUDY, request=request, instance=instance, replaced=replaced, since=stood_since)


def fates(found: Plan) -> dict[int, tuple[int | None, str, int | None]]:
    """What became of the requests that the plan ends: where they stood, their fate, what replaced them."""
    return {fact.request: (fact.instance, fact.fate, fact.by) for fact in told(found, TransferWithdrawn)}


def stood(position: int = 4, name: str = "P1", *, since: timedelta | None = None, **others: object) -> TransferRequest:
    """A request that is to be ended, and stands in instance 1 since half a minute, or as long as is said."""
    made = ours(position, name=name, state="ending", instance=1, placed_at=NOW - since if since else JUST_NOW)
    return replace(made, **others)  # type: ignore[arg-type]


LONG = NOW - LONG_AGO


# The study and its series


def test_a_new_study_s_row_is_planned_with_its_series_from_instance_1() -> None:
    found = plan(desired(row=STUDY_ROW, row_position=3, series=[series("a"), series("b", 2)]), Redcap())
    assert [(row.kind, row.key, row.fields.get("redcap_repeat_instance")) for row in found.rows] == [
        ("study", "", None),
        ("series", "a", 1),
        ("series", "b", 2),
    ]
    assert found.rows[0].facts == (StudyDelivered(study=STUDY, row=3, series={}),)


def test_a_series_that_redcap_has_is_updated_where_it_stands() -> None:
    redcap = Redcap().add("series", 4, series_instance_uid="a")
    assert instances(plan(desired(series=[series("a", instance=4)]), redcap), "series") == [4]


def test_a_series_of_an_import_that_was_never_recorded_is_found_again() -> None:
    redcap = Redcap().add("series", 7, series_instance_uid="a")
    found = plan(desired(series=[series("a", position=2)]), redcap)
    assert told(found, StudyDelivered)[0].series == {"a": {"instance": 7, "position": 2}}


@pytest.mark.parametrize("again", [False, True])
def test_what_redcap_says_already_needs_no_import_unless_all_is_to_be_written_again(*, again: bool) -> None:
    """And a row that REDCap has was not restored."""
    wanted = desired(row=STUDY_ROW, row_position=1, series=[series("a")], again=again)
    redcap = imported(Redcap(), plan(wanted, Redcap()))
    found = plan(replace(wanted, delivered=True), redcap)
    assert [(row.kind, row.stands) for row in found.rows] == [("study", not again), ("series", not again)]
    assert told(found, RowRestored) == []


EARLIER, ARRIVED, LATER = "2026-03-01 08:00", "2026-03-02 09:00", "2026-03-02 09:01"


@pytest.mark.parametrize(
    ("in_redcap", "delivered", "is_adopted"),
    [
        (EARLIER, False, True),
        (EARLIER, True, False),
        (ARRIVED, False, False),
        (LATER, False, False),
        (None, False, False),
    ],
)
def test_a_study_that_others_entered_before_it_arrived_here_is_known_to_have_been_there(
    in_redcap: str | None, *, delivered: bool, is_adopted: bool
) -> None:
    redcap = Redcap().add("", 0, **{incoming.ARRIVAL: in_redcap} if in_redcap else {})
    row = STUDY_ROW | {incoming.ARRIVAL: ARRIVED}
    arrives = desired(row=row, row_position=3, delivered=delivered)
    adopted = StudyAdopted(study=STUDY, series={}, arrived=in_redcap)
    assert told(plan(arrives, redcap), StudyAdopted) == ([adopted] if is_adopted else [])
    # Where the project has no such field, nobody can tell.
    assert told(plan(replace(arrives, row=STUDY_ROW), redcap), StudyAdopted) == []


def test_what_redcap_says_otherwise_is_imported() -> None:
    redcap = (
        Redcap().add("", 0, study_description="X").add("series", 1, series_instance_uid="a", series_description="X")
    )
    wanted = desired(row=STUDY_ROW | {"study_description": "Y"}, row_position=1, series=[series("a")])
    assert [(row.kind, row.stands) for row in plan(wanted, redcap).rows] == [("study", False), ("series", False)]


def test_a_series_that_somebody_deleted_is_reported_and_holds_up_no_other() -> None:
    redcap = Redcap().add("", 0).add("series", 2, series_instance_uid="b")
    wanted = desired(series=[series("a", instance=1), series("c")], series_instances={"a": 1, "b": 2})
    found = plan(wanted, redcap)
    assert found.facts == [RowMissing(study=STUDY, kind="series", key="a")]
    assert instances(found, "series") == [3]


def test_a_new_series_comes_after_all_that_redcap_or_the_ledger_know() -> None:
    redcap = Redcap().add("series", 9, series_instance_uid="by hand")
    assert instances(plan(desired(series=[series("c")], series_instances={"a": 10}), redcap), "series") == [11]
    assert instances(plan(desired(series=[series("c")], series_instances={"a": 2}), redcap), "series") == [10]


# A record that somebody deleted


def test_a_record_that_somebody_deleted_is_reported_and_not_brought_back() -> None:
    standing = ours(5, state="placed", instance=1, placed_at=LONG_AGO)
    found = plan(desired(standing, delivered=True, series=[series("a")]), Redcap())
    assert found == Plan(facts=[RowMissing(study=STUDY, kind="study", key="")])


def test_a_record_that_somebody_deleted_is_brought_back_for_whoever_asks_for_it_anew() -> None:
    """The request used to be swallowed: told as missing, and never looked at again."""
    found = plan(desired(ours(5), delivered=True, asked_for=True), Redcap())
    assert found == Plan(brings_back=True)


def test_a_record_comes_back_with_its_row_its_series_and_the_request() -> None:
    wanted = desired(
        ours(5),
        delivered=True,
        again=True,
        row=STUDY_ROW,
        row_position=1,
        series=[series("a", instance=3)],
        series_instances={"a": 3},
        missing={("study", "")},
    )
    found = plan(wanted, Redcap())
    assert [(row.kind, row.key) for row in found.rows] == [("study", ""), ("series", "a"), ("transfer", "5")]
    assert told(found, RowRestored) == [
        RowRestored(study=STUDY, kind="study", key=""),
        RowRestored(study=STUDY, kind="series", key="a"),
    ]
    assert not found.brings_back


def test_a_request_whose_record_was_deleted_ends_without_a_row() -> None:
    found = plan(desired(stood(since=LONG), delivered=True), Redcap())
    assert found.rows == []
    assert fates(found) == {4: (1, "possibly sent", None)}
    assert told(found, RowMissing) == [RowMissing(study=STUDY, kind="study", key="")]


# Placing


def test_a_row_is_planned_with_what_it_asks_for_and_what_is_true_then() -> None:
    found = plan(desired(ours(5, event="visit_1")), Redcap())
    fields = STUDY_ROW | {
        "redcap_repeat_instrument": "transfers",
        "redcap_repeat_instance": 1,
        "transfer_requested_date": "2026-03-02 09:05",
        "transfer_project_name": "HEART",
        "transfer_name": "P1",
        "transfer_event_name": "visit_1",
    }
    assert found == Plan(rows=[PlannedRow(STUDY, "transfer", "5", 5, fields, (placed(5, 1),), Key("HEART", "visit_1"))])


def test_two_requests_that_ask_for_the_same_share_one_row() -> None:
    """Made by two sites at once: the study would have been sent twice."""
    first = ours(5, event="visit_1")
    found = plan(desired(first, ours(6, event="visit_1")), Redcap())
    assert names(found) == {1: "P1"}
    assert told(found, TransferPlaced) == [placed(5, 1), placed(6, 1, since=first.requested_at)]


def test_what_a_row_asked_for_before_it_was_amended_is_not_found_in_it() -> None:
    """An entry was moved to another project, and another entry asks for what it had asked for."""
    old, moved, again = stood(), ours(5, "BRAIN", replaces=(4,)), ours(6)
    redcap = Redcap().by_us(1, old)
    found = plan(desired(old, moved, again), redcap)
    assert imported(redcap, found).transfers() == {1: ("BRAIN", "P1", ""), 2: ("HEART", "P1", "")}


def test_a_request_takes_the_next_instance_after_everybody_s() -> None:
    found = plan(desired(ours(5)), Redcap().request(9, "BRAIN", "X").request(10, "", ""))
    assert imported(Redcap(), found).transfers() == {11: ("HEART", "P1", "")}
    assert told(found, TransferPlaced) == [placed(5, 11)]


def test_an_instance_that_the_ledger_knows_is_not_used_again_though_redcap_lost_it() -> None:
    old = ours(4, "BRAIN", instance=7, state="placed", placed_at=LONG_AGO)
    assert told(plan(desired(old, ours(5)), Redcap()), TransferPlaced) == [placed(5, 8)]


def test_what_somebody_requested_already_is_not_placed_again() -> None:
    found = plan(desired(ours(5)), Redcap().request(3, " HEART", "P1 "))
    assert found == Plan(facts=[placed(5, 3, found=True)])


def test_what_we_placed_and_never_recorded_is_found_and_not_placed_again() -> None:
    """It stands there since it was asked for, as far as is known: the sender may have taken it long ago."""
    request = ours(5)
    found = plan(desired(request), Redcap().by_us(3, request, SENT))
    assert found == Plan(facts=[placed(5, 3, since=request.requested_at)])


def test_a_row_of_ours_that_was_never_recorded_goes_before_a_person_s_that_says_the_same() -> None:
    """Whichever came first was taken: what was sent in ours was then told of nobody."""
    request = ours(5)
    found = plan(desired(request), Redcap().request(1, "HEART", "P1").by_us(3, request, SENT))
    assert found == Plan(facts=[placed(5, 3, since=request.requested_at)])


def test_a_pseudonym_with_blanks_around_it_is_found_again() -> None:
    wanted = desired(ours(5, name=" P1 "))
    assert plan(wanted, imported(Redcap(), plan(wanted, Redcap()))).rows == []


def test_the_same_project_under_another_event_is_another_request() -> None:
    found = plan(desired(ours(5, event="visit_2")), Redcap().request(1, "HEART", "P1", "visit_1"))
    assert names(found) == {2: "P1"}


def test_a_request_whose_pseudonym_was_forgotten_before_it_was_placed_ends_unsent() -> None:
    found = plan(desired(ours(5, name=None)), Redcap())
    assert found.rows == []
    assert fates(found) == {5: (None, "unsent", None)}


def test_a_placed_request_is_left_alone() -> None:
    standing = ours(5, state="placed", instance=1, placed_at=LONG_AGO)
    assert plan(desired(standing), Redcap().by_us(1, standing, SENT)) == Plan()


def test_of_several_placed_requests_each_whose_row_is_gone_is_reported() -> None:
    standing = ours(5, state="placed", instance=1, placed_at=LONG_AGO)
    gone = ours(6, "BRAIN", state="placed", instance=2, placed_at=LONG_AGO)
    there = Redcap().by_us(1, standing, SENT)
    assert plan(desired(standing, gone), there).facts == [RowMissing(study=STUDY, kind="transfer", key="6")]


def test_a_placed_request_that_was_written_again_unrecorded_stands_there_and_is_no_double() -> None:
    """It was reported as deleted."""
    placed = ours(5, state="placed", instance=1, placed_at=LONG_AGO)
    there = Redcap().by_us(3, placed, AWAITED)
    since = LONG_AGO.isoformat()
    again = TransferPlaced(study=STUDY, request=5, instance=3, found=False, since=since)
    assert plan(desired(placed), there) == Plan(facts=[again])


@pytest.mark.parametrize("there", [Redcap().add("", 0), Redcap().request(1, "HEART", "CHANGED")])
def test_a_placed_request_whose_row_is_gone_or_says_something_else_is_reported_once(there: Redcap) -> None:
    standing = ours(5, state="placed", instance=1, placed_at=LONG_AGO)
    assert plan(desired(standing), there) == Plan(facts=[RowMissing(study=STUDY, kind="transfer", key="5")])
    assert plan(desired(standing, missing={("transfer", "5")}), there) == Plan()


def test_a_placed_request_that_is_to_come_back_takes_a_new_instance() -> None:
    standing = ours(5, state="placed", instance=1, placed_at=LONG_AGO)
    found = plan(desired(standing, due={5}, missing={("transfer", "5")}), Redcap().add("", 0))
    assert found.rows[0].facts == (placed(5, 2), RowRestored(study=STUDY, kind="transfer", key="5"))


def test_a_placed_request_that_is_to_come_back_was_not_known_to_be_missing_and_is_told_as_restored_alone() -> None:
    standing = ours(5, state="placed", instance=1, placed_at=LONG_AGO)
    found = plan(desired(standing, due={5}), Redcap().add("", 0))
    assert found.rows[0].facts == (placed(5, 2), RowRestored(study=STUDY, kind="transfer", key="5"))
    assert found.facts == []


# People


def test_a_person_s_request_under_another_pseudonym_stands_and_ours_is_reported() -> None:
    found = plan(desired(ours(5)), Redcap().request(1, "HEART", "OTHER"))
    assert found.rows == []
    assert told(found, ConflictFound) == [
        ConflictFound(
            study=STUDY,
            project="HEART",
            event_name="",
            kind="person",
            causes=(Cause("coupling", "1", 1),),
            request=5,
        )
    ]


def test_a_contest_is_reported_once() -> None:
    wanted = desired(ours(5, state="contested"), contests={Key("HEART", "")})
    assert plan(wanted, Redcap().request(1, "HEART", "OTHER")) == Plan()


def test_a_contest_that_is_over_is_resolved_and_the_request_placed() -> None:
    wanted = desired(ours(5, state="contested"), contests={Key("HEART", "")})
    found = plan(wanted, Redcap().add("", 0))
    assert names(found) == {1: "P1"}
    assert told(found, ConflictResolved) == [ConflictResolved(study=STUDY, project="HEART", event_name="")]


def test_a_row_of_ours_that_a_person_changed_is_theirs() -> None:
    old, request = stood(), ours(5, name="P2", replaces=(4,))
    found = plan(desired(old, request), Redcap().request(1, "HEART", "CHANGED", requested=old.minute))
    assert found.rows == []
    assert len(told(found, ConflictFound)) == 1


def test_a_row_of_ours_is_ours_by_our_own_record_whatever_date_a_person_gave_it() -> None:
    found = plan(desired(stood(), ours(5, name="P2", replaces=(4,))), Redcap().request(1, "HEART", "P1"))
    assert names(found) == {1: "P2"}


def test_a_person_s_row_that_answered_our_request_is_not_amended_when_ours_is_corrected() -> None:
    wanted = desired(stood(found=True), ours(5, name="P2", replaces=(4,)))
    assert plan(wanted, Redcap().request(1, "HEART", "P1")).rows == []


def test_a_person_s_row_is_not_taken_for_one_of_ours_that_was_never_placed() -> None:
    old, request = ours(4, state="ending"), ours(5, "BRAIN", "P2", replaces=(4,))
    found = plan(desired(old, request), Redcap().request(1, "HEART", "P1"))
    assert names(found) == {2: "P2"}


@pytest.mark.parametrize(("instance", "fate"), [(None, "unsent"), (1, "sent")], ids=["not known", "known"])
def test_a_person_s_row_is_not_ended_with_a_request_of_ours_that_asked_for_the_same(
    instance: int | None, fate: str
) -> None:
    ended = ours(4, instance=instance, state="ending", found=instance is not None, placed_at=LONG_AGO)
    found = plan(desired(ended), Redcap().request(1, "HEART", "P1", report=SENT))
    assert found.rows == []
    assert fates(found) == {4: (instance, fate, None)}


# Corrections: what the sender cannot have taken is amended


def test_a_corrected_request_amends_the_row_that_cannot_have_been_taken() -> None:
    old, request = replace(stood(), key=Key("HEART", "e1")), ours(5, name="P2", replaces=(4,))
    redcap = Redcap().by_us(1, old)
    found = plan(desired(old, request), redcap)
    assert told(found, TransferAmended) == [amended(5, 1, replaced=4)]
    assert fates(found) == {}
    assert imported(redcap, found).transfers() == {1: ("HEART", "P2", "")}


def test_a_row_whose_file_was_taken_back_is_closed_and_not_used_again() -> None:
    """A batch that had read the file before sends the old pseudonym, and writes into that instance.

    Amended, the new one was told to be sent; emptied, the row was gone, and a person's request got its number.
    """
    old, request = stood(since=LONG, recalled=True), ours(5, name="P2", replaces=(4,))
    redcap = Redcap().by_us(1, old)
    found = plan(desired(old, request), redcap)
    assert imported(redcap, found).transfers() == {1: ("HEART", "", ""), 2: ("HEART", "P2", "")}
    assert fates(found)[4][1] == "unsent"


def test_a_row_that_failed_is_amended_and_cleared_of_what_the_sender_wrote() -> None:
    old, request = stood(since=LONG), ours(5, name="P2", replaces=(4,))
    redcap = Redcap().by_us(1, old, FAILED)
    after = imported(redcap, plan(desired(old, request), redcap))
    assert after.transfers() == {1: ("HEART", "P2", "")}
    fields = after.rows["transfers", 1]
    assert fields["transfer_date"] == fields["transfer_error_message"] == fields["transfer_mapped_uid"] == ""
    assert [fields[tick] for tick in TICKS] == ["0", "0", "0"]


def test_a_row_of_an_import_that_was_never_recorded_is_amended_within_a_minute_of_its_request() -> None:
    old, request = ours(4, state="ending"), ours(5, name="P2", replaces=(4,))
    redcap = Redcap().by_us(1, old)
    assert names(plan(desired(old, request), redcap, old.requested_at + timedelta(minutes=1))) == {1: "P2"}
    assert names(plan(desired(old, request), redcap, old.requested_at + timedelta(minutes=2))) == {1: "", 2: "P2"}


def test_of_several_replaced_rows_one_is_amended_and_the_others_emptied() -> None:
    first, second = stood(3), replace(stood(), key=Key("BRAIN", ""), instance=2)
    redcap = Redcap().by_us(1, first).by_us(2, second)
    found = plan(desired(first, second, ours(5, "LUNG", "P3", replaces=(3, 4))), redcap)
    assert imported(redcap, found).transfers() == {1: ("LUNG", "P3", "")}
    assert fates(found) == {4: (2, "unsent", 5)}


def test_where_the_first_of_several_replaced_rows_cannot_be_amended_another_is() -> None:
    first, second = stood(3, recalled=True), replace(stood(), key=Key("BRAIN", ""), instance=2)
    redcap = Redcap().by_us(1, first).by_us(2, second)
    found = plan(desired(first, second, ours(5, "LUNG", "P3", replaces=(3, 4))), redcap)
    assert imported(redcap, found).transfers() == {1: ("HEART", "", ""), 2: ("LUNG", "P3", "")}
    assert told(found, TransferAmended) == [amended(5, 2, replaced=4)]


def test_two_requests_that_change_places_both_stand_in_the_end() -> None:
    heart, brain = stood(3), replace(stood(name="P2"), key=Key("BRAIN", ""), instance=2)
    new_heart, new_brain = ours(5, "HEART", "P2", replaces=(3,)), ours(6, "BRAIN", "P1", replaces=(4,))
    redcap = Redcap().by_us(1, heart).by_us(2, brain)
    found = plan(desired(heart, brain, new_heart, new_brain), redcap)
    assert imported(redcap, found).transfers() == {1: ("HEART", "P2", ""), 2: ("BRAIN", "P1", "")}


def test_a_correction_that_was_corrected_back_is_not_sent_a_second_time() -> None:
    """The row of the first request was passed over as one to be replaced; the study was sent twice."""
    first, second = stood(3, since=LONG), ours(4, name="P2", state="ending", replaces=(3,))
    found = plan(desired(first, second, ours(5, replaces=(4,))), Redcap().by_us(1, first, SENT))
    assert found.rows == []
    assert told(found, TransferAmended) == [amended(5, 1, replaced=3, since=first.placed_at)]
    assert fates(found) == {4: (None, "unsent", 5)}


def test_a_row_that_two_replaced_requests_ask_for_is_amended_and_not_emptied_as_well() -> None:
    """Corrected, corrected back, corrected again, none of it recorded: the request used to be lost."""
    first, second = ours(3, state="ending"), ours(4, name="P2", state="ending", replaces=(3,))
    third, request = stood(5, replaces=(4,)), ours(6, name="P3", replaces=(5, 4, 3))
    redcap = Redcap().by_us(1, third)
    found = plan(desired(first, second, third, request), redcap)
    assert imported(redcap, found).transfers() == {1: ("HEART", "P3", "")}


def test_two_rows_of_ours_that_say_the_same_are_both_known_as_ours() -> None:
    """Only the first was; the other passed for a person's, and held up the request."""
    first, second = stood(3, name="P2", since=LONG), ours(4, name="P2", state="ending")
    second = replace(second, earlier=(WrittenRow(2, LONG_AGO, recalled=True),))
    redcap = Redcap().by_us(1, first, SENT).by_us(2, second)
    found = plan(desired(first, second, ours(5, replaces=(4, 3))), redcap)
    after = {1: ("HEART", "", ""), 2: ("HEART", "", ""), 3: ("HEART", "P1", "")}
    assert imported(redcap, found).transfers() == after


# Endings: what the sender took, or may have taken, is closed


@pytest.mark.parametrize(
    ("since", "report", "fate"),
    [(LONG, SENT, "sent"), (timedelta(seconds=30), SENT, "sent"), (LONG, AWAITED, "possibly sent")],
)
def test_a_corrected_request_closes_a_row_that_may_have_been_sent_and_takes_a_new_one(
    since: timedelta, report: Report, fate: str
) -> None:
    old, request = stood(since=since), ours(5, name="P2", replaces=(4,))
    redcap = Redcap().by_us(1, old, report)
    found = plan(desired(old, request), redcap)
    assert imported(redcap, found).transfers() == {1: ("HEART", "", ""), 2: ("HEART", "P2", "")}
    assert fates(found) == {4: (1, fate, 5)}


def test_a_row_placed_in_the_future_by_the_gateway_s_clock_may_have_been_taken() -> None:
    old = stood(since=-timedelta(minutes=5))
    assert fates(plan(desired(old), Redcap().by_us(1, old))) == {4: (1, "possibly sent", None)}


def test_a_retracted_request_is_emptied() -> None:
    retracted = stood()
    redcap = Redcap().by_us(1, retracted)
    found = plan(desired(retracted), redcap)
    assert imported(redcap, found).transfers() == {}
    assert fates(found) == {4: (1, "unsent", None)}


def test_a_retracted_request_that_failed_is_emptied_of_what_the_sender_wrote_as_well() -> None:
    retracted = stood(since=LONG)
    redcap = Redcap().by_us(1, retracted, FAILED)
    fields = imported(redcap, plan(desired(retracted), redcap)).rows["transfers", 1]
    assert {name: value for name, value in fields.items() if value} == {"study_instance_uid": STUDY} | dict.fromkeys(
        TICKS, "0"
    )


def test_a_retracted_request_that_was_sent_is_closed_and_all_else_in_its_row_left() -> None:
    """It used to be left as it was, and was sent again whenever a late series arrived."""
    retracted = stood(since=LONG)
    redcap = Redcap().by_us(1, retracted, SENT)
    found = plan(desired(retracted), redcap)
    after = imported(redcap, found).rows["transfers", 1]
    assert after == redcap.rows["transfers", 1] | {"transfer_name": "", "study_instance_uid": STUDY}
    assert fates(found) == {4: (1, "sent", None)}


def test_a_retracted_request_that_may_have_been_taken_is_closed() -> None:
    retracted = stood(since=LONG)
    redcap = Redcap().by_us(1, retracted)
    found = plan(desired(retracted), redcap)
    assert imported(redcap, found).transfers() == {1: ("HEART", "", "")}
    assert fates(found) == {4: (1, "possibly sent", None)}


def test_a_retracted_request_that_never_was_imported_needs_no_row() -> None:
    found = plan(desired(ours(4, state="ending")), Redcap())
    assert found.rows == []
    assert fates(found) == {4: (None, "unsent", None)}


@pytest.mark.parametrize(
    ("since", "report", "expected"),
    [
        (LONG, AWAITED, (1, "possibly sent", None)),
        (LONG, SENT, (1, "sent", None)),
        (LONG, FAILED, (None, "unsent", None)),
        (LONG, Report("possibly sent"), (1, "possibly sent", None)),
        (timedelta(seconds=30), AWAITED, (None, "unsent", None)),
    ],
)
def test_where_a_person_deleted_the_row_what_is_known_of_it_counts(
    since: timedelta, report: Report, expected: tuple[int | None, str, int | None]
) -> None:
    found = plan(desired(stood(since=since, report=report)), Redcap().add("", 0))
    assert found.rows == []
    assert fates(found) == {4: expected}


@pytest.mark.parametrize(("report", "fate"), [(AWAITED, "possibly sent"), (SENT, "sent")])
@pytest.mark.parametrize("recorded", [True, False])
def test_a_row_that_was_closed_by_a_run_that_was_killed_is_told_as_it_would_have_been(
    *, report: Report, fate: str, recorded: bool
) -> None:
    """Where its placing had not been recorded either, it was told as unsent."""
    ended = stood(since=LONG) if recorded else ours(4, state="ending")
    redcap = Redcap().request(1, "HEART", "", requested=ended.minute, report=report)
    found = plan(desired(ended), redcap)
    assert found.rows == []
    assert fates(found) == {4: (1, fate, None)}


def test_all_rows_of_a_request_are_ended_and_that_is_true_with_the_last() -> None:
    ended = stood(since=LONG)
    redcap = Redcap().by_us(1, ended).by_us(2, ended, FAILED).by_us(3, ended, SENT)
    found = plan(desired(ended), redcap)
    assert imported(redcap, found).transfers() == {1: ("HEART", "", ""), 3: ("HEART", "", "")}
    assert [len(row.facts) for row in found.rows] == [0, 0, 1]
    assert fates(found) == {4: (1, "sent", None)}


def test_of_two_rows_of_a_replaced_request_one_is_amended_and_the_other_ended() -> None:
    """Written again by a run that was killed: the double stayed to be sent."""
    old, request = stood(), ours(5, name="P2", replaces=(4,))
    redcap = Redcap().by_us(1, old).by_us(2, old)
    found = plan(desired(old, request), redcap)
    assert imported(redcap, found).transfers() == {1: ("HEART", "P2", "")}
    assert told(found, TransferAmended) == [amended(5, 1, replaced=4)]
    assert fates(found) == {4: (2, "unsent", 5)}


def test_the_end_of_a_request_is_told_with_its_project() -> None:
    (ended,) = told(plan(desired(stood()), Redcap()), TransferWithdrawn)
    assert (ended.study, ended.project) == (STUDY, "HEART")


def test_the_rows_of_all_predecessors_are_ended() -> None:
    first, second = stood(3, since=LONG), replace(stood(name="P2", since=LONG), instance=2)
    redcap = Redcap().by_us(1, first).by_us(2, second)
    found = plan(desired(first, second, ours(5, name="P3", replaces=(4,))), redcap)
    assert imported(redcap, found).sendable() == {3: ("HEART", "P3", "")}
    assert set(fates(found)) == {3, 4}


def test_what_takes_the_place_of_an_ended_request_waits_for_its_end() -> None:
    old, request = stood(since=LONG), ours(5, name="P2", replaces=(4,))
    found = plan(desired(old, request), Redcap().by_us(1, old))
    assert {row.key: (row.transfer, row.ends) for row in found.rows} == {
        "4": (Key("HEART", ""), True),
        "5": (Key("HEART", ""), False),
    }


# Doubles and strays


@pytest.mark.parametrize(
    ("placed_at", "report", "left"),
    [
        (JUST_NOW, AWAITED, {}),
        (LONG_AGO, FAILED, {}),
        (LONG_AGO, AWAITED, {2: ("HEART", "", "")}),
    ],
)
def test_a_second_row_of_a_placed_request_is_ended_and_its_own_left(
    placed_at: object, report: Report, left: dict[int, tuple[str, str, str]]
) -> None:
    standing = replace(ours(5, state="placed", instance=1), placed_at=placed_at)  # type: ignore[arg-type]
    redcap = Redcap().by_us(1, standing).by_us(2, standing, report)
    found = plan(desired(standing), redcap)
    assert imported(redcap, found).transfers() == {1: ("HEART", "P1", "")} | left
    assert all(row.ends and row.facts == () for row in found.rows)


@pytest.mark.parametrize(("sends", "left"), [(0, "P1"), (1, "")])
def test_a_second_row_that_was_sent_is_ended_once_that_is_told(sends: int, left: str) -> None:
    """The request stands there by then, where its own was not sent."""
    standing = replace(ours(5, state="placed", instance=1), placed_at=LONG_AGO, sends=sends)
    redcap = Redcap().by_us(1, standing).by_us(2, standing, SENT)
    found = plan(desired(standing), redcap)
    assert imported(redcap, found).transfers() == {1: ("HEART", "P1", ""), 2: ("HEART", left, "")}


def test_of_two_rows_that_were_never_recorded_the_second_is_ended_at_once() -> None:
    request = ours(5)
    redcap = Redcap().by_us(2, request).by_us(3, request)
    found = plan(desired(request), redcap)
    assert told(found, TransferPlaced) == [placed(5, 2, since=request.requested_at)]
    assert imported(redcap, found).sendable() == {2: ("HEART", "P1", "")}


@pytest.mark.parametrize("more", [1, 2, 3])
def test_that_a_known_double_is_over_is_told_with_the_last_row_that_is_ended(more: int) -> None:
    standing = ours(5, state="placed", instance=1, placed_at=LONG_AGO)
    redcap = Redcap().by_us(1, standing)
    for instance in range(2, 2 + more):
        redcap.by_us(instance, standing)
    found = plan(desired(standing, doubled={5}), redcap)
    over = DoubleEnded(study=STUDY, project="HEART", request=5)
    assert [row.facts for row in found.rows] == [()] * (more - 1) + [(over,)]
    assert imported(redcap, found).sendable() == {1: ("HEART", "P1", "")}


def test_that_a_known_double_is_gone_needs_no_row() -> None:
    standing = ours(5, state="placed", instance=1, placed_at=LONG_AGO)
    found = plan(desired(standing, doubled={5}), Redcap().by_us(1, standing))
    assert found == Plan(facts=[DoubleEnded(study=STUDY, project="HEART", request=5)])


def test_a_person_s_double_of_our_request_is_left() -> None:
    standing = ours(5, state="placed", instance=1, placed_at=LONG_AGO)
    assert plan(desired(standing), Redcap().by_us(1, standing).request(2, "HEART", "P1")) == Plan()


@pytest.mark.parametrize("state", ["withdrawn", "closed"])
def test_a_row_of_an_ended_request_that_can_be_sent_all_the_same_is_ended_again(state: str) -> None:
    """Of an import that REDCap applied after the request had ended."""
    ended = stood(since=LONG, state=state)
    redcap = Redcap().by_us(1, ended)
    found = plan(desired(ended), redcap)
    assert imported(redcap, found).sendable() == {}
    assert fates(found) == {4: (1, "possibly sent", None)}


def test_a_stray_is_not_amended_into_what_does_not_replace_it() -> None:
    stray, request = stood(state="withdrawn"), ours(5, "BRAIN", "P2")
    redcap = Redcap().by_us(1, stray)
    found = plan(desired(stray, request), redcap)
    assert imported(redcap, found).transfers() == {2: ("BRAIN", "P2", "")}


def test_a_stray_that_was_closed_by_a_run_that_was_killed_is_told() -> None:
    """Nothing told that it may have been sent: the request counted as withdrawn unsent."""
    withdrawn = stood(since=LONG, state="withdrawn")
    found = plan(desired(withdrawn), Redcap().request(1, "HEART", "", requested=withdrawn.minute))
    assert found.rows == []
    assert fates(found) == {4: (1, "possibly sent", None)}


@pytest.mark.parametrize(("state", "project"), [("withdrawn", ""), ("closed", "HEART")])
def test_what_has_ended_and_cannot_be_sent_is_left(state: str, project: str) -> None:
    ended = stood(since=LONG, state=state)
    assert plan(desired(ended), Redcap().request(1, project, "", report=SENT)) == Plan()


def test_a_closed_row_of_what_was_withdrawn_and_cannot_have_been_sent_is_left() -> None:
    assert plan(desired(stood(state="withdrawn")), Redcap().request(1, "HEART", "")) == Plan()


def test_the_simulated_import_changes_what_it_names_only() -> None:
    before = Redcap().request(1, "HEART", "P1", report=SENT)
    after = before.apply(
        [{"redcap_repeat_instrument": "transfers", "redcap_repeat_instance": 1, "transfer_name": "P2"}]
    )
    assert after.rows["transfers", 1]["transfer_date"]
    assert after.transfers() == {1: ("HEART", "P2", "")}
    assert before.transfers() == {1: ("HEART", "P1", "")}


# What failed, and may be in the sender's hands again


@pytest.mark.parametrize(
    ("newest_summary", "requested", "name_left"),
    [
        ("2026-03-02 09:30", None, "P2"),
        ("2026-03-02 09:59", None, ""),
        ("2026-03-02 10:00", None, ""),
        ("", "2026-03-02 10:00", ""),
    ],
)
def test_what_failed_is_closed_where_the_sender_has_queued_it_again(
    newest_summary: str, requested: str | None, name_left: str
) -> None:
    """A late series, or a person who changed its date, has the sender make its file again; it used to be amended."""
    old = stood(4, since=LONG, report=FAILED)
    redcap = Redcap().by_us(1, old, FAILED)
    if requested is not None:
        redcap.request(1, "HEART", "P1", requested=requested, report=FAILED)
    wanted = replace(desired(old, ours(5, name="P2", replaces=(4,))), newest_summary=newest_summary)
    found = plan(wanted, redcap)
    assert names(found)[1] == name_left
    assert fates(found) == ({} if name_left else {4: (1, "possibly sent", 5)})


def test_what_failed_and_was_queued_again_may_have_been_sent_though_a_person_deleted_its_row() -> None:
    wanted = replace(desired(stood(since=LONG, report=FAILED)), newest_summary="2026-03-02 10:00")
    assert fates(plan(wanted, Redcap().add("", 0))) == {4: (1, "possibly sent", None)}


def test_what_failed_and_was_taken_back_from_the_queue_is_not_in_the_sender_s_hands_again() -> None:
    old = stood(since=LONG, report=FAILED, recalled=True)
    wanted = replace(desired(old), newest_summary="2026-03-02 10:00")
    assert fates(plan(wanted, Redcap().by_us(1, old, FAILED))) == {4: (1, "unsent", None)}


@pytest.mark.parametrize("report", [AWAITED, FAILED])
def test_what_the_senders_folders_tell_to_be_carried_out_is_closed_however_short_it_stood(report: Report) -> None:
    old = stood(4, taken=True, recalled=True, report=report)
    found = plan(desired(old, ours(5, name="P2", replaces=(4,))), Redcap().by_us(1, old, report))
    assert names(found) == {1: "", 2: "P2"}
    assert fates(found) == {4: (1, "possibly sent", 5)}
