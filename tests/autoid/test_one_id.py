"""One patient, one ID in a project, whatever runs where and when."""

import shutil
from pathlib import Path

import pytest

from processors.locks import only_run
from tests.autoid.conftest import MakeSite
from tests.autoid.sites import AETITLE, AutoidSite, elsewhere, key_of
from tests.flow.harness import BRAIN, HEART
from tests.source.receiver import Receiver

TWENTY = [f"1.2.{number}" for number in range(20)]


def requested(site: AutoidSite, studies: list[str]) -> set[str]:
    return {site.requested(study) for study in studies}


def test_twenty_studies_of_a_patient_in_one_run_get_one_id(site: AutoidSite) -> None:
    for study in TWENTY:
        site.study(study)
    site.run()
    assert requested(site, TWENTY) == {site.id_of("PID-1")}
    assert site.count("IdGenerated") == 1
    site.assert_no_id_twice()


def test_twenty_studies_of_a_patient_in_two_runs_get_one_id(site: AutoidSite) -> None:
    for studies in (TWENTY[:10], TWENTY[10:]):
        for study in studies:
            site.study(study)
        site.run()
    assert requested(site, TWENTY) == {site.id_of("PID-1")}
    assert site.count("IdGenerated") == 1
    site.assert_no_id_twice()


def test_two_patients_get_two_ids(site: AutoidSite) -> None:
    for number in range(40):
        site.study(f"1.2.{number}", f"PID-{number % 20}")
    site.run()
    assert len({site.id_of(f"PID-{number}") for number in range(20)}) == 20
    for number in range(40):
        assert site.requested(f"1.2.{number}") == site.id_of(f"PID-{number % 20}")
    site.assert_no_id_twice()


def test_a_patient_has_an_id_of_each_projects_own(site: AutoidSite) -> None:
    site.project("2", name=BRAIN, pattern="B[0-9]{3}", aetitle="BRAIN")
    site.study("1.2.1")
    site.study("1.2.2", called="BRAIN")
    site.run()
    assert site.requested("1.2.1") == site.id_of("PID-1")
    assert site.requested("1.2.2", project=BRAIN) == site.id_of("PID-1", project=BRAIN)
    assert site.id_of("PID-1") != site.id_of("PID-1", project=BRAIN)


def test_the_id_outlives_a_change_of_the_pattern(site: AutoidSite) -> None:
    site.study("1.2.1")
    site.run()
    site.project(pattern="NEW[0-9]{4}")
    site.study("1.2.2")
    site.run()
    assert site.requested("1.2.2") == site.requested("1.2.1") == site.id_of("PID-1")


def test_autoid_holds_what_other_programs_look_up(site: AutoidSite) -> None:
    site.study("1.2.1")
    site.run()
    ((record, row),) = [(name, record.base) for name, record in site.autoid.records.items()]
    assert record == "1"
    assert row == {
        "autoid_project_name": HEART,
        "autoid_hash": key_of("PID-1"),
        "autoid_value": site.requested("1.2.1"),
        "autoid_method": "1",
    }


def test_patient_ids_are_told_apart_to_the_letter(site: AutoidSite) -> None:
    """As today: the key is made of the PatientID as it was written, but for padding."""
    patients = ["pid", "PID", "0PID", "Ærø-山"]
    for number, patient in enumerate(patients):
        site.study(f"1.2.{number}", patient)
    site.run()
    assert len({site.id_of(patient) for patient in patients}) == len(patients)


@pytest.mark.parametrize("turn", range(2))
def test_two_sites_that_run_at_once_give_a_patient_one_id(site: AutoidSite, tmp_path: Path, turn: int) -> None:
    """Two machines on one ledger and one REDCap, each with patients of its own and the same twenty."""
    other_raw = tmp_path / "elsewhere"
    other_receiver = Receiver(other_raw, site.clock)
    for number in range(20):
        site.study(f"1.2.{number}", f"PID-{number}")
        patient = f"PID-{number}" if number % 2 == turn else f"OTHER-{number}"
        connection = {"AETitleCalled": AETITLE, "AETitleCaller": "CT1", "CallerIP": "10.0.0.2"}
        other_receiver.summary(f"9.9.{number}", f"9.9.{number}.1", IncomingConnection=connection, PatientID=patient)
    site.clock.advance(60)
    there = Path(shutil.copy(site.key_file, tmp_path / "copy.key"))
    runs = [site.machine.start(), elsewhere(site.machine, site="other", raw=other_raw, key_file=there).start()]
    for run in runs:
        run.join(60)
    assert [run.exitcode for run in runs] == [0, 0]
    for number in range(20):
        assert site.requested(f"1.2.{number}") == site.id_of(f"PID-{number}")
        patient = f"PID-{number}" if number % 2 == turn else f"OTHER-{number}"
        assert site.requested(f"9.9.{number}") == site.id_of(patient)
    assert len(site.autoid_rows()) == 30
    site.assert_no_id_twice()
    site.assert_sound()


def test_of_two_runs_of_a_site_at_once_the_second_has_nothing_to_do(site: AutoidSite) -> None:
    site.study("1.2.1")
    site.clock.advance(60)
    with site.machine.gateway() as gateway, only_run(gateway) as busy:
        assert busy is None
        assert site.machine.run() is None
    site.run()
    assert site.requested("1.2.1") == site.id_of("PID-1")


def test_transfers_in_a_project_of_their_own_are_requested_there(make_site: MakeSite) -> None:
    site = make_site(separate_transfers=True)
    site.project()
    site.study("1.2.1")
    site.run()
    assert site.requested("1.2.1") == site.id_of("PID-1")
    assert "1.2.1" in site.simulator.projects["transfers"].records
