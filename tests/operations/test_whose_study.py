"""What operators do about studies that change, or are of two patients; and what they are told."""

from processors.operations.replay import Scope
from tests.flow.harness import BRAIN, HEART, Asked, Site
from tests.operations.operator import amend_by_hand, forget_patient, rehearse, replay_all

STUDY = "1.2.3"
FIRST, STRAY = f"{STUDY}.1", f"{STUDY}.2"
KIND = "two patients in one study"


def sendable(site: Site) -> list[Asked]:
    """What the study's rows have the sender send."""
    return [request for request in site.transfers(STUDY).values() if request.name]


def routed(site: Site) -> Site:
    """A study that a rule sends to a project under its PatientID."""
    site.rule(patient_id="PID-.")
    site.series(STUDY, FIRST, PatientID="PID-1")
    site.run()
    return site


def test_a_request_made_by_hand_stands_and_is_shown(site: Site) -> None:
    routed(site)
    amend_by_hand(site, STUDY, to="H-HAND")
    site.series(STUDY, FIRST, PatientID="SOMEBODY", PatientName="Some^Body")
    site.run()
    assert sendable(site) == [Asked(HEART, "H-HAND")]
    ((consequence, changed),) = [(event["consequence"], event["changed"]) for event in site.events("StudyChangeFound")]
    assert (consequence, changed) == ("stands", ["PatientID", "PatientName"])
    site.series(STUDY, STRAY, PatientID="PID-2")
    site.run()
    assert sendable(site) == [Asked(HEART, "H-HAND")]
    assert site.attention()[KIND] == 1


def test_what_was_withdrawn_by_hand_is_not_asked_for_by_a_change(site: Site) -> None:
    routed(site)
    amend_by_hand(site, STUDY)
    site.series(STUDY, FIRST, PatientID="PID-2")
    site.run()
    assert sendable(site) == []


def test_a_replay_asks_for_nothing_while_a_study_is_of_two_patients(site: Site) -> None:
    site.series(STUDY, FIRST, PatientID="PID-1", AccessionNumber="ACC-1")
    site.series(STUDY, STRAY, PatientID="PID-2")
    site.run()
    site.rule(patient_id="PID-.")
    site.entry("1", accession="ACC-1", subject="H-001", event="by accession")
    site.entry("2", study=STUDY, subject="H-002", event="by uid")
    for scope in (Scope(project=HEART), Scope(project=HEART, include_vanished=True)):
        replay_all(site, scope)
        assert sendable(site) == [Asked(HEART, "H-002", "by uid")]
    assert len(site.events("TwoPatientsFound")) == 1


def test_a_dry_run_tells_of_both(site: Site) -> None:
    routed(site)
    site.entry(study=STUDY, project=BRAIN, subject="B-001")
    site.run()
    site.series(STUDY, FIRST, PatientID="SOMEBODY")
    told = {(change.project, change.change, change.why) for change in rehearse(site)}
    assert told == {
        (HEART, "withdraw its request", "the study says something else now (PatientID)"),
        (BRAIN, "report", "its request stands, though the study has changed (PatientID)"),
    }
    site.run()
    site.series(STUDY, STRAY, PatientID="PID-2")
    assert [(change.change, change.why) for change in rehearse(site)] == [("hold", "its series are of 2 patients")]


def test_a_study_of_two_patients_stays_so_when_one_of_them_is_forgotten(site: Site) -> None:
    routed(site)
    site.series(STUDY, STRAY, PatientID="PID-2")
    site.run()
    forget_patient(site, "PID-2")
    site.rule("2", patient_name="Doe.*", project=BRAIN)
    site.series(STUDY, f"{STUDY}.3", PatientID="PID-1")
    site.run()
    assert (sendable(site), site.attention()[KIND]) == ([], 1)


def test_a_patient_who_was_forgotten_is_compared_with_nobody(site: Site) -> None:
    """Else one who comes back would be another patient beside the series of before."""
    routed(site)
    forget_patient(site, "PID-1")
    site.series(STUDY, STRAY, PatientID="PID-1")
    site.run()
    assert site.events("TwoPatientsFound") == []
