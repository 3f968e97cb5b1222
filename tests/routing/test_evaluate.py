"""What one study's evidence comes to under the rules and entries of the moment, without a ledger."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from processors.events.fact import Cause
from processors.requests import Key, TransferRequest
from processors.routing.coupling import CouplingList, Entry
from processors.routing.decisions import Conflict, Deferral
from processors.routing.evaluate import Directives, Judgement, judge
from processors.routing.evidence import Evidence
from processors.routing.patients import Patient
from processors.routing.rules import Identity, Router, Rule
from processors.routing.statements import StudyChange
from processors.routing.sync import Doubted
from tests.transfer_requests import STUDY, ours

HEART, BRAIN = Key("HEART", ""), Key("BRAIN", "")
SERIES = Identity(called="CT1", calling="", patient_id="P1", patient_name="")
LATE = "(a|aa)+$"
"""A pattern that is never done with `A_LONG_TEXT`."""
A_LONG_TEXT = "a" * 60 + "!"


def rule(record: str = "1", project: str = "HEART", pattern: str = "P[0-9]", **others: Any) -> Rule:
    known = Rule(
        record_id=record,
        active=True,
        project=project,
        called="CT1",
        calling="",
        patient_id_pattern=pattern,
        patient_name_pattern="",
        event_name="",
    )
    return replace(known, **others)


def entry(record: str = "7", project: str = "HEART", name: str = "E1", **others: Any) -> Entry:
    known = Entry(
        record_id=record, accession="ACC-1", study="", project=project, subject_id=name, event_name="", date=""
    )
    return replace(known, **others)


def directives(
    rules: Iterable[Rule] = (),
    entries: Iterable[Entry] = (),
    *,
    lives: Mapping[str, int] | None = None,
    asks_since: int = 22,
    doubted: Doubted | None = None,
) -> Directives:
    """Rules whose events are at position 11, entries whose events are at 21."""
    rules, entries = list(rules), list(entries)
    return Directives(
        router=Router(rules, mode="prefix", time_limit=0.01),
        entries=CouplingList(entries),
        rule_positions={each.record_id: 11 for each in rules},
        entry_positions={each.record_id: 21 for each in entries},
        entry_lives={each.record_id: 0 for each in entries} | dict(lives or {}),
        entries_ask_since={each.record_id: asks_since for each in entries},
        doubted=doubted or Doubted(),
    )


def evidence(**known: Any) -> Evidence:
    """A study on disk, whose only series has just arrived with accession number ACC-1."""
    arrived = Evidence(study=STUDY, subject=UUID(int=1), on_disk=True, accessions={"ACC-1"}, gained={SERIES})
    made = replace(arrived, **known)
    made.known_accessions |= made.accessions
    return made


def asked(found: Judgement) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(each.candidate.key.project, each.candidate.pseudonym, each.replaces) for each in found.outcome.requests]


def standing(
    name: str | None = "E1", project: str = "HEART", *, kind: Any = "coupling", record: str = "7"
) -> TransferRequest:
    made = ours(50, project, name, state="placed", instance=1)
    return replace(made, cause=Cause(kind, record, 21 if kind == "coupling" else 11))


PATIENTS = [Patient(UUID(int=number), number, (f"1.2.{number}",)) for number in (1, 2)]


# What is asked for


@pytest.mark.parametrize(("on_disk", "asked"), [(True, "E1"), (False, None)])
def test_no_rule_has_the_word_of_an_entry_that_waits_for_a_study_to_return(on_disk: bool, asked: str | None) -> None:  # noqa: FBT001 - a table's column
    """The study vanished before it was decided: on its return, it could be sent as the rule says."""
    rules, entries = [rule(), rule("2", "BRAIN")], [entry()]
    judged = judge(evidence(on_disk=on_disk), directives(rules, entries))
    requested = {each.candidate.key: each.candidate.pseudonym for each in judged.outcome.requests}
    assert requested == {BRAIN: "P1"} | ({HEART: asked} if asked else {})


def test_a_rule_asks_for_what_its_pattern_gives_without_padding() -> None:
    padded = SERIES._replace(patient_id="P1 \x00")
    (made,) = judge(evidence(gained={padded}), directives([rule()])).candidates
    assert (made.key, made.pseudonym, made.cause, made.asks_since) == (HEART, "P1", Cause("rule", "1", 11), 11)
    assert not made.whole_match


def test_an_entry_asks_for_its_subject_since_it_asks_for_just_that() -> None:
    (made,) = judge(evidence(), directives(entries=[entry()])).candidates
    assert (made.key, made.pseudonym, made.cause, made.asks_since) == (HEART, "E1", Cause("coupling", "7", 21), 22)


def test_the_rules_ask_for_a_study_that_was_received_anew_since_then() -> None:
    known = evidence(received_anew_at=90, standing=[standing("P1", kind="rule", record="1")], gone={50: 80})
    assert asked(judge(known, directives([rule()]))) == [("HEART", "P1", (50,))]
    assert asked(judge(replace(known, received_anew_at=0), directives([rule()]))) == []


def test_entries_wait_for_a_study_that_is_not_on_disk_and_so_do_the_conflicts_between_them() -> None:
    conflict = Conflict(key=HEART, kind="equals", causes=())
    known = evidence(on_disk=False, gained=set(), conflicts={HEART: conflict}, deferred={BRAIN: ()})
    found = judge(known, directives(entries=[entry()]))
    assert (list(found.candidates), found.outcome.resolved, found.resumed) == ([], [], [])
    there = judge(replace(known, on_disk=True), directives(entries=[entry()]))
    assert (asked(there), there.outcome.resolved, there.resumed) == ([("HEART", "E1", ())], [HEART], [BRAIN])


# Series of before


def test_a_series_of_before_is_not_routed_again() -> None:
    assert not judge(evidence(gained=set(), earlier={SERIES: 0}), directives([rule()])).candidates


@pytest.mark.parametrize(
    "left_open",
    [
        {"conflicts": {HEART: Conflict(key=HEART, kind="equals", causes=())}},
        {"failed_rules": {"1"}},
        {"deferred": {HEART: ()}},
        {"deferred": {BRAIN: (Cause("rule", "1", 11),)}},
    ],
)
def test_a_series_of_before_is_routed_again_where_something_was_left_open(left_open: dict[str, Any]) -> None:
    known = evidence(gained=set(), earlier={SERIES: 0}, **left_open)
    assert asked(judge(known, directives([rule()]))) == [("HEART", "P1", ())]


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"conflicts": {BRAIN: Conflict(key=BRAIN, kind="equals", causes=())}},
        {"failed_rules": {"2"}},
        {"deferred": {BRAIN: (Cause("coupling", "1", 11),)}},
        {"deferred": {HEART: (Cause("rule", "1", 11),)}, "on_disk": False},
    ],
)
def test_a_series_of_before_is_not_routed_again_for_what_was_left_open_elsewhere(elsewhere: dict[str, Any]) -> None:
    known = evidence(gained=set(), earlier={SERIES: 0}, **elsewhere)
    assert not judge(known, directives([rule()])).candidates


# Rules that run out of time


def test_a_rule_that_runs_out_of_time_is_told_once_and_that_it_answers_again_too() -> None:
    late = evidence(gained={SERIES._replace(patient_id=A_LONG_TEXT)})
    assert judge(late, directives([rule(pattern=LATE)])).timed_out == {"1"}
    assert judge(replace(late, failed_rules={"1"}), directives([rule(pattern=LATE)])).timed_out == frozenset()
    assert judge(evidence(failed_rules={"1"}), directives([rule()])).recovered == {"1"}
    assert judge(replace(late, failed_rules={"1"}), directives([rule(pattern=LATE)])).recovered == frozenset()


def test_a_series_of_before_is_no_news_of_a_rule_that_runs_out_of_time() -> None:
    late = evidence(gained=set(), earlier={SERIES._replace(patient_id=A_LONG_TEXT): 0})
    assert judge(late, directives([rule(pattern=LATE)])).timed_out == frozenset()
    known = replace(late, failed_rules={"1"})
    assert judge(known, directives([rule(pattern=LATE)])).recovered == frozenset()


def test_a_doubted_rule_that_runs_out_of_time_leaves_its_project_open() -> None:
    late = evidence(gained={SERIES._replace(patient_id=A_LONG_TEXT)})
    found = judge(late, directives([rule(pattern=LATE)], doubted=Doubted(rules=frozenset({"1"}))))
    assert (found.timed_out, found.deferred) == (frozenset(), [Deferral(HEART, (Cause("rule", "1", 11),))])


# What is doubted


def test_what_depends_on_the_doubted_is_deferred_with_its_causes_and_told_once() -> None:
    doubted = directives([rule()], [entry(project="BRAIN")], doubted=Doubted(rules=frozenset({"1"})))
    deferral = Deferral(HEART, (Cause("rule", "1", 11),))
    found = judge(evidence(), doubted)
    assert (asked(found), found.deferred, found.resumed) == ([("BRAIN", "E1", ())], [deferral], [])
    assert [made.cause.record_id for made in found.doubtful] == ["1"]
    known = judge(evidence(deferred={HEART: deferral.causes}), doubted)
    assert (known.deferred, known.resumed) == ([], [])
    other = judge(evidence(deferred={HEART: (Cause("rule", "1", 9),)}), doubted)
    assert other.deferred == [deferral]


def test_what_is_doubted_no_longer_is_resumed() -> None:
    found = judge(evidence(deferred={HEART: (Cause("rule", "1", 11),)}), directives([rule()]))
    assert (asked(found), found.resumed) == ([("HEART", "P1", ())], [HEART])


def test_a_doubted_correction_withdraws_nothing() -> None:
    moved = [entry(accession="ACC-9")]
    certain = judge(evidence(standing=[standing()]), directives(entries=moved))
    assert [each.request.position for each in certain.outcome.retractions] == [50]
    doubted = directives(entries=moved, doubted=Doubted(entries=frozenset({"7"})))
    found = judge(evidence(standing=[standing()]), doubted)
    assert found.outcome.retractions == []
    assert found.deferred == [Deferral(HEART, (Cause("coupling", "7", 21),))]


# Corrected entries


def test_a_corrected_entry_takes_its_request_along() -> None:
    known = evidence(standing=[standing()])
    assert asked(judge(known, directives(entries=[entry(project="BRAIN")]))) == [("BRAIN", "E1", (50,))]


@pytest.mark.parametrize(
    ("changed", "lives"), [({"subject_id": ""}, {}), ({}, {"7": 22})], ids=["unusable", "another entry since"]
)
def test_an_entry_that_says_nothing_or_is_another_one_by_now_takes_nothing_along(
    changed: dict[str, Any], lives: dict[str, int]
) -> None:
    known = evidence(standing=[standing()])
    found = judge(known, directives(entries=[entry(accession="ACC-9", **changed)], lives=lives))
    assert found.outcome.retractions == []


def test_a_rule_s_request_is_no_entry_s_of_the_same_record_id() -> None:
    known = evidence(standing=[standing(kind="rule")])
    assert judge(known, directives(entries=[entry(accession="ACC-9")])).outcome.retractions == []


def test_an_entry_that_names_a_series_which_has_left_the_disk_still_names_the_study() -> None:
    known = evidence(standing=[standing()], accessions=set(), known_accessions={"ACC-1"})
    assert judge(known, directives(entries=[entry()])).outcome.retractions == []


# Patients


def test_of_two_patients_only_an_entry_with_the_uid_counts() -> None:
    known = evidence(patients=PATIENTS)
    by_uid = entry("8", "BRAIN", accession="", study=STUDY)
    found = judge(known, directives([rule()], [entry(), by_uid]))
    assert asked(found) == [("BRAIN", "E1", ())]
    assert found.two_patients == (("1.2.1",), ("1.2.2",))


def test_that_a_study_is_of_two_patients_is_told_once_for_each_division_of_its_series() -> None:
    division = (("1.2.1",), ("1.2.2",))
    for held, expected in ((None, division), (division, None), ((("1.2.1", "1.2.3"), ("1.2.2",)), division)):
        assert judge(evidence(patients=PATIENTS, held=held), directives()).two_patients == expected
    one = judge(evidence(patients=PATIENTS[:1], held=division), directives())
    assert (one.two_patients, one.one_again) == (None, True)
    assert not judge(evidence(patients=PATIENTS[:1]), directives()).one_again


def test_no_rule_is_tried_on_a_study_of_two_patients_so_that_none_has_recovered() -> None:
    found = judge(evidence(patients=PATIENTS, failed_rules={"1"}), directives([rule()]))
    assert (list(found.candidates), found.recovered) == ([], frozenset())


def test_of_two_patients_all_is_withdrawn_and_after_a_change_what_nobody_asks_for_any_more() -> None:
    known = evidence(standing=[standing("P9", kind="rule", record="1")], gained={SERIES})
    assert judge(known, directives()).outcome.retractions == []
    two = judge(replace(known, patients=PATIENTS), directives())
    assert [each.reason for each in two.outcome.retractions] == ["its series are of two patients"]
    change = StudyChange(keywords=("PatientID",), position=100, readdressed=False)
    changed = judge(replace(known, change=change), directives())
    assert [each.consequence for each in changed.outcome.reviewed] == ["withdrawn"]


# What REDCap held before


@pytest.mark.parametrize(
    ("stood", "expected"),
    [
        ({HEART: {"P1": 5}}, []),
        ({HEART: {None: 5}}, []),
        ({HEART: {"P2": 5}}, [("HEART", "P1", ())]),
        ({BRAIN: {"P1": 5}}, [("HEART", "P1", ())]),
    ],
)
def test_what_stood_there_before_this_system_is_not_requested_again(
    stood: dict[Key, dict[str | None, int]], expected: list[tuple[str, str, tuple[int, ...]]]
) -> None:
    """A forgotten pseudonym equals any."""
    assert asked(judge(evidence(adopted=stood), directives([rule()]))) == expected


@pytest.mark.parametrize(("asks_since", "expected"), [(29, []), (30, []), (31, [("HEART", "E1", ())])])
def test_an_entry_of_after_that_asks_for_it_anew(
    asks_since: int, expected: list[tuple[str, str, tuple[int, ...]]]
) -> None:
    known = evidence(adopted={HEART: {"E1": 30}})
    assert asked(judge(known, directives(entries=[entry()], asks_since=asks_since))) == expected


def test_what_takes_the_place_of_a_request_of_ours_is_made_though_it_stood_there_before() -> None:
    known = evidence(adopted={HEART: {"E2": 30}}, standing=[standing("E1")])
    assert asked(judge(known, directives(entries=[entry(name="E2")]))) == [("HEART", "E2", (50,))]
