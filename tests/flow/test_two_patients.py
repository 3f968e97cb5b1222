"""A study whose series are of two patients: nothing asks for it but a person's word about this very study."""

from pathlib import Path

import pytest

from tests.flow.harness import BRAIN, HEART, Asked, Site, VisibleSteps

STUDY = "1.2.3"
FIRST, STRAY = f"{STUDY}.1", f"{STUDY}.2"
KIND = "two patients in one study"


@pytest.fixture
def routed(site: Site) -> Site:
    """A study that a rule sends under its PatientID, an entry by its accession number, and one by its UID."""
    site.rule(patient_id="PID-.")
    site.entry("1", accession="ACC-1", subject="B-001", project=BRAIN)
    site.series(STUDY, FIRST, PatientID="PID-1", AccessionNumber="ACC-1")
    site.run()
    assert names(site) == ["B-001", "PID-1"]
    return site


def names(site: Site) -> list[str]:
    """The pseudonyms of the rows that can be sent."""
    return sorted(request.name for request in site.transfers(STUDY).values() if request.name)


def remove(site: Site, series: str) -> None:
    """A series' file is removed, and its folder comes to rest."""
    site.receiver.remove(Path(site.receiver.raw / STUDY / f"{series}.json"))
    site.clock.advance(60)


def test_both_in_one_run_get_nothing(site: Site) -> None:
    site.rule(patient_id="PID-.")
    site.entry("1", accession="ACC-1", subject="B-001", project=BRAIN)
    site.series(STUDY, FIRST, PatientID="PID-1", AccessionNumber="ACC-1")
    site.series(STUDY, STRAY, PatientID="PID-2")
    report = site.run()
    assert (names(site), site.events("TransferRequested")) == ([], [])
    assert report.attention == {KIND: 1}
    assert site.events("TwoPatientsFound") == [{"study": STUDY, "patients": [[FIRST], [STRAY]]}]
    ((details,),) = site.query("select details from audit.attention")
    assert details == f"Series {FIRST} / series {STRAY}"
    site.assert_sound()


def test_a_late_stray_series_withdraws_what_stands_unsent(routed: Site) -> None:
    """It used to amend the request without a word, to the ID of the other patient."""
    routed.series(STUDY, STRAY, PatientID="PID-2")
    routed.run()
    assert names(routed) == []
    assert routed.states(STUDY) == ["withdrawn", "withdrawn"]
    assert routed.attention() == {KIND: 1}
    assert {event["reason"] for event in routed.events("TransferRetracted")} == {"its series are of two patients"}
    routed.run()
    assert (len(routed.events("TwoPatientsFound")), names(routed)) == (1, [])


def test_a_late_stray_series_closes_what_was_sent(routed: Site) -> None:
    """Left as it was, the sender would have sent the stray series under the first patient's pseudonym."""
    for instance in (1, 2):
        routed.sender_sends(STUDY, instance)
    routed.series(STUDY, STRAY, PatientID="PID-2")
    routed.run()
    assert (names(routed), routed.states(STUDY)) == ([], ["closed", "closed"])
    assert routed.attention() == {KIND: 1, "retracted after it was sent": 2}


def test_a_late_stray_series_closes_what_may_have_been_sent(routed: Site) -> None:
    routed.series(STUDY, STRAY, PatientID="PID-2")
    routed.run(after=600)
    assert (names(routed), routed.states(STUDY)) == ([], ["closed", "closed"])
    assert routed.attention() == {KIND: 1, "may have been sent": 2}


@pytest.mark.parametrize("other", ["", "PID-1", "PID-1 \x00"])
def test_blank_and_padded_patient_ids_are_nobody_else_s(routed: Site, other: str) -> None:
    routed.series(STUDY, STRAY, PatientID=other, PatientName="Other^Spelling")
    routed.run()
    assert (names(routed), routed.attention()) == (["B-001", "PID-1"], {})


def test_an_entry_with_the_study_uid_counts_before_and_while_it_lasts(routed: Site) -> None:
    routed.entry("2", study=STUDY, subject="H-007", event="by uid")
    routed.run(after=0)
    routed.series(STUDY, STRAY, PatientID="PID-2")
    routed.run()
    assert names(routed) == ["H-007"]
    routed.entry("3", study=STUDY, subject="B-007", project=BRAIN)
    routed.entry("4", accession="ACC-1", subject="B-008", project=BRAIN, event="by accession")
    routed.run()
    assert names(routed) == ["B-007", "H-007"]
    assert routed.attention() == {KIND: 1}


@pytest.mark.parametrize("how", ["it is removed", "it is corrected"])
def test_when_the_stray_series_goes_everything_is_decided_again(routed: Site, how: str) -> None:
    routed.series(STUDY, STRAY, PatientID="PID-2")
    routed.run()
    routed.rule("2", patient_name="Doe.*", project=BRAIN, event="new")
    if how == "it is removed":
        remove(routed, STRAY)
    else:
        routed.series(STUDY, STRAY, PatientID="PID-1")
    routed.run()
    assert names(routed) == ["B-001", "Doe^Jane", "PID-1"]
    assert routed.attention() == {}
    assert routed.events("TwoPatientsResolved") == [{"study": STUDY}]
    routed.run()
    assert names(routed) == ["B-001", "Doe^Jane", "PID-1"]
    routed.assert_sound()


def test_when_the_first_patient_s_series_go_the_study_is_the_other_s(routed: Site) -> None:
    routed.series(STUDY, STRAY, PatientID="PID-2")
    routed.run()
    remove(routed, FIRST)
    routed.run()
    assert names(routed) == ["PID-2"]


def test_a_series_that_was_replaced_by_somebody_else_s_is_a_change_of_the_study(routed: Site) -> None:
    remove(routed, FIRST)
    routed.series(STUDY, STRAY, PatientID="PID-2")
    routed.receiver.age(routed.receiver.raw / STUDY, 120)
    routed.run(after=0)
    assert names(routed) == ["PID-2"]
    assert sorted(event["consequence"] for event in routed.events("StudyChangeFound")) == ["amended", "withdrawn"]


def test_a_stray_series_that_comes_back_is_found_again(routed: Site) -> None:
    routed.series(STUDY, STRAY, PatientID="PID-2")
    routed.run()
    remove(routed, STRAY)
    routed.run()
    routed.series(STUDY, STRAY)
    routed.run()
    assert (names(routed), routed.attention()) == ([], {KIND: 1})
    assert len(routed.events("SeriesReturned")) == 1


def test_a_series_that_vanishes_from_a_study_of_one_patient_changes_nothing(routed: Site) -> None:
    routed.series(STUDY, STRAY, PatientID="PID-1")
    routed.run()
    remove(routed, FIRST)
    routed.run()
    assert names(routed) == ["B-001", "PID-1"]
    assert len(routed.events("SeriesVanished")) == 1
    routed.entry("1", accession="ACC-1", subject="B-001", project=BRAIN, date="2026-03-02 08:00")
    routed.run()
    assert names(routed) == ["B-001", "PID-1"]


def test_it_is_held_while_its_folder_is_away(routed: Site) -> None:
    routed.series(STUDY, STRAY, PatientID="PID-2")
    routed.run()
    routed.vanish(STUDY)
    routed.run()
    assert routed.attention() == {KIND: 1}
    routed.come_back(STUDY)
    routed.run()
    assert (names(routed), routed.attention()) == ([], {KIND: 1})


def test_a_third_patient_is_told(routed: Site) -> None:
    routed.series(STUDY, STRAY, PatientID="PID-2")
    routed.run()
    routed.series(STUDY, f"{STUDY}.3", PatientID="PID-3")
    routed.run()
    assert [len(event["patients"]) for event in routed.events("TwoPatientsFound")] == [2, 3]
    assert routed.attention() == {KIND: 1}


def test_what_a_person_asks_for_in_redcap_is_theirs(routed: Site) -> None:
    instance = routed.person_requests(STUDY, HEART, "BY-HAND", event="theirs")
    routed.series(STUDY, STRAY, PatientID="PID-2")
    routed.run()
    assert routed.transfers(STUDY)[instance] == Asked(HEART, "BY-HAND", "theirs")


def test_wherever_a_run_is_killed_nothing_is_left_to_be_sent(routed: Site) -> None:
    routed.series(STUDY, STRAY, PatientID="PID-2")
    step = 1
    while routed.run_killed_at(step, after=0, steps=VisibleSteps):
        step += 1
    routed.run(after=0)
    assert (names(routed), routed.attention()) == ([], {KIND: 1})
    assert len(routed.events("TwoPatientsFound")) == 1
    remove(routed, STRAY)
    step = 1
    while routed.run_killed_at(step, after=0, steps=VisibleSteps):
        step += 1
    routed.run(after=0)
    assert names(routed) == ["B-001", "PID-1"]
    routed.assert_sound()


def test_what_may_have_been_sent_can_be_asked_for_again_under_its_name(site: Site) -> None:
    """The database took the study for a second patient who claims its pseudonym, and every run ended there."""
    site.entry("1", accession="ACC-1", subject="B-001", project=BRAIN)
    site.series(STUDY, FIRST, PatientID="PID-1", AccessionNumber="ACC-1")
    site.run()
    site.series(STUDY, STRAY, PatientID="PID-2")
    # The sender reads requests every minute: it may have had this one.
    site.run(after=120)
    assert [event["fate"] for event in site.events("TransferWithdrawn")] == ["possibly sent"]
    site.entry("1", study=STUDY, subject="B-001", project=BRAIN)
    site.run()
    assert names(site) == ["B-001"]
    site.assert_sound()
    # Whoever of the two comes next shares it with the other: that is for a person to look at.
    site.entry("2", study="1.2.4", subject="B-001", project=BRAIN)
    site.series("1.2.4", PatientID="PID-2")
    site.run()
    assert site.attention()["two patients, one pseudonym"] == 1
    site.assert_sound()


def test_a_study_whose_patient_is_corrected_keeps_the_pseudonym_under_which_it_was_sent(site: Site) -> None:
    site.entry("1", study=STUDY, subject="B-001", project=BRAIN, event="baseline")
    site.series(STUDY, FIRST, PatientID="PID-1")
    site.run()
    site.sender_sends(STUDY, 1)
    site.series(STUDY, FIRST, PatientID="PID-2")
    site.run()
    site.entry("1", study=STUDY, subject="B-001", project=BRAIN, event="visit")
    site.run()
    assert site.transfers(STUDY)[2] == Asked(BRAIN, "B-001", "visit")
    site.assert_sound()
