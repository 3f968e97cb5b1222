"""Which studies the coupling list sends where."""

import pytest

from tests.flow.harness import BRAIN, HEART, Asked, Site


def test_an_entry_names_a_study_by_its_accession_number_blanks_aside(site: Site) -> None:
    site.entry(accession=" ACC-1 ", subject="H-001")
    site.series("1.2.3", AccessionNumber="ACC-1  ")
    site.run()
    assert site.transfers("1.2.3") == {1: Asked(HEART, "H-001")}


def test_an_entry_names_a_study_by_its_uid(site: Site) -> None:
    site.entry(study=" 1.2.3", subject="H-001")
    site.series("1.2.3")
    site.series("1.2.4")
    site.run()
    assert (site.transfers("1.2.3"), site.transfers("1.2.4")) == ({1: Asked(HEART, "H-001")}, {})


def test_a_blank_accession_number_names_nothing(site: Site) -> None:
    site.entry("1", accession="  ", study="9.9.9")
    site.series("1.2.3", AccessionNumber="")
    site.series("1.2.4", AccessionNumber="   ")
    site.run()
    assert (site.transfers("1.2.3"), site.transfers("1.2.4")) == ({}, {})


def test_an_entry_made_after_the_study_arrived_finds_it(site: Site) -> None:
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    site.entry(accession="ACC-1")
    site.run()
    assert site.transfers("1.2.3") == {1: Asked(HEART, "H-001")}


def test_an_entry_made_before_the_study_arrives_waits_for_it(site: Site) -> None:
    site.entry(accession="ACC-1")
    site.run()
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    assert site.transfers("1.2.3") == {1: Asked(HEART, "H-001")}


def test_one_study_may_go_to_several_projects(site: Site) -> None:
    site.entry("1", accession="ACC-1", project=HEART, subject="H-001")
    site.entry("2", study="1.2.3", project=BRAIN, subject="B-001")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    assert set(site.transfers("1.2.3").values()) == {Asked(HEART, "H-001"), Asked(BRAIN, "B-001")}


def test_one_study_may_go_to_two_events_of_a_project(site: Site) -> None:
    site.entry("1", accession="ACC-1", subject="H-001", event="baseline")
    site.entry("2", accession="ACC-1", subject="H-002", event="follow-up")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    assert set(site.transfers("1.2.3").values()) == {
        Asked(HEART, "H-001", "baseline"),
        Asked(HEART, "H-002", "follow-up"),
    }


def test_an_accession_number_shared_by_two_studies_names_both(site: Site) -> None:
    site.entry(accession="ACC-1")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.series("1.2.4", AccessionNumber="ACC-1")
    site.run()
    assert site.transfers("1.2.3") == site.transfers("1.2.4") == {1: Asked(HEART, "H-001")}


@pytest.mark.parametrize(("project", "subject"), [("", "H-001"), (HEART, ""), ("  ", " ")])
def test_an_entry_without_project_or_subject_is_reported_and_skipped(site: Site, project: str, subject: str) -> None:
    site.entry("1", accession="ACC-1", project=project, subject=subject)
    site.entry("2", accession="ACC-1", project=BRAIN, subject="B-001")
    site.series("1.2.3", AccessionNumber="ACC-1")
    report = site.run()
    assert site.transfers("1.2.3") == {1: Asked(BRAIN, "B-001")}
    assert report.attention["unusable coupling entry"] == 1


def test_a_completed_entry_is_applied_and_no_longer_reported(site: Site) -> None:
    site.entry(accession="ACC-1", subject="")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    site.entry(accession="ACC-1", subject="H-001")
    report = site.run()
    assert site.transfers("1.2.3") == {1: Asked(HEART, "H-001")}
    assert not report.needs_attention


def test_an_entry_for_a_vanished_study_waits_until_it_returns(site: Site) -> None:
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    site.vanish("1.2.3")
    site.run()
    site.entry(accession="ACC-1")
    site.run()
    assert site.transfers("1.2.3") == {}
    site.come_back("1.2.3")
    site.run()
    assert site.transfers("1.2.3") == {1: Asked(HEART, "H-001")}


def test_a_study_that_vanishes_and_returns_is_not_requested_again(site: Site) -> None:
    site.entry(accession="ACC-1")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    site.vanish("1.2.3")
    site.run()
    site.come_back("1.2.3")
    site.run()
    assert site.transfers("1.2.3") == {1: Asked(HEART, "H-001")}


def test_a_removed_entry_leaves_what_it_has_asked_for(site: Site) -> None:
    site.entry(accession="ACC-1")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    site.remove_entry()
    site.run()
    assert site.transfers("1.2.3") == {1: Asked(HEART, "H-001")}


def test_an_entry_whose_accession_number_arrives_with_a_later_series_finds_the_study(site: Site) -> None:
    site.entry(accession="ACC-1")
    site.series("1.2.3", "1.2.3.1", AccessionNumber="")
    site.run()
    site.series("1.2.3", "1.2.3.2", AccessionNumber="ACC-1")
    site.run()
    assert site.transfers("1.2.3") == {1: Asked(HEART, "H-001")}


@pytest.mark.parametrize("who", ["a person", "the sender has sent it"])
def test_a_request_that_stands_in_redcap_is_not_placed_again(site: Site, who: str) -> None:
    site.person_requests("1.2.3", HEART, "H-001", event="baseline")
    if who == "the sender has sent it":
        site.sender_sends("1.2.3", 1)
    before = site.transfer_rows("1.2.3")
    site.entry(accession="ACC-1", subject="H-001", event="baseline")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    assert site.transfer_rows("1.2.3") == before


def test_a_request_placed_by_hand_while_ours_is_undelivered_is_not_repeated(site: Site) -> None:
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    site.entry(accession="ACC-1")
    site.run_killed_before_import()
    site.person_requests("1.2.3", HEART, "H-001")
    before = site.transfer_rows("1.2.3")
    site.run()
    assert site.transfer_rows("1.2.3") == before


def test_a_new_request_takes_the_instance_after_what_people_and_the_sender_wrote(site: Site) -> None:
    site.person_requests("1.2.3", "Other", "O-1", instance=3)
    site.sender_sends("1.2.3", 5)
    before = site.transfer_rows("1.2.3")
    site.entry(accession="ACC-1")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    after = site.transfer_rows("1.2.3")
    assert {number: after[number] for number in before} == before
    assert site.transfers("1.2.3")[6] == Asked(HEART, "H-001")
    assert len(after) == 3


def test_an_instance_that_a_person_deleted_is_not_used_again(site: Site) -> None:
    site.entry("1", accession="ACC-1", subject="H-001")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    site.person_deletes_transfer("1.2.3", 1)
    site.entry("2", accession="ACC-1", project=BRAIN, subject="B-001")
    site.run()
    assert site.transfers("1.2.3") == {2: Asked(BRAIN, "B-001")}


def test_a_request_that_a_person_deleted_is_not_placed_again(site: Site) -> None:
    site.entry(accession="ACC-1")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    site.person_deletes_transfer("1.2.3", 1)
    site.series("1.2.3", "1.2.3.2", AccessionNumber="ACC-1")
    site.run()
    assert site.transfers("1.2.3") == {}


def test_entries_that_stand_there_twice_are_reported_and_change_nothing(site: Site) -> None:
    """The last of their rows used to win."""
    site.entry("1", accession="ACC-1", subject="H-001")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    site.entry("2", accession="ACC-1", project=BRAIN, subject="B-001")
    site.rule("1", patient_id="PID-1", project=BRAIN)
    site.series("1.2.3", "1.2.3.2", AccessionNumber="ACC-1")
    for project in ("coupling", "routing"):
        site.repeat_records(project)
    report = site.run()
    assert report.attention == {"unusable coupling entry": 2, "unusable rule": 1}
    assert site.transfers("1.2.3") == {1: Asked(HEART, "H-001")}
    problems = site.query("select problems from gateway.rule union all select problems from gateway.coupling_entry")
    assert problems == [(["The record id appears more than once in the export."],)] * 3
    for project in ("coupling", "routing"):
        site.repeat_records(project, twice=False)
    site.remove_rule()
    site.run()
    assert not site.run().needs_attention
    assert sorted(site.transfers("1.2.3").values()) == [Asked(BRAIN, "B-001"), Asked(HEART, "H-001")]
