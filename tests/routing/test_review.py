"""What becomes of what was requested once its study says something else, or is of two patients."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from processors.events.fact import Cause, CauseKind, Fact
from processors.events.patients import Consequence
from processors.requests import Key, TransferRequest
from processors.routing.decisions import Candidate, NewRequest, Outcome, Retraction, Reviewed
from processors.routing.evidence import Evidence
from processors.routing.review import TWO_PATIENTS, review_change, review_two_patients
from processors.routing.rules import Identity, Router
from processors.routing.statements import StudyChange
from tests.facts import a_rule, an_entry
from tests.transfer_requests import STUDY, ours

HEART = Key("HEART", "")
OTHER_PATIENT = StudyChange(keywords=("PatientID", "PatientName"), position=100, readdressed=False)
OTHER_ACCESSION = StudyChange(keywords=("AccessionNumber",), position=100, readdressed=False)
READDRESSED = StudyChange(keywords=("AETitleCalled",), position=100, readdressed=True)
OTHER_SERIES_READDRESSED = replace(READDRESSED, readdressed=False)
SAYS_OTHERWISE = "the study says something else now (PatientID, PatientName)"


def request(position: int = 50, *, kind: CauseKind = "coupling", **changes: Any) -> TransferRequest:
    """A request of P1 for HEART that record 7, as it read at position 3, led to."""
    return replace(ours(position, state="placed", instance=1), cause=Cause(kind, "7", 3), **changes)


def evidence(*standing: TransferRequest, cause: Fact | None = None, **others: Any) -> Evidence:
    causes = {} if cause is None else {3: cause}
    return Evidence(study=STUDY, subject=UUID(int=1), on_disk=True, standing=list(standing), causes=causes, **others)


def review(
    known: Evidence,
    change: StudyChange = OTHER_PATIENT,
    outcome: Outcome | None = None,
    *,
    wanted: Mapping[Key, str] | None = None,
    asks_since: Mapping[str, int] | None = None,
) -> Outcome:
    return review_change(
        outcome or Outcome(),
        known,
        change,
        wanted=wanted or {},
        router=Router([], mode="full", time_limit=1),
        asks_since=asks_since or {},
    )


def told(outcome: Outcome) -> list[tuple[int, Consequence]]:
    return [(each.request.position, each.consequence) for each in outcome.reviewed]


def ended(outcome: Outcome) -> list[int]:
    return [each.request.position for each in outcome.retractions]


# Who still asks for it


def test_what_nobody_asks_for_any_more_is_withdrawn_and_that_is_told() -> None:
    gone = request()
    assert review(evidence(gone)) == Outcome(
        retractions=[Retraction(request=gone, cause=gone.cause, reason=SAYS_OTHERWISE)],
        reviewed=[Reviewed(request=gone, changed=("PatientID", "PatientName"), consequence="withdrawn")],
    )


def test_what_is_asked_for_by_what_the_study_says_now_stands_and_is_told_where_it_is_somebody_else_s() -> None:
    known = evidence(request())
    assert told(review(known, wanted={HEART: "P1"})) == [(50, "stands")]
    assert review(known, OTHER_ACCESSION, wanted={HEART: "P1"}) == Outcome()


@pytest.mark.parametrize("wanted", [{HEART: "P2"}, {Key("HEART", "visit_1"): "P1"}, {Key("BRAIN", ""): "P1"}])
def test_another_pseudonym_project_or_event_does_not_ask_for_it(wanted: Mapping[Key, str]) -> None:
    assert ended(review(evidence(request()), wanted=wanted)) == [50]


@pytest.mark.parametrize("change", [OTHER_PATIENT, OTHER_ACCESSION])
def test_what_a_person_asked_for_this_very_study_stands_and_is_told(change: StudyChange) -> None:
    by_hand = evidence(request(kind="operator"))
    by_uid = evidence(request(), cause=an_entry("7", "HEART", study=STUDY))
    for known in (by_hand, by_uid):
        assert told(review(known, change)) == [(50, "stands")]
        assert ended(review(known, change)) == []


def test_an_entry_that_named_another_study_does_not_name_this_one() -> None:
    assert ended(review(evidence(request(), cause=an_entry("7", "HEART", study="9.9")))) == [50]


@pytest.mark.parametrize(
    ("change", "withdrawn"),
    [(OTHER_PATIENT, True), (READDRESSED, True), (OTHER_ACCESSION, False), (OTHER_SERIES_READDRESSED, False)],
)
def test_an_id_is_its_patient_s_and_for_what_comes_to_its_project_s_ae_title(
    change: StudyChange, *, withdrawn: bool
) -> None:
    found = review(evidence(request(kind="autoid")), change)
    assert told(found) == ([(50, "withdrawn")] if withdrawn else [])


@pytest.mark.parametrize(
    ("accession", "accessions", "stands"),
    [("ACC-1", {"ACC-1", "ACC-2"}, True), ("ACC-1", {"ACC-2"}, False), ("", {""}, False)],
)
def test_an_entry_stands_as_it_read_while_a_series_has_its_accession_number(
    accession: str, accessions: set[str], *, stands: bool
) -> None:
    """A series without one is not what a blank entry is about."""
    known = evidence(request(), cause=an_entry("7", "HEART", accession=accession), accessions=accessions)
    assert ended(review(known)) == ([] if stands else [50])


def series_of(patient_id: str, called: str = "CT1") -> Identity:
    return Identity(called=called, calling="", patient_id=patient_id, patient_name="")


@pytest.mark.parametrize(
    ("gained", "stands"),
    [
        ({series_of("P1")}, True),
        ({series_of("P9"), series_of("P1")}, True),
        ({series_of("P9")}, False),
        ({series_of("P1", called="OTHER")}, False),
        (set(), False),
    ],
)
def test_a_rule_stands_as_it_read_while_it_gives_a_series_the_same_pseudonym(
    gained: set[Identity], *, stands: bool
) -> None:
    rule = a_rule("7", "HEART", called="CT1", patient_id_pattern="P[0-9]")
    assert ended(review(evidence(request(kind="rule"), cause=rule, gained=gained))) == ([] if stands else [50])


def test_a_rule_is_read_in_the_mode_in_which_all_are() -> None:
    rule = a_rule("7", "HEART", called="CT1", patient_id_pattern="P")
    known = evidence(request(kind="rule"), cause=rule, gained={series_of("P1")})
    assert ended(review(known)) == [50]
    in_prefix_mode = Router([], mode="prefix", time_limit=1)
    found = review_change(Outcome(), known, OTHER_PATIENT, wanted={}, router=in_prefix_mode, asks_since={})
    assert ended(found) == []


def test_a_forgotten_pseudonym_can_be_compared_with_nothing_and_is_left() -> None:
    assert review(evidence(request(pseudonym=None), request(60))) == review(evidence(request(60)))


# Which requests it is about


def test_what_was_requested_since_the_change_rests_on_what_the_study_says_now() -> None:
    assert ended(review(evidence(request(99), request(101)))) == [99]


def test_requests_are_told_of_in_the_order_of_their_making() -> None:
    known = evidence(request(60), request(50), request(70))
    assert ended(review(known)) == [50, 60, 70]


def test_that_a_request_stands_is_told_once_for_a_change() -> None:
    """A run may be killed before it has told of it."""
    for noticed, expected in (({}, [50]), ({50: 99}, [50]), ({50: 100}, []), ({50: 101}, []), ({60: 101}, [50])):
        known = evidence(request(kind="operator"), noticed=noticed)
        assert [position for position, _ in told(review(known))] == expected


# What is decided anyway


def new(kind: CauseKind, *replaces: int, asks_since: int = 10) -> Outcome:
    candidate = Candidate(key=HEART, pseudonym="P2", cause=Cause(kind, "8", 9), asks_since=asks_since)
    return Outcome(requests=[NewRequest(candidate=candidate, replaces=replaces)])


@pytest.mark.parametrize(
    ("kind", "asks_since", "expected"),
    [
        ("rule", 10, ["amended"]),
        ("rule", 101, ["amended"]),
        ("coupling", 99, ["amended"]),
        ("coupling", 101, []),
    ],
)
def test_what_is_replaced_because_of_the_change_is_amended_and_what_a_person_corrected_since_is_not_told_of(
    kind: CauseKind, asks_since: int, expected: Sequence[Consequence]
) -> None:
    decided = new(kind, 50, asks_since=asks_since)
    found = review(evidence(request()), outcome=decided)
    assert found.requests == decided.requests
    assert [consequence for _, consequence in told(found)] == expected
    assert ended(found) == []


def test_a_request_of_after_the_change_is_replaced_without_a_word() -> None:
    assert told(review(evidence(request(101)), outcome=new("rule", 101))) == []


def retracting(standing: TransferRequest) -> Outcome:
    correction = Retraction(request=standing, cause=Cause("coupling", "7", 90), reason="its coupling entry now ...")
    return Outcome(retractions=[correction])


@pytest.mark.parametrize("asks_since", [{}, {"7": 49}, {"7": 50}, {"8": 60}])
def test_what_an_entry_no_longer_asks_for_because_the_study_changed_is_put_down_to_the_study(
    asks_since: Mapping[str, int],
) -> None:
    standing = request()
    found = review(evidence(standing), outcome=retracting(standing), asks_since=asks_since)
    assert found.retractions == [Retraction(request=standing, cause=standing.cause, reason=SAYS_OTHERWISE)]
    assert told(found) == [(50, "withdrawn")]


@pytest.mark.parametrize(("position", "asks_since"), [(50, 51), (101, 10)])
def test_what_a_person_corrected_or_what_was_requested_since_is_put_down_to_the_entry(
    position: int, asks_since: int
) -> None:
    standing = request(position)
    decided = retracting(standing)
    found = review(evidence(standing), outcome=decided, asks_since={"7": asks_since})
    assert (found.retractions, told(found)) == (decided.retractions, [])


# Two patients


def test_of_two_patients_all_is_withdrawn_but_what_a_person_asked_for_this_very_study() -> None:
    standing = [request(50), request(60, kind="operator"), request(70, kind="rule"), request(80, kind="autoid")]
    found = review_two_patients(Outcome(), evidence(*standing), wanted={})
    assert found.retractions == [
        Retraction(request=each, cause=each.cause, reason=TWO_PATIENTS) for each in (standing[0], *standing[2:])
    ]
    assert (
        ended(review_two_patients(Outcome(), evidence(request(), cause=an_entry("7", "H", study=STUDY)), wanted={}))
        == []
    )


@pytest.mark.parametrize(
    ("name", "wanted", "stands"),
    [("P1", {HEART: "P1"}, True), ("P1", {HEART: "P2"}, False), (None, {HEART: "P1"}, False), (None, {}, False)],
)
def test_what_an_entry_with_the_uid_asks_for_stands_and_a_forgotten_pseudonym_does_not(
    name: str | None, wanted: Mapping[Key, str], *, stands: bool
) -> None:
    found = review_two_patients(Outcome(), evidence(request(pseudonym=name)), wanted=wanted)
    assert ended(found) == ([] if stands else [50])


def test_what_ends_anyway_is_not_ended_twice() -> None:
    first, second, third = request(50), request(60), request(70)
    decided = Outcome(requests=new("coupling", 50).requests, retractions=retracting(second).retractions)
    found = review_two_patients(decided, evidence(first, second, third), wanted={})
    assert found.requests == decided.requests
    assert ended(found) == [60, 70]
