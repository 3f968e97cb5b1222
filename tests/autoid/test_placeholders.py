"""PatientIDs that stand for nobody count as none: no key, no ID, never merged with anybody's."""

from tests.autoid.sites import NO_PATIENT_ID, AutoidSite
from tests.flow.harness import BRAIN

STUDY = "1.2.1"
STRAY = f"{STUDY}.2"
PLACEHOLDERS = ["UNKNOWN", "anonymous", " None\x00", "n/a", "0", "00000000"]
HELD = {f"1.3.{number}": patient_id for number, patient_id in enumerate(PLACEHOLDERS)}
"""A study with each of them."""


def names(site: AutoidSite, study: str = STUDY) -> list[str]:
    """The pseudonyms of the rows that can be sent."""
    return sorted(request.name for request in site.transfers(study).values() if request.name)


def test_studies_with_placeholders_are_held_as_without_patient_id(site: AutoidSite) -> None:
    for study, patient_id in HELD.items():
        site.study(study, patient_id)
    report = site.run()
    assert (site.held(), report.needs_attention) == (dict.fromkeys(HELD, NO_PATIENT_ID), True)
    assert ([site.transfers(study) for study in HELD], site.used(), site.autoid_rows()) == ([{}] * len(HELD), {}, {})


def test_an_id_that_the_scripts_gave_to_nobody_is_given_to_nobody_else(site: AutoidSite) -> None:
    site.give("1", "UNKNOWN", "H-0001")
    for number in range(3):
        site.study(f"1.2.{number}", "UNKNOWN")
    site.run()
    assert len(site.held()) == 3
    assert len(site.autoid_rows()) == 1


def test_the_configured_placeholders_count(site: AutoidSite) -> None:
    site.placeholders = ("PHANTOM",)
    site.study(STUDY, "Phantom ")
    site.study("1.2.2", "UNKNOWN")
    site.run()
    assert site.held() == {STUDY: NO_PATIENT_ID}
    assert site.requested("1.2.2") == site.id_of("UNKNOWN")


def test_one_that_is_configured_later_gets_no_more_ids(site: AutoidSite) -> None:
    site.study(STUDY, "PHANTOM")
    site.run()
    given = site.requested(STUDY)
    site.placeholders = ("PHANTOM",)
    site.study("1.2.2", "PHANTOM")
    site.series(STUDY, STRAY, called="HEART", PatientID="PID-1")
    site.run()
    assert (site.held(), next(iter(site.autoid_rows().values())).value) == ({"1.2.2": NO_PATIENT_ID}, given)
    assert site.events("TwoPatientsFound") == []


def test_a_study_that_has_got_its_patient_id_gets_its_id(site: AutoidSite) -> None:
    site.study(STUDY, "UNKNOWN")
    site.run()
    site.study(STUDY, "PID-1")
    site.run()
    assert (site.held(), names(site), site.attention()) == ({}, [site.id_of("PID-1")], {})


def test_a_series_with_a_placeholder_makes_no_second_patient(site: AutoidSite) -> None:
    for study, patient_id in HELD.items():
        site.study(study, f"PID-{study}")
        site.series(study, f"{study}.2", called="HEART", PatientID=patient_id)
    site.run()
    assert site.attention() == {}
    for study, patient_id in HELD.items():
        assert names(site, study) == [site.id_of(f"PID-{study}")], patient_id
    assert site.events("TwoPatientsFound") == []


def test_different_placeholders_are_no_two_patients(site: AutoidSite) -> None:
    site.study(STUDY, "UNKNOWN")
    site.series(STUDY, STRAY, called="HEART", PatientID="ANONYMOUS")
    site.run()
    assert site.attention() == {"held study": 1}


def test_a_placeholder_where_there_was_a_patient_id_says_nothing_new(site: AutoidSite) -> None:
    for study in HELD:
        site.study(study, f"PID-{study}")
    site.run()
    for study, patient_id in HELD.items():
        site.study(study, patient_id)
    site.run(after=600)
    assert site.attention() == {}
    for study, patient_id in HELD.items():
        assert names(site, study) == [site.id_of(f"PID-{study}")], patient_id


def test_a_rule_looks_at_it_as_at_any_text(site: AutoidSite) -> None:
    site.rule(patient_id="UNK.*", project=BRAIN)
    site.study(STUDY, "UNKNOWN", called="FIONA")
    site.run()
    assert names(site) == ["UNKNOWN"]


def test_a_pseudonym_is_not_compared_for_nobody(site: AutoidSite) -> None:
    for number, study in enumerate((STUDY, "1.2.2"), start=1):
        site.study(study, "UNKNOWN", called="ELSEWHERE")
        site.entry(str(number), study=study, subject=f"H-000{number}")
    site.study("1.2.3", "PID-3", called="ELSEWHERE")
    site.entry("3", study="1.2.3", subject="H-0001")
    site.run()
    assert [site.transfers(study)[1].name for study in (STUDY, "1.2.2", "1.2.3")] == ["H-0001", "H-0002", "H-0001"]
    assert site.attention() == {}
