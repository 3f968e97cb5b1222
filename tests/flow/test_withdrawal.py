"""A participant withdraws: what is unsent ends, what comes later is held for ever, and what was sent is a task."""

from typing import Any

import pytest

from processors.configuration.settings import IdentitySection
from processors.demo.simulator import Fault
from processors.errors import ConfigurationError
from processors.events.holds import WITHDREW
from processors.explain.sentences import SETTLED_BY
from tests.flow.harness import BRAIN, HEART, Asked, Site
from tests.operations.operator import forget_patient, join_patients, rehearse
from tests.operations.withdrawing import withdraws

STUDY = "1.2.3"
LATER = "1.2.4"


def tasks(site: Site, columns: str = "study, project, instance, what") -> list[tuple[Any, ...]]:
    return site.query(f"select {columns} from audit.task where open order by position")


def names(site: Site, study: str = STUDY) -> list[str]:
    """The pseudonyms of the rows that can be sent."""
    return sorted(request.name for request in site.transfers(study).values() if request.name)


@pytest.fixture
def coupled(site: Site) -> Site:
    """The study of patient 4711 has been requested as H-001."""
    site.series(STUDY, PatientID="4711", AccessionNumber="A-1")
    site.entry(accession="A-1")
    site.run()
    return site


def later_study(site: Site, patient_id: str = "4711") -> None:
    """Another study of the patient arrives, and is asked for."""
    site.series(LATER, PatientID=patient_id, AccessionNumber="A-2")
    site.entry("2", accession="A-2")


WHOM = pytest.mark.parametrize("whom", [{"patient": "4711"}, {"study": STUDY}, {"pseudonym": "H-001"}], ids=str)


# What was requested


@WHOM
def test_unsent_requests_end(coupled: Site, whom: dict[str, str]) -> None:
    coupled.clock.advance(-59)
    done = withdraws(coupled, **whom)

    assert [request.study for request in done.ended] == [STUDY]
    assert names(coupled) == []
    coupled.run()
    assert names(coupled) == []
    assert tasks(coupled) == []
    coupled.assert_sound()


def test_it_is_not_requested_again_by_a_late_series_or_a_changed_entry(coupled: Site) -> None:
    withdraws(coupled, patient="4711")
    coupled.series(STUDY, f"{STUDY}.2", PatientID="4711", AccessionNumber="A-1")
    coupled.entry(accession="A-1", subject="H-002")
    coupled.run()

    assert names(coupled) == []
    assert coupled.attention()[WITHDREW] == 1


def test_one_that_waits_to_be_written_ends_too(site: Site) -> None:
    site.series(STUDY, PatientID="4711", AccessionNumber="A-1")
    site.incoming.lock(STUDY)
    site.entry(accession="A-1")
    site.run()
    withdraws(site, patient="4711")
    site.incoming.unlock(STUDY)
    site.clock.advance(3601)
    site.run()

    assert names(site) == []


def test_other_projects_go_on(coupled: Site) -> None:
    coupled.entry("3", accession="A-1", project=BRAIN, subject="B-001")
    coupled.run()
    withdraws(coupled, patient="4711")
    later_study(coupled)
    coupled.entry("4", accession="A-2", project=BRAIN, subject="B-001")
    coupled.run()

    assert names(coupled) == ["B-001"]
    assert names(coupled, LATER) == ["B-001"]


def test_all_projects_are_those_that_nobody_knows_yet_as_well(coupled: Site) -> None:
    withdraws(coupled, project=None, patient="4711")
    later_study(coupled)
    coupled.entry("4", accession="A-2", project="New", subject="N-1")
    coupled.run()

    assert names(coupled) == names(coupled, LATER) == []
    assert coupled.attention()[WITHDREW] == 2


def test_other_patients_go_on(coupled: Site) -> None:
    withdraws(coupled, patient="4711")
    coupled.series(LATER, PatientID="4712", AccessionNumber="A-2")
    coupled.entry("2", accession="A-2", subject="H-002")
    coupled.run()

    assert names(coupled, LATER) == ["H-002"]


# What comes later


@WHOM
def test_later_studies_are_held(coupled: Site, whom: dict[str, str]) -> None:
    withdraws(coupled, **whom)
    later_study(coupled)
    coupled.run()

    assert names(coupled, LATER) == []
    assert coupled.attention()[WITHDREW] == 1
    head = coupled.head()
    coupled.run()
    assert coupled.head() == head


def test_later_studies_of_a_rule_are_held(coupled: Site) -> None:
    withdraws(coupled, patient="4711")
    coupled.series(LATER, PatientID="4711")
    coupled.rule(patient_id="4711")
    coupled.run()

    assert names(coupled, LATER) == []


def test_a_patient_whom_the_ledger_does_not_know_yet_is_held_as_well(site: Site) -> None:
    done = withdraws(site, patient="4711")
    later_study(site)
    site.run()

    assert (done.studies, names(site, LATER)) == ([], [])
    assert site.attention()[WITHDREW] == 1


@pytest.mark.parametrize("patient_id", ["4711 ", " 4711", "4711\x00"])
def test_what_scanners_pad_with_makes_no_other_patient(coupled: Site, patient_id: str) -> None:
    withdraws(coupled, patient="4711")
    later_study(coupled, patient_id)
    coupled.run()

    assert names(coupled, LATER) == []


def test_a_study_that_was_scanned_under_the_pseudonym_is_held(coupled: Site) -> None:
    withdraws(coupled, patient="4711")
    coupled.series(LATER, PatientID="H-001")
    coupled.rule(patient_id="H-001")
    coupled.run()

    assert names(coupled, LATER) == []


def test_the_same_pseudonym_of_another_project_is_another_person_s(coupled: Site) -> None:
    withdraws(coupled, pseudonym="H-001")
    coupled.series(LATER, PatientID="4712", AccessionNumber="A-2")
    coupled.entry("2", accession="A-2", project=BRAIN)
    coupled.run()

    assert names(coupled, LATER) == ["H-001"]


def test_a_study_of_two_patients_is_held_where_one_of_them_withdrew(coupled: Site) -> None:
    withdraws(coupled, patient="4711")
    coupled.series(LATER, f"{LATER}.1", PatientID="4712")
    coupled.series(LATER, f"{LATER}.2", PatientID="4711")
    coupled.entry("2", study=LATER, subject="H-002")
    coupled.run()

    assert names(coupled, LATER) == []
    assert coupled.attention()[WITHDREW] == 1


def test_it_holds_after_the_patient_was_forgotten(coupled: Site) -> None:
    withdraws(coupled, patient="4711")
    forget_patient(coupled, "4711")
    later_study(coupled)
    coupled.run()

    assert names(coupled, LATER) == []


def test_a_dry_run_tells_what_it_would_hold(coupled: Site) -> None:
    done = withdraws(coupled, patient="4711")
    later_study(coupled)
    changes = {(each.study, each.change, each.why) for each in rehearse(coupled)}

    assert (LATER, "hold", f"{WITHDREW}: withdrawal {done.position}. {SETTLED_BY[WITHDREW]}") in changes


# What was sent


def test_what_was_sent_is_a_task_with_the_uids_under_which_it_was(coupled: Site) -> None:
    coupled.sender_sends(STUDY, 1)
    coupled.run()
    withdraws(coupled, patient="4711")

    assert tasks(coupled, "study, project, instance, what, mapped_uids") == [
        (STUDY, HEART, 1, "sent", [f"2.25.{STUDY}"])
    ]
    assert coupled.attention()["task"] == 1


def test_what_may_have_been_sent_is_a_task_and_another_when_it_turns_out_that_it_was(coupled: Site) -> None:
    coupled.clock.advance(600)
    withdraws(coupled, patient="4711")
    assert tasks(coupled) == [(STUDY, HEART, 1, "may have been sent")]

    coupled.sender_sends(STUDY, 1)
    coupled.run()
    assert tasks(coupled) == [(STUDY, HEART, 1, "sent")]


@pytest.mark.parametrize("is_deleted", [False, True], ids=["its row stands", "its row is deleted then"])
def test_what_the_sender_had_sent_before_any_poll_saw_it_is_a_task_at_once(coupled: Site, *, is_deleted: bool) -> None:
    coupled.sender_sends(STUDY, 1)
    withdraws(coupled, patient="4711")
    sent = [(STUDY, HEART, 1, "sent", "2026-03-02 08:55", [f"2.25.{STUDY}"])]
    assert tasks(coupled, "study, project, instance, what, sent_at, mapped_uids") == sent

    if is_deleted:
        coupled.person_deletes_transfer(STUDY, 1)
    coupled.run()
    assert tasks(coupled, "study, project, instance, what, sent_at, mapped_uids") == sent
    assert len(coupled.events("TransferSent")) == 1
    coupled.assert_sound()


def test_an_older_request_that_was_sent_is_a_task_too(coupled: Site) -> None:
    coupled.sender_sends(STUDY, 1)
    coupled.entry(accession="A-1", subject="H-009")
    coupled.run()
    coupled.clock.advance(-50)
    withdraws(coupled, patient="4711")

    assert (STUDY, HEART, 1, "sent") in tasks(coupled)


def test_what_a_person_requested_is_a_task_as_it_can_be_sent(coupled: Site) -> None:
    instance = coupled.person_requests(STUDY, HEART, "H-001", event="second")
    coupled.run()
    withdraws(coupled, patient="4711")

    assert (STUDY, HEART, instance, "requested by others, can be sent") in tasks(coupled)
    assert coupled.transfers(STUDY)[instance] == Asked(HEART, "H-001", "second")


def test_tasks_of_other_projects_are_none(coupled: Site) -> None:
    coupled.sender_sends(STUDY, 1)
    coupled.run()
    withdraws(coupled, project=BRAIN, patient="4711")

    assert tasks(coupled) == []


# Who is meant


def test_a_study_of_several_patients_tells_nobody_who_withdraws(coupled: Site) -> None:
    coupled.series(STUDY, f"{STUDY}.2", PatientID="4712")
    coupled.run()

    with pytest.raises(ConfigurationError, match="found several of study"):
        withdraws(coupled, study=STUDY)
    with pytest.raises(ConfigurationError, match="found none of study"):
        withdraws(coupled, study="9.9")


def test_who_asked_for_it_and_when_is_recorded_and_nothing_that_names_the_patient(site: Site) -> None:
    site.series(STUDY, PatientID="PATIENT-4711", AccessionNumber="A-1")
    site.entry(accession="A-1", subject="HEART-001")
    site.run()
    withdraws(site, pseudonym="HEART-001")
    (withdrew,) = site.events("ParticipantWithdrew")

    assert (withdrew["by"], withdrew["reason"], withdrew["project"]) == ("kari", "case 17", HEART)
    stored = site.everything_stored()
    assert "PATIENT-4711" not in stored
    assert "HEART-001" not in stored
    site.assert_sound()


def test_the_other_patient_of_a_study_of_two_goes_on_in_studies_of_their_own(coupled: Site) -> None:
    coupled.series(LATER, f"{LATER}.1", PatientID="4712")
    coupled.series(LATER, f"{LATER}.2", PatientID="4711")
    coupled.entry("2", study=LATER, subject="H-002")
    coupled.run()
    assert names(coupled, LATER) == ["H-002"]
    withdraws(coupled, patient="4711")
    coupled.series("1.2.5", PatientID="4712", AccessionNumber="A-5")
    coupled.entry("5", accession="A-5", subject="H-002")
    coupled.run()

    assert (names(coupled, LATER), names(coupled, "1.2.5")) == ([], ["H-002"])


# Who turns out to be meant


def coupled_as(site: Site, patient_id: str, study: str = LATER, **fields: Any) -> None:
    """The study of another patient has been requested as H-002."""
    site.series(study, PatientID=patient_id, AccessionNumber="A-2", **fields)
    site.entry("2", study=study, subject="H-002")
    site.run()


@pytest.mark.parametrize("before", ["4712", ""])
def test_a_study_that_becomes_theirs_ends_even_if_an_entry_names_it(site: Site, before: str) -> None:
    coupled_as(site, before)
    site.clock.advance(-59)
    withdraws(site, patient="4711")
    site.series(LATER, PatientID="4711", AccessionNumber="A-2", StudyDescription="corrected")
    site.run()

    assert names(site, LATER) == []
    site.entry("2", study=LATER, subject="H-003")
    site.run()
    assert names(site, LATER) == []
    assert site.attention()[WITHDREW] == 1
    site.assert_sound()


def test_what_was_asked_for_since_the_study_is_somebody_else_s_stands(site: Site) -> None:
    """It ended, shown nowhere, and the other patient was held for ever, whose pseudonym counted as withdrawn."""
    site.rule("1", patient_id="47.*")
    site.series(STUDY, PatientID="4711")
    site.run()
    site.sender_sends(STUDY, 1)
    site.series(STUDY, PatientID="4712")
    site.run()
    done = withdraws(site, patient="4711")
    site.series(LATER, PatientID="4712")
    site.run()

    assert [names(site, study) for study in (STUDY, LATER)] == [["4712"], ["4712"]]
    assert (done.ended, WITHDREW in site.attention()) == ([], False)
    assert tasks(site) == [(STUDY, HEART, 1, "sent")]
    site.assert_sound()


def test_what_was_asked_for_while_series_of_theirs_were_there_is_a_task_though_they_have_left(site: Site) -> None:
    site.series(STUDY, PatientID="4712")
    site.run()
    site.series(STUDY, f"{STUDY}.2", PatientID="4711")
    site.entry(study=STUDY)
    site.run()
    site.sender_sends(STUDY, 1)
    site.run()
    (site.receiver.raw / STUDY / f"{STUDY}.2.json").unlink()
    site.run(after=3600)
    site.run(after=3600)
    withdraws(site, patient="4711")
    assert tasks(site) == [(STUDY, HEART, 1, "sent")]


def test_so_does_what_an_entry_asks_for_since_under_a_pseudonym_of_its_own(coupled: Site) -> None:
    coupled.sender_sends(STUDY, 1)
    coupled.series(STUDY, PatientID="4712", AccessionNumber="A-1")
    coupled.entry(accession="A-1", subject="H-002")
    coupled.run()
    withdraws(coupled, patient="4711")
    for number in (2, 3):
        coupled.series(STUDY, f"{STUDY}.{number}", PatientID="4712", AccessionNumber="A-1")
        coupled.run()
        assert names(coupled) == ["H-002"]
    assert tasks(coupled) == [(STUDY, HEART, 1, "sent")]
    coupled.assert_sound()


def test_one_that_becomes_theirs_after_it_was_sent_is_a_task(site: Site) -> None:
    coupled_as(site, "4712")
    site.sender_sends(LATER, 1)
    withdraws(site, patient="4711")
    site.series(LATER, PatientID="4711", AccessionNumber="A-2", StudyDescription="corrected")
    site.run()

    assert names(site, LATER) == []
    assert tasks(site) == [(LATER, HEART, 1, "sent")]


def test_one_that_gains_a_series_of_theirs_ends(site: Site) -> None:
    coupled_as(site, "4712")
    site.sender_sends(LATER, 1)
    withdraws(site, patient="4711")
    site.series(LATER, f"{LATER}.2", PatientID="4711")
    site.run()

    assert names(site, LATER) == []
    assert tasks(site) == [(LATER, HEART, 1, "sent")]


@pytest.mark.parametrize("how", ["edited", "made anew"])
def test_what_others_had_sent_is_a_task_though_their_row_names_another_project_since(site: Site, how: str) -> None:
    """The new row took the place of the old one, and the withdrawal said that nothing had been requested."""
    site.series(STUDY, PatientID="PID-1")
    site.run()
    instance = site.person_requests(STUDY, HEART, "H-001")
    site.run()
    site.sender_sends(STUDY, instance)
    site.run()
    if how == "made anew":
        site.person_deletes_transfer(STUDY, instance)
        site.run()
    site.person_requests(STUDY, BRAIN, "B-001", instance=instance)
    site.run()
    done = withdraws(site, patient="PID-1")
    assert done.studies == [STUDY]
    assert tasks(site) == [(STUDY, HEART, instance, "sent")]
    assert site.query("select mapped_uids from audit.task") == [([f"2.25.{STUDY}"],)]
    site.assert_sound()


def test_what_a_person_requests_of_a_later_study_is_a_task(site: Site) -> None:
    withdraws(site, patient="4711")
    site.series(LATER, PatientID="4711")
    site.run()
    instance = site.person_requests(LATER, HEART, "H-001")
    site.run()
    assert tasks(site) == [(LATER, HEART, instance, "requested by others, can be sent")]

    site.sender_sends(LATER, instance)
    site.run()
    assert [task[3] for task in tasks(site)] == ["sent"]


def test_two_patient_ids_of_one_person_withdraw_together(coupled: Site) -> None:
    coupled.series(LATER, PatientID="4712")
    coupled.entry("2", study=LATER)
    coupled.run()
    join_patients(coupled, LATER)
    coupled.run()
    assert names(coupled, LATER) == ["H-001"]
    withdraws(coupled, patient="4712")

    assert names(coupled) == names(coupled, LATER) == []


def test_who_turns_out_to_be_the_same_person_has_withdrawn(coupled: Site) -> None:
    coupled.series(LATER, PatientID="4712")
    coupled.entry("2", study=LATER)
    coupled.series("1.2.5", PatientID="4712")
    coupled.entry("5", study="1.2.5", subject="H-005")
    coupled.run()
    coupled.sender_sends(STUDY, 1)
    withdraws(coupled, patient="4711")
    assert names(coupled, "1.2.5") == ["H-005"]
    join_patients(coupled, LATER)
    coupled.run()

    assert names(coupled, LATER) == names(coupled, "1.2.5") == []
    assert len(coupled.events("ParticipantWithdrew")) == 2
    coupled.run()
    assert len(coupled.events("ParticipantWithdrew")) == 2


def test_a_pseudonym_that_nobody_has_yet_is_whose_study_is_asked_for_under_it(site: Site) -> None:
    withdraws(site, pseudonym="H-001")
    site.series(STUDY, PatientID="4711")
    site.series(LATER, PatientID="4711")
    site.entry(study=STUDY)
    site.entry("2", study=LATER, subject="H-002")
    site.run()
    assert names(site) == names(site, LATER) == []

    site.series("1.2.5", PatientID="4711")
    site.entry("5", study="1.2.5", subject="H-003")
    site.run()
    assert names(site, "1.2.5") == []
    first, later = site.events("ParticipantWithdrew")
    assert (later["by"], later["reason"], later["project"]) == (first["by"], first["reason"], HEART)


def test_it_is_the_first_patient_who_is_known_by_it(site: Site) -> None:
    withdraws(site, pseudonym="H-001")
    site.series(STUDY, PatientID="4711")
    site.entry(study=STUDY)
    site.run()
    coupled_as(site, "4712")
    site.series("1.2.5", PatientID="4712")
    site.entry("5", study="1.2.5", subject="H-001")
    site.run()

    assert names(site, LATER) == ["H-002"]
    assert names(site, "1.2.5") == []


@pytest.mark.parametrize("run_between", [False, True])
def test_where_an_entry_gave_it_to_two_patients_by_mistake_the_other_goes_on_once_that_is_corrected(
    site: Site, *, run_between: bool
) -> None:
    """Both had withdrawn, for ever."""
    for record, study, patient in (("1", STUDY, "4711"), ("2", LATER, "9000")):
        site.series(study, PatientID=patient)
        site.entry(record, study=study, subject="H-001")
    site.run()
    withdraws(site, pseudonym="H-001")
    if run_between:
        site.run()
    site.entry("2", study=LATER, subject="H-002")
    site.run()
    site.run()
    site.series("1.2.5", PatientID="4711")
    site.entry("5", study="1.2.5", subject="H-003")
    site.run()

    assert [names(site, study) for study in (STUDY, LATER, "1.2.5")] == [[], ["H-002"], []]
    site.assert_sound()


# Whose pseudonym it is


SCANNED = "1.2.6"
"""A study that was scanned under the pseudonym of patient 4711, and that a rule requests under it."""


@pytest.fixture
def scanned(coupled: Site) -> Site:
    coupled.rule(patient_id="H-.*")
    coupled.series(SCANNED, PatientID="H-001")
    coupled.run()
    assert names(coupled, SCANNED) == ["H-001"]
    return coupled


@pytest.mark.parametrize(
    "whom", [{"patient": "4711"}, {"study": STUDY}, {"patient": "H-001"}, {"study": SCANNED}], ids=str
)
@pytest.mark.parametrize("project", [HEART, None])
def test_what_was_scanned_under_the_pseudonym_is_the_patient_s(
    scanned: Site, whom: dict[str, str], project: str | None
) -> None:
    """It stood, and no task told of it, as rules' pseudonyms are compared with nobody's."""
    scanned.sender_sends(SCANNED, 1)
    scanned.run()
    withdraws(scanned, project=project, **whom)
    scanned.series(SCANNED, f"{SCANNED}.2", PatientID="H-001")
    scanned.run()

    assert names(scanned) == names(scanned, SCANNED) == []
    assert (SCANNED, HEART, 1, "sent") in tasks(scanned)
    later_study(scanned)
    scanned.entry("2", accession="A-2", subject="H-050")
    scanned.run()
    assert names(scanned, LATER) == []
    assert scanned.attention()[WITHDREW] == 2
    scanned.assert_sound()


def test_what_stands_though_the_study_was_said_to_be_theirs_is_whose_it_is_now(coupled: Site) -> None:
    """It ended, and what was the other patient's from the first ended with it; nothing showed that."""
    coupled.series(STUDY, PatientID="9000", AccessionNumber="A-1")
    coupled.run()
    coupled.series(LATER, PatientID="9000", AccessionNumber="A-2")
    coupled.entry("2", accession="A-2", subject="H-001")
    coupled.run()
    done = withdraws(coupled, patient="4711")
    coupled.run()
    coupled.series("1.2.5", PatientID="9000", AccessionNumber="A-5")
    coupled.entry("5", accession="A-5", subject="H-001")
    coupled.run()

    assert done.ended == []
    assert [names(coupled, study) for study in (STUDY, LATER, "1.2.5")] == [["H-001"]] * 3
    coupled.assert_sound()


@pytest.mark.parametrize(
    ("whom", "other"),
    [({"patient": "H-002"}, "H-001"), ({"study": STUDY}, "H-001"), ({"pseudonym": "H-001"}, "H-002")],
    ids=str,
)
def test_a_pseudonym_that_a_rule_took_from_what_the_study_said_before_is_whose_it_was_then(
    site: Site, whom: dict[str, str], other: str
) -> None:
    """Whoever has the other PatientID was held for ever."""
    site.rule(patient_id="H-.*")
    site.series(STUDY, PatientID="H-001")
    site.run()
    site.sender_sends(STUDY, 1)
    site.run()
    site.series(STUDY, PatientID="H-002")
    site.run()
    withdraws(site, **whom)
    site.series(LATER, PatientID=other)
    site.run()

    assert names(site, LATER) == [other]
    assert (STUDY, HEART, 1, "sent") in tasks(site)


def test_a_pseudonym_that_the_study_had_by_mistake_is_whose_it_was_before(coupled: Site) -> None:
    """The mistake made, both were told to have withdrawn."""
    coupled.series(LATER, PatientID="4711", AccessionNumber="A-2")
    coupled.entry("2", accession="A-2")
    coupled.run()
    coupled.sender_sends(LATER, 1)
    coupled.series(LATER, PatientID="9000", AccessionNumber="A-2")
    coupled.run()
    withdraws(coupled, study=LATER)
    coupled.run()

    assert names(coupled) == ["H-001"]
    assert WITHDREW not in coupled.attention()
    assert tasks(coupled) == [(LATER, HEART, 1, "sent")]


# Whose the study was said to be


def shown(site: Site) -> list[str]:
    """The studies that are listed, as they may be those of a participant who withdrew."""
    return [study for (study,) in site.query(f"select study from audit.attention where kind = '{WITHDREW}' order by 1")]


def questioned(site: Site, event: str) -> list[str]:
    """Why a person is to look at requests for the event that are made all the same."""
    return sorted(each["kind"] for each in site.events("RequestQuestioned") if each["event_name"] == event)


@pytest.mark.parametrize("sent", [True, False])
def test_by_a_patient_id_of_before_it_is_told_what_may_be_theirs(coupled: Site, *, sent: bool) -> None:
    """What was unsent stood, and what came later under the pseudonym was requested, without a word."""
    if sent:
        coupled.sender_sends(STUDY, 1)
        coupled.run()
    coupled.series(STUDY, PatientID="9000", AccessionNumber="A-1")
    coupled.run()
    done = withdraws(coupled, patient="4711")
    assert done.elsewhere == [STUDY]
    assert (names(coupled), shown(coupled)) == (([], []) if sent else (["H-001"], [STUDY]))
    assert len(tasks(coupled)) == sent

    later_study(coupled, "9000")
    coupled.run()
    assert names(coupled, LATER) == ["H-001"], "expected nothing of somebody else's to end, or to be held for ever"
    assert shown(coupled) == ([LATER] if sent else [STUDY, LATER])
    withdraws(coupled, patient="4711")
    assert shown(coupled) == ([LATER] if sent else [STUDY, LATER]), "expected nothing to be told twice"
    withdraws(coupled, study=STUDY)
    coupled.run()
    assert names(coupled) == names(coupled, LATER) == []
    coupled.assert_sound()


@pytest.mark.parametrize("name", ["H-001", "H-009"])
def test_what_is_asked_again_for_a_study_that_was_said_to_be_theirs_is_shown(coupled: Site, name: str) -> None:
    coupled.sender_sends(STUDY, 1)
    coupled.series(STUDY, PatientID="9000", AccessionNumber="A-1")
    coupled.run()
    withdraws(coupled, patient="4711")
    coupled.remove_entry("1")
    coupled.run()
    coupled.run()
    coupled.entry("9", study=STUDY, subject=name)
    coupled.run()
    assert (names(coupled), shown(coupled)) == ([name], [STUDY])


@pytest.mark.parametrize("subject", ["H-050", "wrong"])
def test_it_is_shown_besides_what_else_speaks_against_it(coupled: Site, subject: str) -> None:
    """It was placed with a word about the second pseudonym, or the one that does not fit, alone."""
    coupled.identity = IdentitySection(naming="show")
    coupled.naming("H-[0-9]{3}")
    coupled.series(STUDY, PatientID="9000", AccessionNumber="A-1")
    coupled.run()
    withdraws(coupled, patient="4711")
    coupled.entry("2", study=STUDY, subject=subject, event="V2")
    coupled.run()
    assert names(coupled) == ["H-001", subject]
    others = ["one patient, two pseudonyms"] + ["pseudonym does not fit"] * (subject == "wrong")
    assert questioned(coupled, "V2") == sorted([WITHDREW, *others])
    head = coupled.head()
    coupled.run()
    assert coupled.head() == head
    coupled.assert_sound()


def test_what_is_held_for_another_reason_is_not_shown_besides(coupled: Site) -> None:
    """Each run listed it anew, as if it were requested."""
    later_study(coupled, "5000")
    coupled.entry("2", accession="A-2", subject="H-002")
    coupled.series(STUDY, PatientID="9000", AccessionNumber="A-1")
    coupled.run()
    withdraws(coupled, patient="4711")
    coupled.entry("3", study=STUDY, subject="H-002", event="V2")
    coupled.run()
    head = coupled.head()
    coupled.run()
    assert (names(coupled), coupled.attention()["two patients, one pseudonym"]) == (["H-001"], 1)
    assert questioned(coupled, "V2") == []
    assert coupled.head() == head


@pytest.mark.parametrize("when", ["asked for before", "asked for after"])
def test_a_held_study_that_turns_out_to_be_somebody_else_s_is_requested_and_shown(site: Site, when: str) -> None:
    """It was placed without a word as soon as its PatientID changed."""
    site.series(STUDY, PatientID="4711")
    site.run()
    withdraws(site, patient="4711")
    if when == "asked for before":
        site.entry(study=STUDY, subject="H-001")
        site.run()
        assert (names(site), shown(site)) == ([], [STUDY])
    site.series(STUDY, PatientID="9000")
    site.entry(study=STUDY, subject="H-001")
    site.run()
    site.run()
    assert (names(site), shown(site)) == (["H-001"], [STUDY])
    assert len(site.events("RequestQuestioned")) == 1
    site.assert_sound()


def test_a_study_that_arrived_after_the_withdrawal_and_turns_out_to_be_somebody_else_s_is_shown(coupled: Site) -> None:
    withdraws(coupled, patient="4711")
    later_study(coupled)
    coupled.run()
    later_study(coupled, "9000")
    coupled.entry("2", accession="A-2", subject="H-002")
    coupled.run()
    assert (names(coupled, LATER), shown(coupled)) == (["H-002"], [LATER])


def test_what_may_have_been_sent_and_cannot_be_ended_is_a_task_at_once(coupled: Site) -> None:
    coupled.simulator.inject(Fault(kind="lock_record", record=STUDY, action="import"))
    coupled.run(after=600)
    withdraws(coupled, patient="4711")
    assert names(coupled) == ["H-001"], "expected the locked record to be as it was"
    assert tasks(coupled) == [(STUDY, HEART, 1, "not ended yet, can be sent")]

    coupled.incoming.unlock(STUDY)
    coupled.run(after=3_600)
    assert (names(coupled), tasks(coupled)) == ([], [(STUDY, HEART, 1, "may have been sent")])
