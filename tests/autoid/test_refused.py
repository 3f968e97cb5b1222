"""IDs that REDCap refuses to store in AutoID stop nobody else."""

from collections.abc import Collection, Mapping, Sequence

import pytest

from processors.autoid.draw import draw_ids
from processors.autoid.generators import OwnGenerator
from processors.autoid.store import store_ids
from processors.demo.simulator import Fault
from processors.errors import ServiceError, Unanswered
from processors.gateway import Gateway
from processors.redcap import NoRateLimit, Redcap, RowProblem, RowsRefused
from tests.autoid.drawn import waiting
from tests.autoid.sites import IDLE, REFUSED, AutoidSite, key_of
from tests.autoid.test_meanwhile import rows
from tests.flow.harness import HEART

LOCKED = Fault(kind="lock_record", project="autoid", content="record", action="import", record="1")


class Refusing(Redcap):
    """Refuses these patients' rows, all named at once, or without a word about which it means."""

    refused: Collection[str] = ()
    naming = False
    failing = False
    imports = 0

    def import_records(self, project: str, rows: Sequence[Mapping[str, str | int]], *, overwrite: bool) -> int:
        self.imports += 1
        wrong = [str(row["record_id"]) for row in rows if row["autoid_hash"] in self.refused]
        if wrong and self.failing:
            raise Unanswered("No.")
        if wrong:
            named = wrong if self.naming else [""]
            raise RowsRefused("No.", tuple(RowProblem(record=name, field="", message="No.") for name in named))
        return super().import_records(project, rows, overwrite=overwrite)


def test_a_refused_row_holds_its_patients_studies_and_nobody_elses(site: AutoidSite) -> None:
    """One used to end every run, for all patients of all projects."""
    for number in range(3):
        site.study(f"1.2.{number}", f"PID-{number}")
    site.study("1.2.9", "PID-0")
    site.simulator.inject(LOCKED)
    report = site.run()
    (refused,) = {f"PID-{number}" for number in range(3)} - {
        f"PID-{number}" for number in range(3) if site.transfers(f"1.2.{number}")
    }
    held = {"1.2.0", "1.2.9"} if refused == "PID-0" else {f"1.2.{refused[-1]}"}
    assert site.held() == dict.fromkeys(held, REFUSED)
    assert report.attention == {"held study": len(held)}
    assert len(site.used()) == 3
    site.assert_no_id_twice()


def test_when_redcap_takes_it_the_patient_gets_the_id_that_was_drawn(site: AutoidSite) -> None:
    site.study("1.2.1")
    site.simulator.inject(LOCKED)
    site.run()
    (drawn,) = site.used()
    assert (site.held(), site.transfers("1.2.1")) == ({"1.2.1": REFUSED}, {})
    site.run_after_a_while()
    assert (site.held(), site.requested("1.2.1"), site.id_of("PID-1")) == ({}, drawn, drawn)
    site.assert_sound()


def test_what_is_refused_costs_few_calls_and_is_told_once(site: AutoidSite) -> None:
    site.study("1.2.1")
    site.simulator.inject(LOCKED)
    site.run()
    for _ in range(5):
        site.run()
        assert site.asked() == IDLE
    assert site.count("StudyHeld") == 1


@pytest.mark.parametrize(("naming", "imports"), [(True, 2), (False, 7)], ids=["named", "not named"])
def test_all_but_the_refused_rows_are_stored(
    site: AutoidSite,
    gateway: Gateway,
    naming: bool,  # noqa: FBT001 - the cases in a table
    imports: int,
) -> None:
    machine = site.machine
    patients = [f"PID-{number}" for number in range(8)]
    with Refusing(url=machine.redcap_url, tokens=machine.tokens, rate_limit=NoRateLimit()) as redcap:
        redcap.naming = naming
        redcap.refused = {key_of("PID-5")}
        group = waiting(gateway, patients, pattern="H-[0-9]{3}")
        assert draw_ids(gateway, redcap, OwnGenerator(lambda bound: bound - 1), [group]) == len(patients)
        store_ids(gateway, redcap, [], [group])
        assert redcap.imports == imports
    stored = {row.key for row in site.autoid_rows().values()}
    assert stored == {key_of(patient) for patient in patients if patient != "PID-5"}
    assert rows(gateway, "select study, project, reason from gateway.held_study") == [
        ("study of PID-5", HEART, REFUSED)
    ]
    assert rows(gateway, "select count(*), count(record_id) from gateway.used_id") == [(8, 7)]


def test_a_row_that_makes_redcap_fail_is_set_apart_by_the_second_run(site: AutoidSite, gateway: Gateway) -> None:
    """It used to end each run, for all patients."""
    machine = site.machine
    patients = [f"PID-{number}" for number in range(8)]
    with Refusing(url=machine.redcap_url, tokens=machine.tokens, rate_limit=NoRateLimit()) as redcap:
        redcap.failing = True
        redcap.refused = {key_of("PID-5")}
        group = waiting(gateway, patients, pattern="H-[0-9]{3}")
        draw_ids(gateway, redcap, OwnGenerator(lambda bound: bound - 1), [group])
        with pytest.raises(ServiceError):
            store_ids(gateway, redcap, [], [group])
        store_ids(gateway, redcap, [], [group])
        assert len(site.autoid_rows()) == 7
        store_ids(gateway, redcap, [], [group])  # and no later one ends because of it
    assert rows(gateway, "select study, reason from gateway.held_study") == [("study of PID-5", REFUSED)]


def test_a_project_that_takes_nothing_costs_few_calls_however_many_ids_wait(site: AutoidSite, gateway: Gateway) -> None:
    machine = site.machine
    patients = [f"PID-{number}" for number in range(100)]
    with Refusing(url=machine.redcap_url, tokens=machine.tokens, rate_limit=NoRateLimit()) as redcap:
        redcap.refused = {key_of(patient) for patient in patients}
        group = waiting(gateway, patients, pattern="H-[0-9]{4}")
        draw_ids(gateway, redcap, OwnGenerator(lambda bound: bound - 1), [group])
        store_ids(gateway, redcap, [], [group])
        assert redcap.imports < 20
    assert rows(gateway, "select count(*) from gateway.held_study") == [(100,)]
