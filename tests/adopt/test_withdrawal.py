"""A participant withdraws whose studies REDCap held before this system, and whose summaries have left the disk."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from processors.redcap.incoming import hashed
from tests.adopt.sites import AdoptingSite
from tests.conftest import SettableClock
from tests.flow.harness import HEART, standard_simulator
from tests.operations.withdrawing import withdraws

SENT, UNSENT, OF_ANOTHER = "1.2.1", "1.2.2", "1.2.3"
TASKS = [(SENT, "sent"), (UNSENT, "requested by others, can be sent")]


@pytest.fixture
def adopted(database_url: str, key_file: Path, clock: SettableClock, tmp_path: Path) -> Iterator[AdoptingSite]:
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
        site.adopt()
        yield site


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
    adopted.simulator.projects["withdrawals"].put([{"record_id": "1", "wd_project": HEART, "wd_subject": "4711"}])
    adopted.run()
    assert tasks(adopted) == TASKS


def test_a_placeholder_makes_nobody_of_all_who_have_it(adopted: AdoptingSite) -> None:
    adopted.scripts_wrote("1.2.4", study_patient_id=hashed("UNKNOWN"))
    adopted.adopt()
    assert adopted.query("select patient is null from gateway.adopted_study where study = '1.2.4'") == [(True,)]
