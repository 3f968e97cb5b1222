"""What happens when a study gets two pseudonyms for one project and event."""

import pytest

from processors.operations.replay import Scope
from tests.flow.conftest import MakeSite
from tests.flow.harness import BRAIN, HEART, Asked, Site
from tests.operations.operator import replay_all


def test_two_rules_that_disagree_place_nothing(site: Site) -> None:
    site.rule("1", patient_id="PID-1")
    site.rule("2", patient_name="Doe")
    site.series("1.2.3", PatientName="Doe")
    report = site.run()
    assert site.transfers("1.2.3") == {}
    assert report.attention == {"conflict": 1}


def test_a_conflict_in_one_project_does_not_hold_up_another(site: Site) -> None:
    site.rule("1", patient_id="PID-1")
    site.rule("2", patient_name="Doe")
    site.rule("3", patient_id="PID-1", project=BRAIN)
    site.series("1.2.3", PatientName="Doe")
    site.run()
    assert site.transfers("1.2.3") == {1: Asked(BRAIN, "PID-1")}


def test_two_series_with_different_names_conflict(site: Site) -> None:
    site.rule(patient_name="Doe.*")
    site.series("1.2.3", "1.2.3.1", PatientName="Doe^Jane")
    site.series("1.2.3", "1.2.3.2", PatientName="Doe^Janet")
    report = site.run()
    assert site.transfers("1.2.3") == {}
    assert report.attention == {"conflict": 1}


def test_an_entry_wins_over_a_rule(site: Site) -> None:
    site.rule(patient_id="PID-1")
    site.entry(accession="ACC-1", subject="H-001")
    site.series("1.2.3", AccessionNumber="ACC-1")
    report = site.run()
    assert site.transfers("1.2.3") == {1: Asked(HEART, "H-001")}
    assert not report.needs_attention


def test_an_entry_wins_over_two_rules_that_disagree(site: Site) -> None:
    site.rule("1", patient_id="PID-1")
    site.rule("2", patient_name="Doe")
    site.entry(accession="ACC-1", subject="H-001")
    site.series("1.2.3", AccessionNumber="ACC-1", PatientName="Doe")
    report = site.run()
    assert site.transfers("1.2.3") == {1: Asked(HEART, "H-001")}
    assert not report.needs_attention


def test_two_entries_that_disagree_place_nothing(site: Site) -> None:
    site.entry("1", accession="ACC-1", subject="H-001")
    site.entry("2", study="1.2.3", subject="H-002")
    site.series("1.2.3", AccessionNumber="ACC-1")
    report = site.run()
    assert site.transfers("1.2.3") == {}
    assert report.attention == {"conflict": 1}


def test_a_conflict_is_recorded_once(site: Site) -> None:
    site.entry("1", accession="ACC-1", subject="H-001")
    site.entry("2", study="1.2.3", subject="H-002")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    site.series("1.2.3", "1.2.3.2", AccessionNumber="ACC-1")
    site.entry("3", accession="ACC-77", subject="H-077")
    site.run()
    assert len(site.events("ConflictFound")) == 1
    assert site.attention() == {"conflict": 1}


@pytest.mark.parametrize("how", ["corrected", "removed"])
def test_two_entries_that_no_longer_disagree_are_decided(site: Site, how: str) -> None:
    site.entry("1", accession="ACC-1", subject="H-001")
    site.entry("2", study="1.2.3", subject="H-002")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    if how == "corrected":
        site.entry("2", study="1.2.3", subject="H-001")
    else:
        site.remove_entry("2")
        site.run()
    report = site.run()
    assert site.transfers("1.2.3") == {1: Asked(HEART, "H-001")}
    assert not report.needs_attention


@pytest.mark.parametrize("how", ["mended", "removed", "switched off"])
def test_two_rules_that_no_longer_disagree_are_decided(site: Site, how: str) -> None:
    site.rule("1", patient_id="PID-1")
    site.rule("2", patient_name="Doe")
    site.series("1.2.3", PatientName="Doe")
    site.run()
    if how == "mended":
        site.rule("2", patient_id="PID-.")
    elif how == "removed":
        site.remove_rule("2")
        site.run()
    else:
        site.rule("2", patient_name="Doe", active=False)
    report = site.run()
    assert site.transfers("1.2.3") == {1: Asked(HEART, "PID-1")}
    assert not report.needs_attention


def test_an_entry_settles_a_conflict_of_rules(site: Site) -> None:
    site.rule("1", patient_id="PID-1")
    site.rule("2", patient_name="Doe")
    site.series("1.2.3", PatientName="Doe", AccessionNumber="ACC-1")
    site.run()
    site.entry(accession="ACC-1", subject="H-001")
    report = site.run()
    assert site.transfers("1.2.3") == {1: Asked(HEART, "H-001")}
    assert not report.needs_attention


def test_a_conflict_that_no_rule_asks_for_any_more_is_over(site: Site) -> None:
    site.rule("1", patient_id="PID-1")
    site.rule("2", patient_name="Doe")
    site.series("1.2.3", PatientName="Doe")
    site.run()
    site.remove_rule("1")
    site.remove_rule("2")
    site.run()
    report = site.run()
    assert site.transfers("1.2.3") == {}
    assert not report.needs_attention


@pytest.fixture
def disagreeing(site: Site) -> Site:
    """Two entries that came to disagree after the request of one was placed; no run has seen it."""
    site.entry("1", accession="ACC-1", subject="H-001")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    site.entry("2", study="1.2.3", subject="H-002")
    return site


def test_two_entries_that_come_to_disagree_end_what_was_placed(disagreeing: Site) -> None:
    report = disagreeing.run()
    assert disagreeing.transfers("1.2.3") == {}
    assert report.attention == {"conflict": 1}
    (retracted,) = disagreeing.events("TransferRetracted")
    assert (retracted["reason"], retracted["cause"]["record_id"]) == ("what asks for it is contradicted", "2")


def test_when_they_agree_again_it_is_requested_again(disagreeing: Site) -> None:
    disagreeing.run()
    disagreeing.entry("2", study="1.2.3", subject="H-001")
    report = disagreeing.run()
    assert list(disagreeing.transfers("1.2.3").values()) == [Asked(HEART, "H-001")]
    assert report.attention == {}


def test_what_was_sent_before_they_disagreed_cannot_be_sent_again(disagreeing: Site) -> None:
    disagreeing.sender_sends("1.2.3", 1)
    disagreeing.run()
    assert disagreeing.transfers("1.2.3") == {1: Asked(HEART, "", sent=True)}
    assert set(disagreeing.attention()) == {"conflict", "retracted after it was sent"}


def test_a_replay_that_finds_them_disagree_ends_it_as_well(disagreeing: Site) -> None:
    replay_all(disagreeing, Scope(project=HEART))
    assert disagreeing.transfers("1.2.3") == {}


def test_entries_of_which_one_is_doubted_end_what_is_asked_for_with_neither(disagreeing: Site) -> None:
    """The one is corrected; the other one contradicts it, or is gone: in no case is the first pseudonym right."""
    disagreeing.entry("2", study="1.2.3", subject="H-001")
    disagreeing.run()
    with disagreeing.left_out("coupling", "2"):
        disagreeing.entry("1", accession="ACC-1", subject="H-003")
        disagreeing.run()
        assert [asked.name for asked in disagreeing.transfers("1.2.3").values() if asked.name] == []
    disagreeing.run()
    assert [asked.name for asked in disagreeing.transfers("1.2.3").values() if asked.name] == []
    assert "conflict" in disagreeing.attention()


def test_a_conflict_of_entries_is_still_shown_while_their_study_is_gone(site: Site) -> None:
    site.entry("1", accession="ACC-1", subject="H-001")
    site.entry("2", study="1.2.3", subject="H-002")
    site.entry("3", study="1.2.3", project=BRAIN, subject="B-001")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    site.vanish("1.2.3")
    site.run()
    site.entry("3", study="1.2.3", project=BRAIN, subject="B-002")
    report = site.run()
    # The study's own entry was corrected: the request that it made before is ended, though the new one waits.
    assert report.attention == {"conflict": 1, "may have been sent": 1}


def test_a_persons_request_stands_and_ours_is_shown(site: Site) -> None:
    site.person_requests("1.2.3", HEART, "H-777")
    before = site.transfer_rows("1.2.3")
    site.entry(accession="ACC-1", subject="H-001")
    site.series("1.2.3", AccessionNumber="ACC-1")
    report = site.run()
    assert site.transfer_rows("1.2.3") == before
    assert report.attention == {"contested by a person": 1}


def test_a_persons_request_for_another_event_does_not_stand_in_the_way(site: Site) -> None:
    site.person_requests("1.2.3", HEART, "H-777", event="baseline")
    site.entry(accession="ACC-1", subject="H-001", event="follow-up")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    assert site.transfers("1.2.3") == {1: Asked(HEART, "H-777", "baseline"), 2: Asked(HEART, "H-001", "follow-up")}


def test_a_persons_request_stands_although_it_was_sent(site: Site) -> None:
    site.person_requests("1.2.3", HEART, "H-777")
    site.sender_sends("1.2.3", 1)
    before = site.transfer_rows("1.2.3")
    site.rule(patient_id="PID-1")
    site.series("1.2.3")
    report = site.run()
    assert site.transfer_rows("1.2.3") == before
    assert report.attention == {"contested by a person": 1}


def test_a_contest_is_reported_once(site: Site) -> None:
    site.person_requests("1.2.3", HEART, "H-777")
    site.entry(accession="ACC-1", subject="H-001")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    site.series("1.2.3", "1.2.3.2", AccessionNumber="ACC-1")
    site.run()
    assert len(site.events("ConflictFound")) == 1


def test_our_request_is_placed_when_the_persons_is_gone_and_the_study_is_touched(site: Site) -> None:
    site.person_requests("1.2.3", HEART, "H-777")
    site.entry(accession="ACC-1", subject="H-001")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    site.person_deletes_transfer("1.2.3", 1)
    site.series("1.2.3", "1.2.3.2", AccessionNumber="ACC-1")
    report = site.run()
    assert list(site.transfers("1.2.3").values()) == [Asked(HEART, "H-001")]
    assert not report.needs_attention


def test_a_contest_is_over_when_the_entry_comes_to_agree_with_the_person(site: Site) -> None:
    site.person_requests("1.2.3", HEART, "H-777")
    before = site.transfer_rows("1.2.3")
    site.entry(accession="ACC-1", subject="H-001")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    site.entry(accession="ACC-1", subject="H-777")
    report = site.run()
    assert site.transfer_rows("1.2.3") == before
    assert not report.needs_attention


def test_a_contest_is_over_when_the_entry_comes_to_name_another_study(site: Site) -> None:
    site.person_requests("1.2.3", HEART, "H-777")
    before = site.transfer_rows("1.2.3")
    site.entry(accession="ACC-1", subject="H-001")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    site.entry(accession="ACC-2", subject="H-001")
    report = site.run()
    assert site.transfer_rows("1.2.3") == before
    assert not report.needs_attention


def test_a_contest_is_over_when_the_entry_comes_to_name_another_project(site: Site) -> None:
    site.person_requests("1.2.3", HEART, "H-777")
    site.entry(accession="ACC-1", subject="H-001")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    site.entry(accession="ACC-1", project=BRAIN, subject="B-001")
    report = site.run()
    assert site.transfers("1.2.3") == {1: Asked(HEART, "H-777"), 2: Asked(BRAIN, "B-001")}
    assert not report.needs_attention


def test_a_contested_correction_withdraws_the_unsent_row_it_replaces(site: Site) -> None:
    site.entry(accession="ACC-1", subject="H-001")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    site.person_requests("1.2.3", HEART, "H-777")
    site.entry(accession="ACC-1", subject="H-002")
    report = site.run()
    assert site.transfers("1.2.3") == {2: Asked(HEART, "H-777")}
    assert report.attention == {"contested by a person": 1, "one patient, two pseudonyms": 1}


@pytest.mark.parametrize("instance", [1, 2], ids=["our row is changed", "another beside ours"])
def test_another_pseudonym_that_a_person_asks_of_the_same_study_is_told_as_of_this_study(
    site: Site, instance: int
) -> None:
    """The study itself was named among the other studies."""
    site.entry(accession="ACC-1", subject="H-001")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    site.person_requests("1.2.3", HEART, "H-777", instance=instance)
    site.run()
    told = site.query("select details from audit.attention where kind = 'one patient, two pseudonyms'")
    assert told == [("this study was requested under another one",)]


def test_what_a_person_has_asked_before_ours_is_placed_is_no_second_pseudonym(site: Site) -> None:
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    site.person_requests("1.2.3", HEART, "H-777")
    site.run()
    site.entry(accession="ACC-1", subject="H-001")
    assert site.run().attention == {"contested by a person": 1}


def test_a_contested_correction_lists_the_sent_row_it_replaces_once(site: Site) -> None:
    site.entry(accession="ACC-1", subject="H-001")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    site.sender_sends("1.2.3", 1)
    site.person_requests("1.2.3", HEART, "H-777")
    site.entry(accession="ACC-1", subject="H-002")
    site.run()
    for late in ("1.2.3.2", "1.2.3.3"):
        site.series("1.2.3", late, AccessionNumber="ACC-1")
        site.run()
    assert site.notices() == [
        ("one patient, two pseudonyms", "1.2.3"),
        ("replaced after it was sent", "1.2.3"),
    ]


def test_a_rule_does_not_overturn_what_an_entry_asked_for_earlier(site: Site) -> None:
    site.entry(accession="ACC-1", subject="H-001")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    site.remove_entry()
    site.rule(patient_id="PID-1")
    site.series("1.2.3", "1.2.3.2", AccessionNumber="ACC-1")
    site.run()
    report = site.run()
    assert site.transfers("1.2.3") == {1: Asked(HEART, "H-001")}
    assert report.attention == {"coupling stands": 1}


def test_a_standing_coupling_is_no_longer_shown_once_the_rule_is_gone(site: Site) -> None:
    site.entry(accession="ACC-1", subject="H-001")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    site.remove_entry()
    site.rule(patient_id="PID-1")
    site.series("1.2.3", "1.2.3.2", AccessionNumber="ACC-1")
    site.run()
    site.run()
    site.remove_rule()
    site.run()
    assert site.run().attention == {}
    assert site.transfers("1.2.3") == {1: Asked(HEART, "H-001")}


def test_an_entry_amends_what_a_rule_asked_for_earlier(site: Site) -> None:
    site.rule(patient_id="PID-1")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    site.entry(accession="ACC-1", subject="H-001")
    site.run()
    assert site.transfers("1.2.3") == {1: Asked(HEART, "H-001")}


@pytest.mark.parametrize("separate_transfers", [False, True])
def test_a_contested_request_is_placed_within_the_hour_once_the_person_s_is_gone(
    make_site: MakeSite, *, separate_transfers: bool
) -> None:
    """With transfers in a project of their own, a look at what is pending used to take the turn to try again."""
    site = make_site(separate_transfers=separate_transfers)
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    site.person_requests("1.2.3", HEART, "HUMAN")
    site.entry(accession="ACC-1", subject="H-001")
    assert site.run().attention == {"contested by a person": 1}
    site.person_deletes_transfer("1.2.3", 1)
    site.clock.advance(3_600)
    report = site.run()
    assert Asked(HEART, "H-001") in site.transfers("1.2.3").values()
    assert not report.needs_attention


def test_a_contest_costs_no_calls_every_minute(site: Site) -> None:
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    site.person_requests("1.2.3", HEART, "HUMAN")
    site.entry(accession="ACC-1", subject="H-001")
    site.run()
    site.run()
    report = site.run()
    assert report.calls <= 5
    assert site.calls_about_studies == []
