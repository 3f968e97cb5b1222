"""A PatientID under which names come that have nothing in common is shown, once, until somebody acknowledges it."""

import pytest

from tests.flow.harness import Site, VisibleSteps

KIND = "one PatientID, two names"
FIRST, SECOND, THIRD = "1.2.1", "1.2.2", "1.2.3"


def arrive(site: Site, study: str, name: str, patient_id: str = "PID-1") -> None:
    site.series(study, PatientID=patient_id, PatientName=name)


def told(site: Site) -> list[tuple[str, list[str]]]:
    """The studies that were told of, each with the others."""
    return [(event["study"], event["studies"]) for event in site.events("TwoNamesFound")]


@pytest.mark.parametrize("together", [True, False])
def test_names_with_nothing_in_common_are_shown(site: Site, together: bool) -> None:  # noqa: FBT001 - a table's column
    arrive(site, FIRST, "Hansen^Kari")
    if not together:
        site.run()
    arrive(site, SECOND, "Olsen^Per")
    report = site.run()
    assert (told(site), report.attention, report.needs_attention) == ([(SECOND, [FIRST])], {KIND: 1}, True)
    ((study, project, details, advice),) = site.query("select study, project, details, advice from audit.attention")
    assert (study, project, details) == (SECOND, None, f"other studies: {FIRST}")
    assert "acknowledge POSITION" in advice
    stored = site.everything_stored()
    assert not any(part in stored for part in ("Hansen", "Kari", "Olsen"))
    site.assert_sound()


@pytest.mark.parametrize(
    "name",
    ["Hansen^Kari", "HANSEN^KARI ", "Olsen^Kari", "Hansen-Olsen^Per", "Hànsen", "", "Li^Bo", "H-001"],
)
def test_names_that_share_a_part_or_have_none_are_not(site: Site, name: str) -> None:
    arrive(site, FIRST, "Hansen^Kari")
    arrive(site, SECOND, name)
    assert (site.run().attention, told(site)) == ({}, [])


@pytest.mark.parametrize("patient_id", ["PID-2", "", "UNKNOWN"])
def test_those_of_other_patients_and_of_nobody_are_not_compared(site: Site, patient_id: str) -> None:
    arrive(site, FIRST, "Hansen^Kari", patient_id)
    arrive(site, SECOND, "Olsen^Per", patient_id if patient_id != "PID-2" else "PID-1")
    assert (site.run().attention, told(site)) == ({}, [])


def test_it_is_told_once_and_costs_an_idle_run_nothing(site: Site) -> None:
    arrive(site, FIRST, "Hansen^Kari")
    arrive(site, SECOND, "Olsen^Per")
    site.run()
    head = site.head()
    site.run()
    assert site.head() == head
    site.series(FIRST, f"{FIRST}.9", PatientID="PID-1", PatientName="Hansen^Kari")
    site.series(SECOND, f"{SECOND}.9", PatientID="PID-1", PatientName="Olsen^Per")
    arrive(site, THIRD, "Hansen^Kari")
    site.run()
    assert told(site) == [(SECOND, [FIRST])]


def test_a_third_name_is_told_with_all_that_it_differs_from(site: Site) -> None:
    arrive(site, FIRST, "Hansen^Kari")
    arrive(site, SECOND, "Olsen^Kari")
    arrive(site, THIRD, "Berg^Per")
    site.run()
    assert told(site) == [(THIRD, [FIRST, SECOND])]


def test_a_name_that_is_corrected_into_another_person_s_is_told(site: Site) -> None:
    arrive(site, FIRST, "Hansen^Kari")
    arrive(site, SECOND, "Hansen^Kari")
    site.run()
    arrive(site, FIRST, "Olsen^Per")
    site.run()
    assert told(site) == [(FIRST, [SECOND])]


def test_a_study_whose_patient_id_is_corrected_is_compared_with_its_patient_s(site: Site) -> None:
    arrive(site, FIRST, "Hansen^Kari")
    arrive(site, SECOND, "Olsen^Per", "PID-2")
    site.run()
    arrive(site, SECOND, "Olsen^Per")
    site.run()
    assert told(site) == [(SECOND, [FIRST])]


def test_those_in_different_portions_are_told_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processors.routing.decide.PORTION", 1)
    arrive(site, FIRST, "Hansen^Kari")
    arrive(site, SECOND, "Olsen^Per")
    site.run()
    assert told(site) == [(SECOND, [FIRST])]


def test_wherever_a_run_is_killed_it_is_told_once(site: Site) -> None:
    arrive(site, FIRST, "Hansen^Kari")
    arrive(site, SECOND, "Olsen^Per")
    step = 1
    while site.run_killed_at(step, steps=VisibleSteps):
        step += 1
    site.run()
    assert (told(site), site.attention()) == ([(SECOND, [FIRST])], {KIND: 1})
    site.assert_sound()
