"""A participant withdraws whose studies REDCap held before this system, and whose summaries have left the disk."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from processors.redcap.incoming import hashed
from tests.adopt.sites import AdoptingSite
from tests.conftest import SettableClock
from tests.flow.harness import HEART, standard_simulator
from tests.operations.operator import forget_patient, join_patients
from tests.operations.withdrawing import withdraws

SENT, UNSENT, OF_ANOTHER = "1.2.1", "1.2.2", "1.2.3"
TASKS = [(SENT, "sent"), (UNSENT, "requested by others, can be sent")]


@pytest.fixture
def beside(database_url: str, key_file: Path, clock: SettableClock, tmp_path: Path) -> Iterator[AdoptingSite]:
    """Two studies of patient 4711 were requested as H-001, one was sent; another patient's study, too."""
    with ExitStack() as stack:
        redcap = stack.enter_context(standard_simulator(clock, with_withdrawals=True))
        site = AdoptingSite(
            folder=tmp_path, database_url=database_url, key_file=key_file, clock=clock, simulator=redcap
        )
        stack.callback(site.close)
        for study, patient in ((SENT, "4711"), (UNSENT, " 4711"), (OF_ANOTHER, "4712")):
            site.scripts_wrote(study, study_patient_id=hashed(patient))
        site.scripts_requested(SENT, "H-001", sent=True)
        site.scripts_requested(UNSENT, "H-001")
        site.scripts_requested(OF_ANOTHER, "H-002", sent=True)
        yield site


@pytest.fixture
def adopted(beside: AdoptingSite) -> AdoptingSite:
    """The same, adopted."""
    beside.adopt()
    return beside


def enters(site: AdoptingSite, subject: str) -> None:
    """Somebody enters it in REDCap's list of withdrawals."""
    site.simulator.projects["withdrawals"].put([{"record_id": "1", "wd_project": HEART, "wd_subject": subject}])


def tasks(site: AdoptingSite) -> list[tuple[str, str]]:
    return [(study, what) for study, what in site.query("select study, what from audit.task where open order by study")]


def test_what_was_requested_of_them_is_a_task_each(adopted: AdoptingSite) -> None:
    """It was said that nothing had been requested of that patient."""
    done = withdraws(adopted, patient="4711")

    assert done.studies == [SENT, UNSENT]
    assert tasks(adopted) == TASKS
    adopted.series("1.2.9", PatientID="9000")
    adopted.entry(study="1.2.9", subject="H-001")
    adopted.run()
    assert adopted.transfers("1.2.9") == {}
    assert adopted.attention()["participant withdrew"] == 1
    adopted.assert_sound()


def test_so_it_is_by_redcaps_list(adopted: AdoptingSite) -> None:
    enters(adopted, "4711")
    adopted.run()
    assert tasks(adopted) == TASKS


def is_held(site: AdoptingSite, patient: str, *, name: str = "H-077") -> bool:
    """Whether a later study of the patient, asked for under a new pseudonym, is held as of somebody who withdrew."""
    study = f"1.2.9.{patient.strip()}"
    site.series(study, PatientID=patient)
    site.entry(study, study=study, subject=name)
    site.run()
    held = site.query("select kind from gateway.held_request where study = :study", study=study)
    assert (site.transfers(study) == {}) == (held != [])
    return held == [("participant withdrew",)]


@pytest.mark.parametrize("patient", ["4711", "4711 "])
def test_by_their_pseudonym_later_studies_are_held(adopted: AdoptingSite, patient: str) -> None:
    """They were requested: the PatientID was unknown."""
    done = withdraws(adopted, pseudonym="H-001")

    assert done.studies == [SENT, UNSENT]
    assert is_held(adopted, patient)
    assert not is_held(adopted, "4712", name="H-002")
    adopted.assert_sound()


def test_so_they_are_once_the_patient_is_forgotten(adopted: AdoptingSite) -> None:
    withdraws(adopted, pseudonym="H-001")
    forget_patient(adopted, "4711")
    assert is_held(adopted, "4711")


def test_so_they_are_by_a_study_of_theirs(adopted: AdoptingSite) -> None:
    """It was refused: the study was of nobody."""
    assert withdraws(adopted, study=SENT).studies == [SENT]
    assert is_held(adopted, "4711")
    assert not is_held(adopted, "4712", name="H-002")


@pytest.mark.parametrize("subject", ["4711", "H-001"])
def test_what_is_adopted_after_the_withdrawal_is_a_task_each(beside: AdoptingSite, subject: str) -> None:
    """REDCap's list is read before the patients are."""
    beside.entry(study="1.2.8", subject="H-008")
    enters(beside, subject)
    beside.run()
    assert beside.count("ParticipantWithdrew") == 1
    beside.adopt()
    beside.run()
    assert tasks(beside) == TASKS
    assert is_held(beside, "4711")
    assert not is_held(beside, "4712", name="H-002")
    beside.assert_sound()


@pytest.mark.parametrize("who", ["the adopted one", "the other"])
@pytest.mark.parametrize("joined", ["before", "after"])
def test_whoever_is_one_with_the_patient_withdraws_too(adopted: AdoptingSite, who: str, joined: str) -> None:
    later = "1.2.8"
    adopted.run()
    adopted.series(later, PatientID="9000")
    adopted.entry(study=later, subject="H-001")
    adopted.run()
    withdrawal = {"the adopted one": "4711", "the other": "9000"}[who]
    if joined == "after":
        withdraws(adopted, patient=withdrawal)
    join_patients(adopted, later, other=SENT)
    if joined == "before":
        withdraws(adopted, patient=withdrawal)
    adopted.run()
    assert tasks(adopted) == TASKS
    assert adopted.transfers(later) == {}
    assert is_held(adopted, "9000")
    assert is_held(adopted, "4711", name="H-078")
    adopted.assert_sound()


@pytest.mark.parametrize(
    "placeholder", ["UNKNOWN", "n/A", "UNKNOWN ", " unknown\0", "UnKnown", "0", "0" * 24, "  ", "\0", " "], ids=repr
)
def test_a_placeholder_makes_nobody_of_all_who_have_it(adopted: AdoptingSite, placeholder: str) -> None:
    """In some spellings it made one patient of strangers, whose studies became tasks of each other's withdrawal."""
    adopted.scripts_wrote("1.2.4", study_patient_id=hashed(placeholder))
    adopted.adopt()
    assert adopted.query("select patient is null from gateway.adopted_study where study = '1.2.4'") == [(True,)]
