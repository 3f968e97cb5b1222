"""Which rules match a series, and under which pseudonym."""

import re
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.routing.rules import Identity, MatchMode, Router, Rule, rule_from_row, rules_from_rows

PROJECTS = {"1": "Heart, and lung study", "2": "BRAIN"}


def rule(record_id: str = "1", **fields: str) -> Rule:
    row = {
        "record_id": record_id,
        "routing_active": "1",
        "routing_dest_project": "2",
        "routing_incoming_aetitle": "CALLED",
        "routing_sending_aetitle": "",
        "routing_allowed_patientid": "",
        "routing_allowed_patientname": "",
        "routing_event_name": "",
    }
    return rule_from_row(row | {f"routing_{name}": value for name, value in fields.items()}, PROJECTS)


def identity(
    *, called: str = "CALLED", calling: str = "CALLING", patient_id: str = "ID7", patient_name: str = "NAME7"
) -> Identity:
    return Identity(called=called, calling=calling, patient_id=patient_id, patient_name=patient_name)


def router(*rules: Rule, mode: MatchMode = "prefix", time_limit: float = 20.0) -> Router:
    return Router(rules, mode=mode, time_limit=time_limit)


def pseudonyms(found: Router, told: Identity) -> list[str]:
    return [hit.pseudonym for hit in found.hits(told)[0]]


# Reading a rule


def test_the_project_is_the_label_of_the_dropdown() -> None:
    assert rule(dest_project="1").project == "Heart, and lung study"


def test_blanks_around_titles_and_event_do_not_count() -> None:
    found = rule(incoming_aetitle=" A ", sending_aetitle="B\t", event_name=" e1 ")
    assert (found.called, found.calling, found.event_name) == ("A", "B", "e1")


def test_blanks_in_a_pattern_are_part_of_it() -> None:
    assert rule(allowed_patientname="^Ola $").patient_name_pattern == "^Ola $"


def test_a_rule_without_a_project_is_a_problem() -> None:
    assert rule(dest_project="").problems == ("routing_dest_project is blank.",)


def test_a_project_that_the_dropdown_does_not_list_is_a_problem() -> None:
    assert "'9'" in rule(dest_project="9").problems[0]


def test_each_pattern_that_does_not_compile_is_a_problem() -> None:
    found = rule(allowed_patientid="(", allowed_patientname="[")
    assert [problem.split()[0] for problem in found.problems] == [
        "routing_allowed_patientid",
        "routing_allowed_patientname",
    ]


def test_a_rule_that_is_switched_off_has_no_problems() -> None:
    assert rule(active="0", dest_project="", allowed_patientid="(").problems == ()


@pytest.mark.parametrize("active", ["", "0", "2", "yes"])
def test_only_1_switches_a_rule_on(active: str) -> None:
    assert not rule(active=active).active


# Where it came from


def test_the_called_title_decides() -> None:
    found = router(rule(allowed_patientid="ID"))
    assert pseudonyms(found, identity()) == ["ID7"]
    assert pseudonyms(found, identity(called="OTHER")) == []


def test_the_calling_title_decides_as_well() -> None:
    found = router(rule(incoming_aetitle="ELSE", sending_aetitle="CALLING", allowed_patientid="ID"))
    assert pseudonyms(found, identity()) == ["ID7"]
    assert pseudonyms(found, identity(calling="OTHER")) == []


def test_titles_are_not_taken_for_each_other() -> None:
    found = router(rule(allowed_patientid="ID"))
    assert pseudonyms(found, identity(called="CALLING", calling="CALLED")) == []


def test_a_rule_that_matches_by_both_titles_hits_once() -> None:
    found = router(rule(sending_aetitle="CALLING", allowed_patientid="ID"))
    assert pseudonyms(found, identity()) == ["ID7"]


def test_titles_are_compared_whole_and_with_their_case() -> None:
    found = router(rule(allowed_patientid="ID"))
    assert pseudonyms(found, identity(called="CALLED1")) == pseudonyms(found, identity(called="called")) == []


def test_a_rule_without_titles_matches_nothing_not_even_blank_titles() -> None:
    found = router(rule(incoming_aetitle=" ", allowed_patientid=".*"))
    assert pseudonyms(found, identity(called="", calling="")) == []
    assert not found


def test_a_blank_title_of_a_series_matches_no_rule_by_the_blank_side() -> None:
    found = router(rule(allowed_patientid=".*"))
    assert pseudonyms(found, identity(called="", calling="")) == []


# Whose it is


def test_the_id_goes_before_the_name() -> None:
    found = router(rule(allowed_patientid="ID", allowed_patientname="NAME"))
    assert pseudonyms(found, identity()) == ["ID7"]


def test_the_name_is_the_pseudonym_where_the_id_does_not_match() -> None:
    found = router(rule(allowed_patientid="X", allowed_patientname="NAME"))
    assert pseudonyms(found, identity()) == ["NAME7"]


def test_the_whole_text_is_the_pseudonym_even_where_its_start_matched() -> None:
    (hit,), _ = router(rule(allowed_patientid="I")).hits(identity(patient_id="ID7 Hansen"))
    assert (hit.pseudonym, hit.whole) == ("ID7 Hansen", False)


def test_a_name_that_matches_whole_does_not_overrule_an_id_that_matches_in_part() -> None:
    (hit,), _ = router(rule(allowed_patientid="I", allowed_patientname="NAME7")).hits(identity())
    assert (hit.pseudonym, hit.whole) == ("ID7", False)


def test_full_mode_asks_for_the_whole_text() -> None:
    found = router(rule(allowed_patientid="ID"), mode="full")
    assert pseudonyms(found, identity(patient_id="ID")) == ["ID"]
    assert pseudonyms(found, identity(patient_id="ID7")) == []


def test_full_mode_falls_back_to_the_name_where_the_id_matches_in_part() -> None:
    found = router(rule(allowed_patientid="I", allowed_patientname="NAME7"), mode="full")
    assert pseudonyms(found, identity()) == ["NAME7"]


def test_a_shorter_alternative_is_whole_in_full_mode() -> None:
    found = router(rule(allowed_patientid="a|ab"), mode="full")
    assert pseudonyms(found, identity(patient_id="ab")) == ["ab"]


def test_blank_patterns_match_nobody() -> None:
    found = router(rule(allowed_patientid=" ", allowed_patientname=""))
    assert pseudonyms(found, identity(patient_id=" ", patient_name="")) == []


def test_nobody_is_named_by_a_blank() -> None:
    found = router(rule(allowed_patientid=".*", allowed_patientname=".*"))
    assert pseudonyms(found, identity(patient_id=" ", patient_name="NAME7")) == ["NAME7"]
    assert pseudonyms(found, identity(patient_id="", patient_name="")) == []


# Several rules


def test_rules_that_are_off_or_have_problems_do_not_match() -> None:
    off, broken = rule("1", active="0", allowed_patientid="ID"), rule("2", allowed_patientid="ID", dest_project="9")
    found = router(off, broken, rule("3", allowed_patientid="("))
    assert found.hits(identity()) == ([], [])
    assert not found


def test_a_pattern_that_would_not_end_is_reported_and_holds_up_no_other_rule() -> None:
    # The other rule's text is blank on the side with a pattern, so that it takes no time at all.
    endless = rule("1", allowed_patientid="(a|aa)+$")
    hits, timed_out = router(
        endless, rule("2", allowed_patientname="Q"), rule("3", incoming_aetitle="X"), time_limit=1e-9
    ).hits(identity(patient_id="a" * 60 + "!", patient_name=""))
    assert (hits, timed_out) == ([], [endless])


def test_a_rule_whose_id_pattern_gives_no_answer_is_not_decided_by_the_name() -> None:
    """Its ID pattern might have given another pseudonym."""
    endless = rule("1", allowed_patientid="(a|aa)+$", allowed_patientname="NAME7")
    hits, timed_out = router(endless, time_limit=0.01).hits(identity(patient_id="a" * 60 + "!"))
    assert (hits, timed_out) == ([], [endless])


def test_a_rule_beside_an_endless_one_hits() -> None:
    quick = rule("2", allowed_patientname="NAME")
    hits, timed_out = router(rule("1", allowed_patientid="(a|aa)+$"), quick, time_limit=0.5).hits(
        identity(patient_id="a" * 60 + "!")
    )
    assert [hit.rule for hit in hits] == [quick]
    assert [stopped.record_id for stopped in timed_out] == ["1"]


def test_a_rule_that_keeps_running_out_of_time_is_not_tried_any_more_and_still_counts_as_without_answer() -> None:
    """A hundred thousand studies used to take half a second each."""
    endless, quick = rule("1", allowed_patientid="(a|aa)+$"), rule("2", allowed_patientid="b")
    found = router(endless, quick, time_limit=0.005)
    for _ in range(19):
        found.hits(identity(patient_id="a" * 60 + "!"))
    assert found.hits(identity(patient_id="aa"))[1] == []
    assert found.switched_off == []
    found.hits(identity(patient_id="a" * 60 + "!"))
    assert found.switched_off == ["1"]

    hits, timed_out = found.hits(identity(patient_id="aa"))
    assert (hits, timed_out) == ([], [endless])
    hits, timed_out = found.hits(identity(patient_id="b"))
    assert ([hit.rule for hit in hits], timed_out) == ([quick], [endless])
    assert found.hits(identity(called="OTHER"))[1] == []
    assert found.with_rules([endless]).switched_off == []


@pytest.mark.parametrize("order", list(permutations(["1", "9", "10"])))
def test_hits_come_in_one_order_however_the_rules_do(order: tuple[str, ...]) -> None:
    found = router(*(rule(record, allowed_patientid="ID") for record in order))
    assert [hit.rule.record_id for hit in found.hits(identity())[0]] == ["1", "10", "9"]


TITLES = st.sampled_from(["", "A", "B"])
TEXTS = st.sampled_from(["", " ", "P", "P1", "Q"])
PATTERNS = st.sampled_from(["", "P", "P1", ".", "Q$", "(", "P|P1"])


@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from(["", "2", "9"]), TITLES, TITLES, PATTERNS, PATTERNS), max_size=5),
    st.tuples(TITLES, TITLES, TEXTS, TEXTS),
    st.sampled_from(["prefix", "full"]),
)
def test_a_rule_hits_exactly_where_the_contract_says_so(
    made: list[tuple[bool, str, str, str, str, str]], told: tuple[str, str, str, str], mode: MatchMode
) -> None:
    def pseudonym(fields: tuple[bool, str, str, str, str, str]) -> str | None:
        active, project, called, calling, by_id, by_name = fields
        if not active or project != "2" or "(" in (by_id, by_name):
            return None
        if not ((called and called == told[0]) or (calling and calling == told[1])):
            return None
        tried = re.fullmatch if mode == "full" else re.match
        for pattern, text in ((by_id, told[2]), (by_name, told[3])):
            if pattern and text.strip() and tried(pattern, text):
                return text
        return None

    rules = [
        rule(
            str(number),
            active="1" if active else "0",
            dest_project=project,
            incoming_aetitle=called,
            sending_aetitle=calling,
            allowed_patientid=by_id,
            allowed_patientname=by_name,
        )
        for number, (active, project, called, calling, by_id, by_name) in enumerate(made)
    ]
    hits, timed_out = router(*rules, mode=mode).hits(Identity(*told))
    assert timed_out == []
    expected = {str(number): found for number, fields in enumerate(made) if (found := pseudonym(fields)) is not None}
    assert {hit.rule.record_id: hit.pseudonym for hit in hits} == expected


def test_a_rule_that_stands_there_several_times_matches_nobody() -> None:
    """Both of its rows used to be applied."""
    row = {
        "record_id": "1",
        "routing_active": "1",
        "routing_dest_project": "2",
        "routing_incoming_aetitle": "CALLED",
        "routing_allowed_patientid": "ID",
    }
    rows = [row, row | {"record_id": "2"}, row | {"routing_active": "0"}]
    found = rules_from_rows(rows, PROJECTS)
    assert {one.record_id: one.problems for one in found} == {
        "2": (),
        "1": ("The record id appears more than once in the export.",),
    }
    assert [hit.rule.record_id for hit in router(*found).hits(identity())[0]] == ["2"]
    assert rules_from_rows(rows[:0], PROJECTS) == []
