"""What is requested for a study: rivals, corrections, conflicts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.events.fact import Cause, CauseKind
from processors.requests import Key, State, TransferRequest
from processors.routing.decisions import (
    CONTRADICTED,
    REPLACED_IN_DOUBT,
    Candidate,
    Conflict,
    Corrected,
    NewRequest,
    Outcome,
    Retraction,
    Reviewed,
    confirmed,
    decide,
    either_way,
    released,
    wanted_of,
)

REQUESTED = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
HEART, BRAIN, LUNG = Key("HEART", ""), Key("BRAIN", ""), Key("LUNG", "visit_1")


def candidate(
    pseudonym: str = "P1", key: Key = HEART, *, kind: CauseKind = "coupling", record: str = "1", whole: bool = True
) -> Candidate:
    return Candidate(key=key, pseudonym=pseudonym, cause=Cause(kind, record, 1), asks_since=1, whole_match=whole)


def standing(
    pseudonym: str | None = "P1",
    key: Key = HEART,
    *,
    position: int = 50,
    kind: CauseKind = "coupling",
    record: str = "1",
    state: State = "placed",
    replaces: tuple[int, ...] = (),
) -> TransferRequest:
    return TransferRequest(
        position=position,
        study="1.2",
        key=key,
        pseudonym=pseudonym,
        cause=Cause(kind, record, 1),
        requested_at=REQUESTED,
        state=state,
        replaces=replaces,
    )


def corrected(key: Key = HEART, pseudonym: str = "P1", *, record: str = "1", names_study: bool = True) -> Corrected:
    return Corrected(cause=Cause("coupling", record, 2), key=key, pseudonym=pseudonym, names_study=names_study)


def asked(outcome: Outcome) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(r.candidate.key.project, r.candidate.pseudonym, r.replaces) for r in outcome.requests]


def test_what_an_entry_that_moved_on_replaces_is_not_retracted_as_well_where_others_contradict_each_other() -> None:
    rivals = [candidate("P2", record="2"), candidate("P3", record="3")]
    found = decide([candidate(key=BRAIN), *rivals], [standing()], corrected={50: corrected(BRAIN)})
    assert (asked(found), [conflict.key for conflict in found.conflicts]) == ([("BRAIN", "P1", (50,))], [HEART])
    assert found.retractions == []


def test_what_is_contradicted_ends_because_of_the_other_entry_whatever_else_stands() -> None:
    stand = [standing("P9", BRAIN, position=49, record="9"), standing()]
    found = decide([candidate(), candidate("P2", record="2")], stand)
    assert [(each.request.position, each.cause.record_id, each.reason) for each in found.retractions] == [
        (50, "2", CONTRADICTED)
    ]


@pytest.mark.parametrize(
    ("kind", "counts"), [("coupling", True), ("operator", True), ("rule", False), ("autoid", False)]
)
def test_what_a_person_asks_for_after_an_operator_has_decided_counts(kind: CauseKind, *, counts: bool) -> None:
    assert asked(decide([candidate(kind=kind)], [], by_hand={HEART: 0})) == [("HEART", "P1", ())] * counts
    assert asked(decide([candidate(kind=kind)], [], by_hand={HEART: 1})) == []


def test_what_entries_asked_for_before_they_were_corrected_is_given_up() -> None:
    """A pseudonym that was forgotten is any."""
    stand = [standing(position=50), standing("P2", BRAIN, position=51), standing(None, LUNG, position=52)]
    as_before = {50: corrected(), 51: corrected(BRAIN, "P2"), 52: corrected(LUNG, "P9")}
    assert released(stand, as_before) == set()
    assert released(stand, as_before | {50: corrected(pseudonym="P9")}) == {HEART}
    assert released(stand, as_before | {51: corrected(BRAIN, "P2", names_study=False)}) == {BRAIN}
    assert released(stand, as_before | {52: corrected(HEART, "P9")}) == {LUNG}
    assert released(stand, {}) == set()


# Rivals


def test_a_candidate_is_requested() -> None:
    assert asked(decide([candidate()], [])) == [("HEART", "P1", ())]


def test_one_study_goes_to_several_projects_and_events() -> None:
    other = Key("HEART", "visit_2")
    found = decide([candidate(), candidate("P2", BRAIN), candidate("P3", other)], [])
    assert {request.candidate.key for request in found.requests} == {HEART, BRAIN, other}


def test_rivals_who_agree_are_one_request() -> None:
    assert asked(decide([candidate(record="1"), candidate(record="2")], [])) == [("HEART", "P1", ())]


def test_an_entry_goes_before_a_rule() -> None:
    found = decide([candidate("RULE", kind="rule"), candidate("ENTRY")], [])
    assert asked(found) == [("HEART", "ENTRY", ())]
    assert not found.conflicts


def test_an_entry_goes_before_two_rules_that_contradict_each_other() -> None:
    rules = [candidate("R1", kind="rule"), candidate("R2", kind="rule", record="2")]
    found = decide([*rules, candidate("ENTRY")], [])
    assert asked(found) == [("HEART", "ENTRY", ())]
    assert not found.conflicts


@pytest.mark.parametrize("kind", ["rule", "coupling"])
def test_equals_that_contradict_each_other_conflict_and_neither_is_requested(kind: CauseKind) -> None:
    found = decide([candidate("P1", kind=kind), candidate("P2", kind=kind, record="2")], [])
    assert not found.requests
    (conflict,) = found.conflicts
    assert (conflict.key, conflict.kind) == (HEART, "equals")
    assert [cause.record_id for cause in conflict.causes] == ["1", "2"]


def test_entries_that_contradict_each_other_do_not_leave_it_to_a_rule() -> None:
    found = decide([candidate("P1"), candidate("P2", record="2"), candidate("R", kind="rule")], [])
    assert not found.requests
    assert {cause.kind for conflict in found.conflicts for cause in conflict.causes} == {"coupling"}


def test_one_rule_with_two_pseudonyms_for_two_series_of_a_study_conflicts() -> None:
    found = decide([candidate("P1", kind="rule"), candidate("P2", kind="rule")], [])
    assert (found.requests, len(found.conflicts)) == ([], 1)


@pytest.mark.parametrize(
    ("ours", "rivals", "ends"),
    [
        ("coupling", "coupling", True),
        ("rule", "coupling", True),
        ("operator", "coupling", True),
        ("rule", "rule", True),
        ("autoid", "rule", True),
        ("coupling", "rule", False),
    ],
)
def test_what_stands_ends_where_equals_contradict_each_other(
    ours: CauseKind,
    rivals: CauseKind,
    ends: bool,  # noqa: FBT001
) -> None:
    found = decide([candidate("P1", kind=rivals), candidate("P2", kind=rivals, record="2")], [standing(kind=ours)])
    assert [each.request.position for each in found.retractions] == [50] * ends
    assert [each.reason for each in found.retractions] == [CONTRADICTED] * ends


def test_it_ends_as_well_where_the_conflict_is_known() -> None:
    rivals = [candidate("P1"), candidate("P2", record="2")]
    found = decide(rivals, [standing()], open_conflicts={HEART: conflict_of(rivals)})
    assert (found.conflicts, len(found.retractions)) == ([], 1)


def test_a_conflict_for_one_project_holds_up_no_other() -> None:
    found = decide([candidate("P1"), candidate("P2", record="2"), candidate("P3", BRAIN)], [])
    assert asked(found) == [("BRAIN", "P3", ())]


def test_rivals_who_agree_are_told_by_the_entry_and_the_whole_match() -> None:
    rivals = [
        candidate(kind="rule", record="0"),
        candidate(record="2", whole=False),
        candidate(record="3"),
    ]
    assert decide(rivals, []).requests[0].candidate.cause == Cause("coupling", "3", 1)


# Against what stands


def test_what_stands_is_not_requested_again() -> None:
    assert decide([candidate()], [standing()]) == Outcome()


@pytest.mark.parametrize("state", ["requested", "placed", "contested"])
def test_another_pseudonym_of_the_entry_replaces_what_stands(state: State) -> None:
    found = decide([candidate("P2")], [standing(state=state)], corrected={50: corrected(pseudonym="P2")})
    assert asked(found) == [("HEART", "P2", (50,))]


def test_an_entry_replaces_what_a_rule_led_to() -> None:
    assert asked(decide([candidate("P2")], [standing(kind="rule")])) == [("HEART", "P2", (50,))]


def test_a_rule_does_not_replace_what_an_entry_led_to() -> None:
    found = decide([candidate("R", kind="rule", record="7")], [standing()])
    assert not found.requests
    assert [(conflict.kind, len(conflict.causes)) for conflict in found.conflicts] == [("coupling stands", 2)]


def test_a_rule_replaces_what_an_entry_led_to_that_asks_for_another_project_now() -> None:
    """It used to be a conflict with an entry that said nothing about the project any more."""
    found = decide(
        [candidate("R", kind="rule"), candidate("P1", BRAIN)], [standing()], corrected={50: corrected(BRAIN)}
    )
    assert not found.conflicts
    assert sorted(asked(found)) == [("BRAIN", "P1", ()), ("HEART", "R", (50,))]


def test_a_rule_replaces_what_an_entry_led_to_that_names_another_study_now() -> None:
    found = decide([candidate("R", kind="rule")], [standing()], corrected={50: corrected(names_study=False)})
    assert asked(found) == [("HEART", "R", (50,))]
    assert not found.conflicts
    assert not found.retractions


def test_what_a_request_that_was_not_placed_had_to_replace_ends_by_itself() -> None:
    unplaced = standing("P2", position=60, state="requested", replaces=(50, 40))
    found = decide([candidate("P3")], [unplaced], corrected={60: corrected(pseudonym="P3")})
    assert asked(found) == [("HEART", "P3", (60,))]


def test_a_request_that_was_placed_has_replaced_already() -> None:
    placed = standing("P2", position=60, replaces=(50,))
    assert asked(decide([candidate("P3")], [placed])) == [("HEART", "P3", (60,))]


@pytest.mark.parametrize("state", ["requested", "placed", "contested"])
def test_a_forgotten_pseudonym_is_not_requested_anew(state: State) -> None:
    contest = {HEART: Conflict(key=HEART, kind="equals", causes=())}
    found = decide([candidate("P2")], [standing(None, state=state)], open_conflicts=contest)
    assert not found.requests
    assert not found.retractions


@pytest.mark.parametrize(
    ("kind", "asks_since", "replaces"), [("coupling", 51, (50,)), ("coupling", 49, None), ("rule", 51, None)]
)
def test_what_an_entry_says_since_counts_whatever_was_forgotten(
    kind: CauseKind, asks_since: int, replaces: tuple[int, ...] | None
) -> None:
    found = decide([replace(candidate("P2", kind=kind), asks_since=asks_since)], [standing(None)])
    assert asked(found) == ([] if replaces is None else [("HEART", "P2", replaces)])


def test_a_forgotten_request_that_another_entry_asks_for_is_left_where_it_is() -> None:
    """Its own entry's move used to take its row, and the next run would have sent the study again."""
    found = decide(
        [candidate("P2", BRAIN), candidate("P9", record="2")], [standing(None)], corrected={50: corrected(BRAIN, "P2")}
    )
    assert asked(found) == [("BRAIN", "P2", ())]


# Corrected entries


def test_an_entry_that_asks_for_another_project_now_takes_its_request_along() -> None:
    found = decide([candidate("P1", BRAIN)], [standing()], corrected={50: corrected(BRAIN)})
    assert asked(found) == [("BRAIN", "P1", (50,))]
    assert not found.retractions


def test_a_forgotten_request_goes_along_with_its_entry() -> None:
    """It used to be left in force, so that the study would have been sent to both projects."""
    found = decide([candidate("P1", BRAIN)], [standing(None)], corrected={50: corrected(BRAIN)})
    assert asked(found) == [("BRAIN", "P1", (50,))]


def test_an_entry_does_not_take_along_what_another_still_asks_for() -> None:
    found = decide(
        [candidate("P1", BRAIN), candidate("P1", record="2")], [standing()], corrected={50: corrected(BRAIN)}
    )
    assert asked(found) == [("BRAIN", "P1", ())]
    assert not found.retractions


def test_two_entries_that_change_places_replace_each_a_request_of_the_other() -> None:
    found = decide(
        [candidate("P1", BRAIN, record="1"), candidate("P2", HEART, record="2")],
        [standing("P1", HEART, position=50, record="1"), standing("P2", BRAIN, position=60, record="2")],
        corrected={50: corrected(BRAIN, "P1"), 60: corrected(HEART, "P2", record="2")},
    )
    assert asked(found) == [("BRAIN", "P1", (60,)), ("HEART", "P2", (50,))]


def test_a_request_whose_entry_names_another_study_now_is_retracted() -> None:
    found = decide([], [standing()], corrected={50: corrected(names_study=False)})
    (retraction,) = found.retractions
    assert (retraction.request.position, retraction.cause) == (50, Cause("coupling", "1", 2))
    assert retraction.reason == "its coupling entry now names another study"


def test_a_request_whose_entry_was_corrected_in_all_that_it_says_is_retracted() -> None:
    """It used to stand: the entry was taken for another one, which only one that was gone in between can be."""
    found = decide([], [standing()], corrected={50: corrected(BRAIN, "P7", names_study=False)})
    assert [retraction.request.position for retraction in found.retractions] == [50]


def test_a_request_that_another_entry_still_asks_for_is_not_retracted() -> None:
    found = decide([candidate(record="2")], [standing()], corrected={50: corrected(names_study=False)})
    assert found == Outcome()


@pytest.mark.parametrize("pseudonym", ["P1", None])
def test_a_request_is_retracted_whose_entry_now_asks_for_what_stands_already(pseudonym: str | None) -> None:
    found = decide(
        [candidate("P1", BRAIN)],
        [standing(pseudonym), standing("P1", BRAIN, position=60, record="2")],
        corrected={50: corrected(BRAIN)},
    )
    assert not found.requests
    assert [(each.request.position, each.reason) for each in found.retractions] == [
        (50, "its coupling entry now asks for what was requested already")
    ]


def test_a_request_is_retracted_although_what_its_entry_asks_for_now_is_in_conflict() -> None:
    """It used to stand, although nobody asked for it any more."""
    found = decide(
        [candidate("P1", BRAIN), candidate("P2", BRAIN, record="2")], [standing()], corrected={50: corrected(BRAIN)}
    )
    assert not found.requests
    assert [retraction.request.position for retraction in found.retractions] == [50]


def test_a_rule_does_not_replace_what_an_entry_led_to_that_still_asks_for_it_and_does_once_it_asks_for_another() -> (
    None
):
    rule = candidate("R", kind="rule", record="7")
    assert [each.kind for each in decide([rule], [standing()], corrected={50: corrected()}).conflicts] == [
        "coupling stands"
    ]
    assert asked(decide([rule], [standing()], corrected={50: corrected(pseudonym="P7")})) == [("HEART", "R", (50,))]


def test_a_request_whose_entry_asks_for_another_pseudonym_that_waits_is_retracted() -> None:
    (retraction,) = decide([], [standing()], corrected={50: corrected(pseudonym="P7")}).retractions
    assert retraction.reason == "its coupling entry now asks for something else, which waits"


@pytest.mark.parametrize(("request_name", "entry_name"), [("P1", "P1"), (None, "P7")])
def test_a_request_whose_entry_asks_for_the_same_or_nobody_can_tell_is_not_retracted(
    request_name: str | None, entry_name: str
) -> None:
    assert decide([], [standing(request_name)], corrected={50: corrected(pseudonym=entry_name)}) == Outcome()


@pytest.mark.parametrize("first", [{}, {50: corrected()}], ids=["its entry is removed", "its entry asks for the same"])
def test_a_request_that_stands_keeps_no_other_from_being_retracted(first: dict[int, Corrected]) -> None:
    found = decide(
        [], [standing(), standing("P2", BRAIN, position=60)], corrected=first | {60: corrected(names_study=False)}
    )
    assert [retraction.request.position for retraction in found.retractions] == [60]


def test_a_removed_entry_changes_nothing() -> None:
    assert decide([], [standing()]) == Outcome()


# Conflicts found earlier


def conflict_of(rivals: Sequence[Candidate]) -> Conflict:
    return decide(rivals, []).conflicts[0]


RIVALS = [candidate("P1"), candidate("P2", record="2")]


def test_a_known_conflict_is_not_reported_again() -> None:
    assert decide(RIVALS, [], open_conflicts={HEART: conflict_of(RIVALS)}) == Outcome()


def test_a_conflict_with_other_causes_is_reported() -> None:
    rivals = [*RIVALS, candidate("P3", record="3")]
    assert len(decide(rivals, [], open_conflicts={HEART: conflict_of(RIVALS)}).conflicts) == 1


def test_a_conflict_that_is_over_is_resolved_and_requested() -> None:
    found = decide([candidate()], [], open_conflicts={HEART: conflict_of(RIVALS)})
    assert found.resolved == [HEART]
    assert asked(found) == [("HEART", "P1", ())]


def test_a_conflict_with_a_person_is_left_to_the_delivery() -> None:
    person = Conflict(key=HEART, kind="person", causes=(Cause("rule", "1", 1),))
    assert decide([], [], open_conflicts={HEART: person}).resolved == []


def test_a_contested_request_is_requested_anew_when_the_conflict_that_hid_it_is_over() -> None:
    found = decide([candidate()], [standing(state="contested")], open_conflicts={HEART: conflict_of(RIVALS)})
    assert asked(found) == [("HEART", "P1", (50,))]


# What always holds


# What is decided whether or not the doubted is gone


def test_what_only_the_doubted_asks_for_is_left_open() -> None:
    assert either_way(decide([candidate()], []), decide([], []), []) == (Outcome(), {HEART})


def test_what_is_asked_for_either_way_is_requested_because_of_what_is_certain() -> None:
    certain, doubted = candidate(record="2"), candidate(record="1")
    outcome, left_open = either_way(decide([doubted, certain], []), decide([certain], []), [])
    assert ([each.candidate for each in outcome.requests], left_open) == ([certain], set())


def test_a_rule_does_not_win_while_the_entry_that_would_outrank_it_is_doubted() -> None:
    rule = candidate("P2", kind="rule", record="7")
    outcome, left_open = either_way(decide([candidate("P1"), rule], []), decide([rule], []), [])
    assert (outcome, left_open) == (Outcome(), {HEART})


def test_a_conflict_with_the_doubted_is_not_reported_and_one_without_it_is() -> None:
    one, other, doubted = (candidate(f"P{record}", record=record) for record in ("1", "2", "3"))
    outcome, left_open = either_way(decide([one, doubted], []), decide([one], []), [])
    assert (outcome, left_open) == (Outcome(), {HEART})
    brain = [candidate("P1", BRAIN, record="4"), candidate("P2", BRAIN, record="5")]
    outcome, left_open = either_way(decide([one, other, doubted, *brain], []), decide([one, other, *brain], []), [])
    assert ([conflict.key for conflict in outcome.conflicts], left_open) == ([BRAIN], {HEART})


def test_what_a_corrected_entry_gives_up_stands_while_the_doubted_asks_for_it() -> None:
    request, moved = standing("P1"), candidate("P1", BRAIN)
    entry = {request.position: corrected(BRAIN)}
    doubted = candidate("P1", record="2")
    both = decide([moved, doubted], [request], corrected=entry), decide([moved], [request], corrected=entry)
    outcome, left_open = either_way(*both, [request])
    assert (asked(outcome), outcome.retractions, left_open) == ([("BRAIN", "P1", ())], [], {HEART})


def test_nothing_is_withdrawn_by_a_doubted_correction() -> None:
    request = standing("P1")
    with_doubted = decide([], [request], corrected={request.position: corrected(names_study=False)})
    assert either_way(with_doubted, decide([], [request]), [request]) == (Outcome(), {HEART})


def test_what_an_entry_said_before_it_was_removed_is_the_reason_why_its_request_ends() -> None:
    request = standing("P1")
    found = decide([], [request], corrected={request.position: corrected(BRAIN)._replace(is_gone=True)})
    assert [each.reason for each in found.retractions] == [
        "its coupling entry said something else before it was removed"
    ]


def test_what_ends_either_way_ends_at_once_and_what_takes_its_place_waits() -> None:
    request, moved = standing("P1", kind="rule"), corrected(names_study=False)
    retracted = decide([], [request], corrected={request.position: moved})
    replaced = decide([candidate("P2")], [request])
    both = replaced, retracted
    for with_doubted, without in (both, both[::-1]):
        outcome, left_open = either_way(with_doubted, without, [request])
        assert (outcome.requests, outcome.retractions, left_open) == ([], retracted.retractions, {HEART})


def test_so_does_what_is_replaced_by_the_one_or_by_the_other() -> None:
    request, rule = standing("P1", kind="rule"), candidate("P3", kind="rule", record="7")
    outcome, left_open = either_way(decide([candidate("P2"), rule], [request]), decide([rule], [request]), [request])
    assert (outcome.requests, left_open) == ([], {HEART})
    assert outcome.retractions == [Retraction(request=request, cause=rule.cause, reason=REPLACED_IN_DOUBT)]


def test_so_does_what_the_doubted_contradicts_and_without_it_would_be_replaced() -> None:
    request, other = standing("P1"), candidate("P2", record="2")
    with_doubted, without = decide([candidate(), other], [request]), decide([other], [request])
    assert [each.reason for each in with_doubted.retractions] == [CONTRADICTED]
    assert either_way(with_doubted, without, [request]) == (Outcome(retractions=with_doubted.retractions), {HEART})


def test_what_only_the_doubted_contradicts_stands() -> None:
    request, doubted = standing("P1"), candidate("P2", record="2")
    with_doubted, without = decide([candidate(), doubted], [request]), decide([candidate()], [request])
    assert [each.request for each in with_doubted.retractions] == [request]
    assert either_way(with_doubted, without, [request]) == (Outcome(), {HEART})


def test_what_its_study_says_otherwise_is_told_of_what_ends_either_way() -> None:
    request = standing("P1", kind="rule")
    amended = Reviewed(request=request, changed=("PatientID",), consequence="amended")
    withdrawn = replace(amended, consequence="withdrawn")
    retraction = Retraction(request=request, cause=request.cause, reason="the study says something else now")
    with_doubted = Outcome(requests=[NewRequest(candidate=candidate("P2"), replaces=(50,))], reviewed=[amended])
    without = Outcome(retractions=[retraction], reviewed=[withdrawn])
    outcome, _ = either_way(with_doubted, without, [request])
    assert (outcome.retractions, outcome.reviewed) == ([retraction], [withdrawn])


STANDING = [
    standing("P1", HEART, position=50),
    standing("P1", BRAIN, position=60, kind="rule"),
    standing("P1", LUNG, position=70, kind="rule"),
]
EVERYTHING = Outcome(
    requests=[NewRequest(candidate=candidate("P2"), replaces=(50,))],
    conflicts=[Conflict(key=LUNG, kind="equals", causes=(Cause("rule", "1", 1),))],
    resolved=[BRAIN],
    retractions=[Retraction(request=STANDING[1], cause=Cause("rule", "1", 1), reason="gone")],
    reviewed=[Reviewed(request=STANDING[2], changed=("PatientID",), consequence="stands")],
)


def test_what_the_doubted_does_not_touch_is_decided_as_ever() -> None:
    assert either_way(EVERYTHING, EVERYTHING, STANDING) == (EVERYTHING, set())


@pytest.mark.parametrize("both", [(EVERYTHING, Outcome()), (Outcome(), EVERYTHING)])
def test_what_is_done_only_if_the_doubted_stands_or_only_if_it_is_gone_is_not_done(
    both: tuple[Outcome, Outcome],
) -> None:
    assert either_way(*both, STANDING) == (Outcome(), {HEART, BRAIN, LUNG})


def test_a_request_made_either_way_replaces_what_it_replaces_either_way() -> None:
    more, less = (Outcome(requests=[NewRequest(candidate=candidate("P2"), replaces=old)]) for old in ((50, 60), (50,)))
    assert either_way(more, less, STANDING) == (less, {BRAIN})
    assert either_way(less, more, STANDING) == (less, {BRAIN})


def test_a_request_that_is_reviewed_to_another_consequence_if_the_doubted_is_gone_is_not_told_of() -> None:
    stands, goes = (
        Outcome(reviewed=[Reviewed(request=STANDING[2], changed=("PatientID",), consequence=consequence)])
        for consequence in ("stands", "withdrawn")
    )
    assert either_way(stands, goes, STANDING) == (Outcome(), set())


# What somebody still asks for


@pytest.mark.parametrize("kind", ["autoid", "operator"])
def test_an_id_and_what_an_operator_decided_are_asked_for_for_ever(kind: CauseKind) -> None:
    assert confirmed([], [standing(kind=kind)], by_hand={}) == [50]


@pytest.mark.parametrize("kind", ["rule", "coupling"])
def test_the_rest_needs_a_candidate_that_asks_for_the_same(kind: CauseKind) -> None:
    request = standing(kind=kind)
    assert confirmed([candidate(), candidate("P2", BRAIN)], [request], by_hand={}) == [50]
    assert confirmed([candidate("P2")], [request], by_hand={}) == []
    assert confirmed([candidate("P1", BRAIN)], [request], by_hand={}) == []
    assert confirmed([candidate(), candidate("P2", record="2")], [request], by_hand={}) == []


def test_what_an_operator_has_overruled_confirms_nothing() -> None:
    assert confirmed([candidate()], [standing()], by_hand={("HEART", None): 5}) == []
    assert wanted_of([candidate(), candidate("P2", BRAIN)], {("HEART", None): 5}) == {BRAIN: "P2"}


def test_a_forgotten_pseudonym_is_confirmed_by_nobody() -> None:
    assert confirmed([candidate("P1", BRAIN)], [standing(None)], by_hand={}) == []


# Operators


def since(asks_since: int, *, kind: CauseKind = "coupling", key: Key = LUNG) -> Candidate:
    return replace(candidate("P1", key, kind=kind), asks_since=asks_since)


@pytest.mark.parametrize("event", [None, "visit_1"])
def test_an_entry_of_after_an_operator_s_decision_is_heeded_and_a_rule_never(event: str | None) -> None:
    def wanted(made: Candidate) -> bool:
        return bool(decide([made], [], by_hand={("LUNG", event): 10}).requests)

    assert [wanted(since(position)) for position in (9, 10, 11)] == [False, False, True]
    assert not wanted(since(11, kind="rule"))


@pytest.mark.parametrize("elsewhere", [("LUNG", "visit_2"), ("LUNG", ""), ("HEART", None), ("HEART", "visit_1")])
def test_an_operator_s_decision_is_about_its_project_and_event(elsewhere: tuple[str, str | None]) -> None:
    assert asked(decide([since(5, kind="rule")], [], by_hand={elsewhere: 10})) == [("LUNG", "P1", ())]


def test_the_latest_of_an_operator_s_decisions_counts() -> None:
    for by_hand in ({("LUNG", None): 10, ("LUNG", "visit_1"): 20}, {("LUNG", None): 20, ("LUNG", "visit_1"): 10}):
        assert decide([since(15)], [], by_hand=by_hand) == Outcome()


# Requests whose rows somebody deleted


@pytest.mark.parametrize(("asks_since", "expected"), [(9, []), (10, []), (11, [("LUNG", "P1", (50,))])])
def test_who_asks_after_the_row_was_deleted_asks_anew(
    asks_since: int, expected: list[tuple[str, str, tuple[int, ...]]]
) -> None:
    """Under the same pseudonym, which would have stood otherwise."""
    assert asked(decide([since(asks_since)], [standing("P1", LUNG)], gone={50: 10})) == expected


@pytest.mark.parametrize("kind", ["coupling", "rule"])
def test_of_those_who_ask_for_the_same_the_newest_asks_anew(kind: CauseKind) -> None:
    """The one with the smaller record id counted, whatever others had said since."""
    rivals = [since(9, kind=kind), replace(since(11, kind=kind), cause=Cause(kind, "2", 1))]
    request = standing("P1", LUNG, kind=kind)
    assert asked(decide(rivals, [request], gone={50: 10})) == [("LUNG", "P1", (50,))]


def test_another_request_s_deleted_row_changes_nothing() -> None:
    assert decide([since(11)], [standing("P1", LUNG)], gone={60: 10}) == Outcome()


@dataclass(frozen=True)
class World:
    """A study's candidates, what stands for it, and the entries behind that as they read now."""

    candidates: list[Candidate]
    standing: list[TransferRequest]
    corrected: dict[int, Corrected]
    conflicts: dict[Key, Conflict]

    def decide(self) -> Outcome:
        return decide(self.candidates, self.standing, corrected=self.corrected, open_conflicts=self.conflicts)

    def after(self, outcome: Outcome) -> "World":
        """The world once the outcome has been recorded."""
        gone = {position for request in outcome.requests for position in request.replaces}
        gone |= {retraction.request.position for retraction in outcome.retractions}
        new = [_requested(request, 1_000 + number) for number, request in enumerate(outcome.requests)]
        conflicts = {key: found for key, found in self.conflicts.items() if key not in outcome.resolved}
        conflicts |= {found.key: found for found in outcome.conflicts}
        by_entry = {
            candidate.cause.record_id: candidate for candidate in self.candidates if candidate.cause.kind == "coupling"
        }
        corrected = {position: entry for position, entry in self.corrected.items() if position not in gone}
        for request in new:
            if request.cause.kind == "coupling":
                entry = by_entry[request.cause.record_id]
                corrected[request.position] = Corrected(entry.cause, entry.key, entry.pseudonym, names_study=True)
        return World(self.candidates, [s for s in self.standing if s.position not in gone] + new, corrected, conflicts)


def _requested(request: NewRequest, position: int) -> TransferRequest:
    return TransferRequest(
        position=position,
        study="1.2",
        requested_at=REQUESTED,
        key=request.candidate.key,
        pseudonym=request.candidate.pseudonym,
        cause=request.candidate.cause,
        state="requested",
        replaces=request.replaces,
    )


KEYS = st.sampled_from([HEART, BRAIN, LUNG])
PSEUDONYMS = st.sampled_from(["P1", "P2", "P3"])
RECORDS = ["1", "2", "9", "10"]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Entries with a past: what they ask for now, and what they, or rules, have led to before."""
    now = {record: (draw(KEYS), draw(PSEUDONYMS)) for record in draw(st.sets(st.sampled_from(RECORDS)))}
    elsewhere = {record for record in now if draw(st.booleans()) and draw(st.booleans())}
    candidates = [
        Candidate(key=key, pseudonym=pseudonym, cause=Cause("coupling", record, 10), asks_since=10)
        for record, (key, pseudonym) in now.items()
        if record not in elsewhere
    ]
    for _ in range(draw(st.integers(0, 3))):
        cause = Cause("rule", draw(st.sampled_from(RECORDS)), 11)
        candidates.append(
            Candidate(
                key=draw(KEYS), pseudonym=draw(PSEUDONYMS), cause=cause, asks_since=11, whole_match=draw(st.booleans())
            )
        )
    stand, behind = [], {}
    for position, key in enumerate(sorted(draw(st.sets(KEYS))), 50):
        kind: CauseKind = draw(st.sampled_from(["rule", "coupling"]))
        record = draw(st.sampled_from(RECORDS))
        stand.append(
            standing(
                draw(st.one_of(PSEUDONYMS, st.none())),
                key,
                position=position,
                kind=kind,
                record=record,
                state=draw(st.sampled_from(["requested", "placed", "contested"])),
                replaces=(position - 40,),
            )
        )
        if kind == "coupling" and record in now:
            entry_key, pseudonym = now[record]
            behind[position] = Corrected(
                Cause("coupling", record, 10), entry_key, pseudonym, names_study=record not in elsewhere
            )
    conflicts = {
        key: Conflict(key=key, kind=draw(st.sampled_from(["equals", "person", "coupling stands"])), causes=())
        for key in draw(st.sets(KEYS, max_size=1))
    }
    return World(candidates, stand, behind, conflicts)


@settings(max_examples=6 * settings().max_examples)
@given(worlds(), st.randoms(use_true_random=False), st.permutations(RECORDS))
def test_whatever_there_is_what_is_decided_holds(world: World, shuffled: Random, names: list[str]) -> None:
    """All at once: to make a world up takes far longer than to look at it."""
    assert_at_most_one_request_is_made_for_a_project_and_event(world)
    assert_at_most_one_request_is_in_force_for_a_project_and_event(world)
    assert_deciding_again_asks_for_nothing(world)
    assert_the_order_of_candidates_and_requests_does_not_matter(world, shuffled)
    assert_an_entry_always_beats_a_rule(world)
    assert_equals_that_contradict_each_other_never_lead_to_a_request(world)
    assert_every_candidate_is_requested_or_stands_or_is_outranked_or_in_conflict(world)
    assert_a_forgotten_pseudonym_never_leads_to_a_new_request_for_its_project_and_event(world)
    assert_nothing_is_replaced_twice_or_replaced_and_retracted(world)
    assert_what_the_records_are_called_does_not_change_what_is_in_force(world, names)


def assert_at_most_one_request_is_made_for_a_project_and_event(world: World) -> None:
    keys = [request.candidate.key for request in world.decide().requests]
    assert len(keys) == len(set(keys))


def assert_at_most_one_request_is_in_force_for_a_project_and_event(world: World) -> None:
    keys = [request.key for request in world.after(world.decide()).standing]
    assert len(keys) == len(set(keys))


def assert_deciding_again_asks_for_nothing(world: World) -> None:
    again = world.after(world.decide())
    assert again.decide() == Outcome()


def assert_the_order_of_candidates_and_requests_does_not_matter(world: World, shuffled: Random) -> None:
    candidates, stand = list(world.candidates), list(world.standing)
    shuffled.shuffle(candidates)
    shuffled.shuffle(stand)
    other = replace(world, candidates=candidates, standing=stand).decide()
    mine = world.decide()
    assert other.requests == mine.requests
    assert other.conflicts == mine.conflicts
    assert other.resolved == mine.resolved
    assert sorted(r.request.position for r in other.retractions) == sorted(r.request.position for r in mine.retractions)


def assert_an_entry_always_beats_a_rule(world: World) -> None:
    coupled = {candidate.key for candidate in world.candidates if candidate.cause.kind == "coupling"}
    for request in world.decide().requests:
        assert request.candidate.cause.kind == "coupling" or request.candidate.key not in coupled


def assert_equals_that_contradict_each_other_never_lead_to_a_request(world: World) -> None:
    for request in world.decide().requests:
        equals = [c for c in world.candidates if c.key == request.candidate.key]
        equals = [c for c in equals if c.cause.kind == "coupling"] or equals
        assert {c.pseudonym for c in equals} == {request.candidate.pseudonym}


def assert_every_candidate_is_requested_or_stands_or_is_outranked_or_in_conflict(world: World) -> None:
    outcome = world.decide()
    after = world.after(outcome)
    settled = {request.key for request in after.standing}
    in_conflict = after.conflicts.keys()
    for made in world.candidates:
        assert made.key in settled or made.key in in_conflict


def assert_a_forgotten_pseudonym_never_leads_to_a_new_request_for_its_project_and_event(world: World) -> None:
    forgotten = {request.key for request in world.standing if request.pseudonym is None}
    assert not forgotten & {request.candidate.key for request in world.decide().requests}


def assert_nothing_is_replaced_twice_or_replaced_and_retracted(world: World) -> None:
    outcome = world.decide()
    replaced = [position for request in outcome.requests for position in request.replaces]
    retracted = [retraction.request.position for retraction in outcome.retractions]
    assert len(replaced + retracted) == len(set(replaced + retracted))


def assert_what_the_records_are_called_does_not_change_what_is_in_force(world: World, names: list[str]) -> None:
    """Record ids are text: "10" sorts before "9"."""
    renamed = dict(zip(RECORDS, names, strict=True))

    def cause(old: Cause) -> Cause:
        return old._replace(record_id=renamed[old.record_id])

    other = World(
        [replace(c, cause=cause(c.cause)) for c in world.candidates],
        [replace(s, cause=cause(s.cause)) for s in world.standing],
        {position: entry._replace(cause=cause(entry.cause)) for position, entry in world.corrected.items()},
        world.conflicts,
    )
    assert in_force(other) == in_force(world)


def in_force(world: World) -> tuple[set[tuple[Key, str | None]], set[Key]]:
    outcome = world.decide()
    after = world.after(outcome)
    return {(request.key, request.pseudonym) for request in after.standing}, {c.key for c in outcome.conflicts}
