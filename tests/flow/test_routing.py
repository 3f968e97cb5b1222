"""Which rules send a study where, and under which pseudonym."""

import time

import pytest

from tests.flow.conftest import MakeSite
from tests.flow.harness import BRAIN, HEART, Asked, Site


def test_a_rule_matches_by_the_called_title(site: Site) -> None:
    site.rule(called="FIONA", calling="ELSEWHERE", patient_id="PID-1")
    site.series("1.2.3", called="FIONA", calling="CT1")
    site.run()
    assert site.transfers("1.2.3") == {1: Asked(HEART, "PID-1")}


def test_a_rule_matches_by_the_calling_title(site: Site) -> None:
    site.rule(called="ELSEWHERE", calling="CT1", patient_id="PID-1")
    site.series("1.2.3", called="FIONA", calling="CT1")
    site.run()
    assert site.transfers("1.2.3") == {1: Asked(HEART, "PID-1")}


def test_a_rule_for_other_titles_does_not_match(site: Site) -> None:
    site.rule(called="ELSEWHERE", calling="ELSEWHERE", patient_id="PID-1")
    site.series("1.2.3", called="FIONA", calling="CT1")
    site.run()
    assert site.transfers("1.2.3") == {}


def test_titles_match_although_scanners_pad_them(site: Site) -> None:
    site.rule(called=" FIONA ", patient_id="PID-1")
    site.series("1.2.3", called="FIONA \x00\x00")
    site.run()
    assert site.transfers("1.2.3") == {1: Asked(HEART, "PID-1")}


@pytest.mark.parametrize(("id_pattern", "name_pattern", "expected"), [
    ("HRT_", "HRT_", "HRT_ID"),
    ("other", "HRT_", "HRT_NAME"),
    ("", "HRT_", "HRT_NAME"),
    ("HRT_", "", "HRT_ID"),
])  # fmt: skip
def test_the_pseudonym_is_the_id_if_that_matched_else_the_name(
    site: Site, id_pattern: str, name_pattern: str, expected: str
) -> None:
    site.rule(patient_id=id_pattern, patient_name=name_pattern)
    site.series("1.2.3", PatientID="HRT_ID", PatientName="HRT_NAME")
    site.run()
    assert site.transfers("1.2.3") == {1: Asked(HEART, expected)}


def test_a_request_says_when_it_was_made_and_for_which_event(site: Site) -> None:
    site.rule(patient_id="PID-1", event="baseline", project=BRAIN)
    site.series("1.2.3")
    site.run()
    assert site.transfer_rows("1.2.3") == {
        1: {
            "transfer_requested_date": "2026-03-02 09:01",
            "transfer_project_name": "Brain, Ageing and Memory",
            "transfer_name": "PID-1",
            "transfer_event_name": "baseline",
        }
    }


def test_patterns_match_from_the_start_only(site: Site) -> None:
    site.rule(patient_id="RT_1")
    site.series("1.2.3", PatientID="HRT_1", PatientName="HRT_1")
    site.run()
    assert site.transfers("1.2.3") == {}


def test_a_match_of_the_start_is_placed_and_listed_for_attention(site: Site) -> None:
    site.rule(patient_id="HRT_[0-9]{3}")
    site.series("1.2.3", PatientID="HRT_001 Smith")
    site.run()
    assert site.transfers("1.2.3") == {1: Asked(HEART, "HRT_001 Smith")}
    assert site.notices() == [("pattern matched the start only", "1.2.3")]


def test_a_match_of_the_whole_text_needs_no_attention(site: Site) -> None:
    site.rule(patient_id="HRT_[0-9]{3}")
    site.series("1.2.3", PatientID="HRT_001")
    report = site.run()
    assert not report.needs_attention


def test_with_full_matching_the_pattern_must_match_all_of_the_text(make_site: MakeSite) -> None:
    site = make_site(match="full")
    site.rule(patient_id="HRT_[0-9]{3}")
    site.series("1.2.3", PatientID="HRT_001 Smith")
    site.series("1.2.4", PatientID="HRT_001")
    report = site.run()
    assert (site.transfers("1.2.3"), site.transfers("1.2.4")) == ({}, {1: Asked(HEART, "HRT_001")})
    assert not report.needs_attention


def test_a_blank_title_in_a_rule_never_matches(site: Site) -> None:
    site.rule(called="", calling="", patient_id=".*", patient_name=".*")
    site.rule("2", called="", calling="X", patient_id=".*")
    site.series("1.2.3", called="", calling="")
    site.run()
    assert site.transfers("1.2.3") == {}


def test_blank_patterns_never_match(site: Site) -> None:
    site.rule(patient_id="", patient_name="")
    site.series("1.2.3", PatientID="", PatientName="")
    site.series("1.2.4")
    site.run()
    assert (site.transfers("1.2.3"), site.transfers("1.2.4")) == ({}, {})


@pytest.mark.parametrize("blank", ["", "   ", None])
def test_a_blank_patient_id_matches_no_pattern(site: Site, blank: str | None) -> None:
    site.rule(patient_id=".*", patient_name="[^D]")
    site.series("1.2.3", PatientID=blank, PatientName="Doe")
    site.run()
    assert site.transfers("1.2.3") == {}


def test_an_inactive_rule_does_nothing_and_is_no_problem(site: Site) -> None:
    site.rule(patient_id="(", active=False)
    site.series("1.2.3", PatientID="(")
    report = site.run()
    assert site.transfers("1.2.3") == {}
    assert not report.needs_attention


def test_a_rule_that_does_not_compile_is_reported_and_others_go_on(site: Site) -> None:
    site.rule("1", patient_id="HRT_(", project=HEART)
    site.rule("2", patient_id="HRT_", project=BRAIN)
    site.series("1.2.3", PatientID="HRT_1")
    report = site.run()
    assert site.transfers("1.2.3") == {1: Asked(BRAIN, "HRT_1")}
    assert report.attention["unusable rule"] == 1


def test_a_mended_rule_is_no_longer_reported(site: Site) -> None:
    site.rule("1", patient_id="HRT_(")
    site.run()
    site.rule("1", patient_id="HRT_")
    assert "unusable rule" not in site.run().attention


HOSTILE = "(?:a|aa|aaa)+(?:a|aa|aaa)+$"


def test_a_pattern_that_explodes_ends_within_its_limit_and_is_reported(make_site: MakeSite) -> None:
    site = make_site(time_limit=0.1)
    site.rule("1", patient_name=HOSTILE, project=HEART)
    site.rule("2", patient_id="PID-1", project=BRAIN)
    site.series("1.2.3", PatientName="a" * 390 + "!")
    began = time.monotonic()
    report = site.run()
    assert time.monotonic() - began < 5
    assert site.transfers("1.2.3") == {1: Asked(BRAIN, "PID-1")}
    assert report.attention == {"rule ran out of time": 1}


def test_the_classic_of_exploding_patterns_stops_no_other_rule(make_site: MakeSite) -> None:
    # `re` would need 2**60 steps; `regex` finds a short cut or runs into the limit, depending on the machine.
    site = make_site(time_limit=0.1)
    site.rule("1", patient_name="(a+)+$", project=HEART)
    site.rule("2", patient_id="PID-1", project=BRAIN)
    site.series("1.2.3", PatientName="a" * 60 + "!")
    began = time.monotonic()
    site.run()
    assert time.monotonic() - began < 5
    assert site.transfers("1.2.3") == {1: Asked(BRAIN, "PID-1")}


def test_a_study_left_out_by_an_exploding_pattern_is_decided_when_the_rule_is_mended(make_site: MakeSite) -> None:
    site = make_site(time_limit=0.1)
    site.rule("1", patient_name=HOSTILE)
    site.series("1.2.3", PatientName="a" * 390 + "!")
    assert site.run().attention == {"rule ran out of time": 1}
    site.rule("1", patient_name="a+!")
    assert site.run().attention == {}
    assert site.transfers("1.2.3") == {1: Asked(HEART, "a" * 390 + "!")}


def test_a_rule_that_keeps_exploding_is_switched_off_for_the_run_and_its_studies_are_not_decided(
    make_site: MakeSite,
) -> None:
    site = make_site(time_limit=0.005)
    site.rule("1", patient_name=f"b|{HOSTILE}")
    for number in range(25):
        site.series(f"1.2.{number}", PatientName="a" * 390 + "!")
    site.series("1.3", PatientName="b")
    report = site.run()
    assert report.decided is not None
    assert (report.decided.rules_switched_off, report.decided.timed_out) == (["1"], 26)
    assert report.attention == {"rule ran out of time": 26}
    site.rule("1", patient_name="b")
    assert site.run().attention == {}
    assert site.transfers("1.3") == {1: Asked(HEART, "b")}


def test_an_exploding_rule_that_is_removed_is_no_longer_reported(make_site: MakeSite) -> None:
    site = make_site(time_limit=0.1)
    site.rule("1", patient_name=HOSTILE)
    site.series("1.2.3", PatientName="a" * 390 + "!")
    site.run()
    site.remove_rule("1")
    site.run()
    assert site.run().attention == {}


def test_a_rule_whose_project_is_not_among_the_choices_is_reported(site: Site) -> None:
    site.rule(patient_id="PID-1", project=HEART)
    site.simulator.projects["routing"].set_choices("routing_dest_project", [("2", BRAIN)])
    site.series("1.2.3")
    report = site.run()
    assert site.transfers("1.2.3") == {}
    assert report.attention["unusable rule"] == 1


def test_two_rules_for_two_projects_both_apply(site: Site) -> None:
    site.rule("1", patient_id="PID-1", project=HEART)
    site.rule("2", patient_name="Doe", project=BRAIN)
    site.series("1.2.3", PatientName="Doe")
    site.run()
    assert set(site.transfers("1.2.3").values()) == {Asked(HEART, "PID-1"), Asked(BRAIN, "Doe")}


def test_two_rules_that_agree_ask_once(site: Site) -> None:
    site.rule("1", patient_id="PID-.*")
    site.rule("2", patient_id="PID-1")
    site.series("1.2.3")
    site.run()
    assert site.transfers("1.2.3") == {1: Asked(HEART, "PID-1")}


def test_a_new_rule_does_not_reach_back_to_studies_that_gain_nothing(site: Site) -> None:
    site.series("1.2.3")
    site.run()
    site.rule(patient_id="PID-1")
    site.run()
    assert site.transfers("1.2.3") == {}


def test_a_new_rule_applies_once_the_study_gains_a_series(site: Site) -> None:
    site.series("1.2.3")
    site.run()
    site.rule(patient_id="PID-1")
    site.series("1.2.3", "1.2.3.2")
    site.run()
    assert site.transfers("1.2.3") == {1: Asked(HEART, "PID-1")}


def test_a_removed_rule_leaves_what_it_has_asked_for(site: Site) -> None:
    site.rule(patient_id="PID-1")
    site.series("1.2.3")
    site.run()
    site.remove_rule()
    site.series("1.2.3", "1.2.3.2")
    site.run()
    site.run()
    assert site.transfers("1.2.3") == {1: Asked(HEART, "PID-1")}


def test_why_a_study_goes_somewhere_stands_in_the_ledger(site: Site) -> None:
    site.rule("7", patient_id="PID-1")
    site.series("1.2.3")
    site.run()
    (request,) = site.events("TransferRequested")
    rows = site.query("select type, data ->> 'record_id' from ledger.event where position = :p",
                      p=request["cause"]["position"])  # fmt: skip
    assert request["cause"]["record_id"] == "7"
    assert rows == [("RoutingRuleChanged", "7")]


def test_padding_does_not_make_two_pseudonyms_of_one(site: Site) -> None:
    """They used to conflict, although REDCap would have held the same for both."""
    site.rule(patient_id="PID-")
    site.series("1.2.3", "1.2.3.1", PatientID="PID-1")
    site.series("1.2.3", "1.2.3.2", PatientID="PID-1 ")
    site.series("1.2.3", "1.2.3.3", PatientID=" PID-1 \x00\x00"[1:])
    site.run()
    site.series("1.2.3", "1.2.3.4", PatientID="PID-1  ")
    site.run()
    assert site.transfers("1.2.3") == {1: Asked(HEART, "PID-1")}
    assert len(site.events("TransferRequested")) == 1
    assert site.events("ConflictFound") == []


@pytest.mark.parametrize("blank", ["\x00\x00", "\u200b", " \ufeff\x00"])
def test_a_patient_id_with_nothing_to_see_names_nobody(site: Site, blank: str) -> None:
    site.rule(patient_id=".+")
    site.series("1.2.3", PatientID=blank)
    site.run()
    assert site.transfers("1.2.3") == {}
    assert site.query("select kind from ledger.subject") == [("study",)]
