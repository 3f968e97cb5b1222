"""What is wrong with a table of rules."""

from processors.explain.redos import worst_time
from processors.explain.rules_check import Finding
from tests.explain.conftest import Explained, row
from tests.flow.harness import BRAIN, HEART
from tests.operations.withdrawing import withdraws


def kinds(findings: list[Finding]) -> set[tuple[str, tuple[str, ...]]]:
    return {(finding.kind, finding.rules) for finding in findings if not finding.remark}


def remarks(findings: list[Finding]) -> set[tuple[str, tuple[str, ...]]]:
    return {(finding.kind, finding.rules) for finding in findings if finding.remark}


def recorded(explained: Explained) -> None:
    site = explained.site
    site.series("1.2.1", PatientID="HRT-1", PatientName="Doe^Jane", AccessionNumber="A1")
    site.series("1.2.2", PatientID="HRT-22", PatientName="Roe^Jim")
    site.run()


def test_good_rules_are_found_good(explained: Explained) -> None:
    recorded(explained)
    explained.site.rule("1", calling="CT1", patient_id="HRT-[0-9]+")
    explained.site.rule("2", calling="CT1", patient_id="HRT-[0-9]+", event="second")
    explained.site.run()
    assert explained.check() == []


def test_nothing_recorded_yet_is_no_reason_to_complain_about_ae_titles(explained: Explained) -> None:
    assert kinds(explained.check(row("1", sending_aetitle="CT9", allowed_patientid="X"), row("2", active="0"))) == set()


def test_patterns_that_do_not_compile_are_found(explained: Explained) -> None:
    recorded(explained)
    found = explained.check(row("1", allowed_patientid="("), row("2", allowed_patientname="[z-a]"))
    assert {("unusable", ("1",)), ("unusable", ("2",))} <= kinds(found)


def test_rules_that_can_never_match_are_found(explained: Explained) -> None:
    recorded(explained)
    found = explained.check(
        row("1"), row("2", incoming_aetitle="", allowed_patientid="H"), row("3", active="0", allowed_patientid="H")
    )
    assert {("never matches", ("1",)), ("never matches", ("2",))} <= kinds(found)
    assert ("inactive", ("3",)) in remarks(found)
    assert ("routing_sending_aetitle is blank", ("1",)) in remarks(found)


def test_ae_titles_that_no_series_ever_had_are_found_with_what_they_resemble(explained: Explained) -> None:
    recorded(explained)
    found = explained.check(
        row("1", incoming_aetitle="fiona", allowed_patientid="X"),
        row("2", incoming_aetitle="NEVER", sending_aetitle="CT1", allowed_patientid="X"),
        row("3", incoming_aetitle="CT1", allowed_patientid="X"),
    )
    assert kinds(found) == {("AE title never seen", ("1",)), ("AE title never seen", ("3",))}
    assert "FIONA differs by case only" in next(f.words for f in found if f.rules == ("1",))


def test_rules_that_give_a_recorded_study_two_names_are_found(explained: Explained) -> None:
    recorded(explained)
    found = explained.check(
        row("1", allowed_patientid="HRT-.*"),
        row("2", allowed_patientname="Doe.*"),
        row("3", allowed_patientname="Roe.*", event_name="other"),
        row("4", allowed_patientid="HRT-1"),
    )
    overlaps = {finding.rules: finding.words for finding in found if finding.kind == "overlap"}
    assert set(overlaps) == {("1", "2"), ("2", "4")}
    assert "different names to 1 recorded study for Heart Study" in overlaps["1", "2"]


def test_rules_alike_are_found(explained: Explained) -> None:
    recorded(explained)
    found = explained.check(row("1", allowed_patientid="HRT-.*"), row("2", allowed_patientid="HRT-.*"))
    assert kinds(found) == {("duplicate", ("1", "2"))}


def test_matches_of_the_start_only_are_found_in_the_history(explained: Explained) -> None:
    recorded(explained)
    found = explained.check(row("1", allowed_patientid="HRT-[0-9]"), row("2", allowed_patientid="HRT-[0-9]+"))
    assert ("start only", ("1",)) in kinds(found)
    assert ("start only", ("2",)) not in kinds(found)
    assert "in 1 recorded study" in next(f.words for f in found if f.kind == "start only")


def test_they_are_found_as_well_where_the_whole_text_counts(explained_whole: Explained) -> None:
    recorded(explained_whole)
    assert ("start only", ("1",)) in kinds(explained_whole.check(row("1", allowed_patientid="HRT-[0-9]")))


def test_slow_patterns_are_found_without_a_text_that_shows_it(explained: Explained) -> None:
    recorded(explained)
    explained.site.time_limit = 0.05
    found = explained.check(row("1", allowed_patientid="(x|xx|x?)+$"))
    assert ("slow", ("1",)) in kinds(found)


def test_patterns_that_ran_out_of_time_on_a_recorded_text_are_found(explained: Explained) -> None:
    site = explained.site
    site.time_limit = 0.02
    site.series("1.2.1", PatientID="a" * 60 + "!")
    site.run()
    (finding,) = [f for f in explained.check(row("1", allowed_patientid="(a|aa|a?)+$")) if f.kind == "slow"]
    assert "in 1 recorded study or more" in finding.words


def test_quick_patterns_are_quick() -> None:
    for pattern in ("HRT-[0-9]{1,4}", ".*", "[A-Z]+_[0-9]+", r"\w+\s\w+", "", "(", "(?i)abc|def"):
        assert worst_time(pattern, 5.0) == "", pattern


def test_a_project_that_only_this_file_names_is_found(explained: Explained) -> None:
    recorded(explained)
    explained.site.entry("1", accession="A1", project=BRAIN)
    explained.site.rule("1", patient_id="NONE", calling="CT1")
    explained.site.run()
    found = explained.check(
        row("7", dest_project="Hearts Study", allowed_patientid="X"),
        row("8", dest_project=BRAIN, allowed_patientid="X"),
        row("9", dest_project="Liver", allowed_patientid="X"),
    )
    unknown = {finding.rules: finding.words for finding in found if finding.kind == "unknown project"}
    assert set(unknown) == {("7",), ("9",)}
    assert "Is Heart Study meant?" in unknown["7",]
    assert ("project of one rule", ("1",)) in remarks(explained.check())


def test_projects_that_the_list_of_projects_does_not_know_are_told(explained: Explained) -> None:
    recorded(explained)
    explained.site.list_project(HEART)
    explained.site.rule("1", calling="CT1", patient_id="HRT-[0-9]+")
    explained.site.rule("2", calling="CT1", patient_id="HRT-[0-9]+", project=BRAIN)
    explained.site.entry("3", accession="A9", project="heart study")
    explained.site.run()
    found = explained.check()
    assert kinds(found) == {("misspelt project", ())}
    assert ("project not listed", ("2",)) in remarks(found)


def test_without_a_list_of_projects_nothing_is_said_of_it(explained: Explained) -> None:
    recorded(explained)
    explained.site.rule("1", calling="CT1", patient_id="HRT-[0-9]+")
    explained.site.run()
    assert not [each for each in explained.check() if each.kind == "project not listed"]


def test_what_would_be_held_of_a_rule_is_told_with_why_and_how_many(explained: Explained) -> None:
    recorded(explained)
    site = explained.site
    site.rule("1", patient_id="HRT-[0-9]+")
    site.naming("HRT-[0-9]")
    site.run()
    (finding,) = [each for each in explained.check() if not each.remark]
    assert (finding.kind, finding.rules) == ("pseudonym does not fit", ("1",))
    assert "What it asks for 1 recorded study would be held. Correct the pseudonym" in finding.words


def test_what_nobody_need_mend_is_a_remark(explained: Explained) -> None:
    recorded(explained)
    site = explained.site
    site.rule("1", patient_id="HRT-[0-9]+")
    site.list_project(active="0")
    site.run()
    withdraws(site, patient="HRT-1", project=BRAIN)
    site.rule("2", patient_id="HRT-[0-9]+", project=BRAIN)
    site.run()
    assert {("project is closed", ("1",)), ("participant withdrew", ("2",))} <= remarks(explained.check())
