"""A summary that changes is a new statement about its study: what rests on the old one is looked at again."""

import pytest

from processors.demo.simulator import Fault
from processors.errors import ServiceError
from tests.flow.harness import BRAIN, HEART, Asked, Site, VisibleSteps

STUDY = "1.2.3"


def told(site: Site) -> list[tuple[str, list[str]]]:
    """What became of requests whose study had changed, and what had changed."""
    return [(event["consequence"], event["changed"]) for event in site.events("StudyChangeFound")]


def sendable(site: Site) -> list[Asked]:
    """What the study's rows have the sender send."""
    return [request for request in site.transfers(STUDY).values() if request.name]


@pytest.fixture
def routed(site: Site) -> Site:
    """A study that a rule sends to a project under its PatientID."""
    site.rule(patient_id="PID-.")
    site.series(STUDY, PatientID="PID-1")
    site.run()
    return site


@pytest.fixture
def coupled(site: Site) -> Site:
    """A study that an entry sends to a project by its accession number."""
    site.entry(accession="ACC-1", subject="H-001")
    site.series(STUDY, AccessionNumber="ACC-1")
    site.run()
    return site


def test_a_patient_id_that_no_rule_accepts_ends_the_request(routed: Site) -> None:
    """It used to stand, unseen, under the ID of somebody else."""
    routed.series(STUDY, PatientID="SOMEBODY")
    routed.run()
    assert routed.states(STUDY) == ["withdrawn"]
    assert sendable(routed) == []
    assert told(routed) == [("withdrawn", ["PatientID"])]
    assert routed.attention() == {"study changed": 1}
    routed.assert_sound()


def test_it_is_closed_where_the_sender_may_have_taken_it(routed: Site) -> None:
    routed.series(STUDY, PatientID="SOMEBODY")
    routed.run(after=600)
    assert routed.states(STUDY) == ["closed"]
    assert routed.transfers(STUDY) == {1: Asked(HEART, "")}
    assert routed.attention() == {"study changed": 1, "may have been sent": 1}


def test_it_is_closed_where_it_was_sent(routed: Site) -> None:
    routed.sender_sends(STUDY, 1)
    routed.series(STUDY, PatientID="SOMEBODY")
    routed.run()
    assert routed.states(STUDY) == ["closed"]
    assert routed.transfers(STUDY) == {1: Asked(HEART, "", sent=True)}
    assert routed.attention() == {"study changed": 1, "retracted after it was sent": 1}


def test_another_pseudonym_is_amended_and_shown(routed: Site) -> None:
    routed.series(STUDY, PatientID="PID-2")
    routed.run()
    assert routed.transfers(STUDY) == {1: Asked(HEART, "PID-2")}
    assert told(routed) == [("amended", ["PatientID"])]
    assert routed.attention() == {"study changed": 1}


def test_another_pseudonym_after_it_was_sent_is_placed_anew(routed: Site) -> None:
    routed.sender_sends(STUDY, 1)
    routed.series(STUDY, PatientID="PID-2")
    routed.run()
    assert routed.transfers(STUDY) == {1: Asked(HEART, "", sent=True), 2: Asked(HEART, "PID-2")}
    assert routed.attention() == {"study changed": 1, "replaced after it was sent": 1}


def test_what_the_study_still_asks_for_stands_without_a_word(routed: Site) -> None:
    routed.series(STUDY, PatientName="Doe^Janet")
    routed.run()
    assert routed.transfers(STUDY) == {1: Asked(HEART, "PID-1")}
    assert (told(routed), routed.attention()) == ([], {})


def test_padding_is_no_change(routed: Site) -> None:
    routed.series(STUDY, PatientID="PID-1 \x00")
    routed.run()
    assert (routed.transfers(STUDY), told(routed)) == ({1: Asked(HEART, "PID-1")}, [])


@pytest.mark.parametrize("blank", ["PatientID", "PatientName", "AccessionNumber", "called", "calling"])
def test_a_blank_says_nothing_new(site: Site, blank: str) -> None:
    """A summary that was sent again without its accession number withdrew the request of an unchanged entry."""
    site.rule("1", patient_id="PID-.", calling="", called="FIONA")
    site.rule("2", patient_name="Doe.*", project=BRAIN, called="", calling="CT1")
    site.entry(accession="ACC-1", subject="H-001", event="coupled")
    site.series(STUDY, AccessionNumber="ACC-1")
    site.run()
    before = site.transfers(STUDY)
    assert len(before) == 3
    site.grow(STUDY, **{blank: ""})
    site.run()
    assert site.transfers(STUDY) == before
    assert (told(site), site.attention()) == ([], {})
    # The next statement is compared with what was said last, not with the blank.
    site.grow(STUDY, **{blank: {"PatientID": "PID-1", "called": "FIONA", "calling": "CT1"}.get(blank, "other")})
    site.run()
    expected = {"PatientName": "withdrawn", "AccessionNumber": "withdrawn"}.get(blank)
    assert [consequence for consequence, _ in told(site)] == ([expected] if expected else [])


def test_a_blank_does_not_have_it_routed_anew(site: Site) -> None:
    site.series(STUDY)
    site.run()
    site.rule(patient_name="Doe.*", project=BRAIN)
    site.grow(STUDY, PatientID="")
    site.run()
    assert site.transfers(STUDY) == {}


def test_an_ae_title_that_no_rule_knows_ends_the_request(routed: Site) -> None:
    routed.series(STUDY, called="ELSEWHERE")
    routed.run()
    assert routed.states(STUDY) == ["withdrawn"]
    assert told(routed) == [("withdrawn", ["AETitleCalled"])]


def test_an_accession_number_that_its_entry_does_not_name_ends_the_request(coupled: Site) -> None:
    coupled.series(STUDY, AccessionNumber="ACC-2")
    coupled.run()
    assert coupled.states(STUDY) == ["withdrawn"]
    assert told(coupled) == [("withdrawn", ["AccessionNumber"])]
    assert coupled.attention() == {"study changed": 1}
    (retracted,) = coupled.events("TransferRetracted")
    assert retracted["reason"] == "the study says something else now (AccessionNumber)"


def test_an_accession_number_that_another_entry_names_amends_the_request(coupled: Site) -> None:
    coupled.entry("2", accession="ACC-2", subject="H-002")
    coupled.run()
    coupled.series(STUDY, AccessionNumber="ACC-2")
    coupled.run()
    assert coupled.transfers(STUDY) == {1: Asked(HEART, "", sent=False), 2: Asked(HEART, "H-002")}
    assert told(coupled) == [("amended", ["AccessionNumber"])]


def test_an_entry_that_was_removed_still_speaks_for_its_study(coupled: Site) -> None:
    """Entries are kept for two weeks only."""
    coupled.remove_entry()
    coupled.run()
    coupled.series(STUDY, PatientName="Doe^Janet")
    coupled.run()
    assert coupled.transfers(STUDY) == {1: Asked(HEART, "H-001")}
    assert (told(coupled), coupled.attention()) == ([], {})


def test_a_rule_that_was_removed_still_speaks_for_its_study(routed: Site) -> None:
    routed.remove_rule()
    routed.run()
    routed.series(STUDY, PatientName="Doe^Janet")
    routed.run()
    assert (routed.transfers(STUDY), told(routed)) == ({1: Asked(HEART, "PID-1")}, [])
    routed.series(STUDY, PatientID="PID-2")
    routed.run()
    assert told(routed) == [("withdrawn", ["PatientID"])]
    assert sendable(routed) == []


def test_a_corrected_entry_is_no_change_of_the_study(coupled: Site) -> None:
    coupled.entry(accession="ACC-1", subject="H-002")
    coupled.series(STUDY, PatientName="Doe^Janet")
    coupled.run()
    assert coupled.transfers(STUDY) == {1: Asked(HEART, "H-002")}
    assert told(coupled) == []


def test_a_request_that_an_entry_made_by_study_uid_stands_and_is_shown(site: Site) -> None:
    site.entry(study=STUDY, subject="H-001")
    site.series(STUDY, PatientID="PID-1")
    site.run()
    site.series(STUDY, PatientID="PID-2")
    site.run()
    assert site.transfers(STUDY) == {1: Asked(HEART, "H-001")}
    assert told(site) == [("stands", ["PatientID"])]
    assert site.attention() == {"study changed": 1}


def test_so_it_does_when_the_entry_is_gone(site: Site) -> None:
    site.entry(study=STUDY, accession="ACC-1", subject="H-001")
    site.series(STUDY, AccessionNumber="ACC-1")
    site.run()
    site.remove_entry()
    site.run()
    site.series(STUDY, AccessionNumber="ACC-2")
    site.run()
    assert site.transfers(STUDY) == {1: Asked(HEART, "H-001")}
    assert told(site) == [("stands", ["AccessionNumber"])]


def test_a_study_of_somebody_else_is_shown_though_its_request_stands(coupled: Site) -> None:
    coupled.series(STUDY, PatientID="PID-2")
    coupled.run()
    assert coupled.transfers(STUDY) == {1: Asked(HEART, "H-001")}
    assert told(coupled) == [("stands", ["PatientID"])]


def test_the_study_is_what_all_of_its_series_say(routed: Site) -> None:
    """A correction that reaches one series first makes it a study of two patients until it has reached the others."""
    routed.series(STUDY, f"{STUDY}.2", PatientID="PID-1")
    routed.run(after=0)
    routed.series(STUDY, PatientID="SOMEBODY")
    routed.run()
    assert routed.attention() == {"two patients in one study": 1}
    routed.series(STUDY, f"{STUDY}.2", PatientID="SOMEBODY")
    routed.run()
    assert routed.attention() == {}
    assert sendable(routed) == []


def test_a_name_that_one_series_still_gives_is_still_asked_for(site: Site) -> None:
    site.rule(patient_name="Doe.*")
    site.series(STUDY)
    site.series(STUDY, f"{STUDY}.2")
    site.run()
    site.series(STUDY, PatientName="Roe^Jane")
    site.run()
    assert (site.transfers(STUDY), told(site)) == ({1: Asked(HEART, "Doe^Jane")}, [])
    site.series(STUDY, f"{STUDY}.2", PatientName="Roe^Jane")
    site.run()
    assert told(site) == [("withdrawn", ["PatientName"])]


def test_what_is_told_is_told_once_for_each_change(site: Site) -> None:
    site.entry(study=STUDY, subject="H-001")
    site.series(STUDY, PatientID="PID-1")
    site.run()
    for patient_id in ("PID-2", "PID-3"):
        site.series(STUDY, PatientID=patient_id)
        site.run()
        site.run()
    assert told(site) == [("stands", ["PatientID"])] * 2


def test_wherever_a_run_is_killed_the_change_is_told_once(routed: Site) -> None:
    routed.entry(study=STUDY, project=BRAIN, subject="B-001")
    routed.run(after=0)
    routed.series(STUDY, PatientID="SOMEBODY")
    step = 1
    while routed.run_killed_at(step, after=0, steps=VisibleSteps):
        step += 1
    assert step > 5
    routed.run(after=0)
    assert sorted(told(routed)) == [("stands", ["PatientID"]), ("withdrawn", ["PatientID"])]
    assert sendable(routed) == [Asked(BRAIN, "B-001")]
    routed.assert_sound()


def test_a_change_is_not_forgotten_while_redcap_is_away(routed: Site) -> None:
    routed.series(STUDY, PatientID="SOMEBODY")
    routed.simulator.inject(Fault(kind="status", status=500, action="import", project="incoming"))
    with pytest.raises(ServiceError):
        routed.run(after=0)
    routed.run(after=0)
    assert sendable(routed) == []
    assert routed.attention()["study changed"] == 1
