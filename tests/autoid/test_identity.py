"""One pseudonym, one patient: IDs that AutoID gives are pseudonyms in use, and what others ask for is never drawn."""

import pytest

from tests.autoid.sites import AutoidSite
from tests.flow.harness import HEART
from tests.operations.operator import join_patients, look_through

SHARED = "two patients, one pseudonym"
SPLIT = "one patient, two pseudonyms"


def names(site: AutoidSite, study: str) -> list[str]:
    """The pseudonyms of the study's rows that can be sent."""
    return sorted(request.name for request in site.transfers(study).values() if request.name)


@pytest.fixture
def given(site: AutoidSite) -> AutoidSite:
    """AutoID gives an ID to a patient of whom no study has come; another patient's study has."""
    site.give("7", "PID-1", "H-0007")
    site.study("1.2.9", "PID-9")
    site.run()
    site.study("1.2.2", "PID-2", called="FIONA")
    return site


@pytest.mark.parametrize("subject", ["H-0007", "h-0007", "H-\u200b0007"])
def test_an_entry_does_not_give_another_patient_s_id(given: AutoidSite, subject: str) -> None:
    given.project(pattern="")
    given.entry("2", study="1.2.2", subject=subject)
    report = given.run()
    assert (names(given, "1.2.2"), report.attention[SHARED]) == ([], 1)
    details = given.query("select details from audit.attention where kind = :kind", kind=SHARED)
    assert details == [("AutoID gives it to another patient",)]
    head = given.head()
    given.run()
    assert given.head() == head


def test_the_patient_s_own_id_may_be_asked_for(given: AutoidSite) -> None:
    given.study("1.2.1", "PID-1 ", called="FIONA")
    given.entry("1", study="1.2.1", subject="H-0007")
    assert (given.run().attention, names(given, "1.2.1")) == ({}, ["H-0007"])


def test_a_second_pseudonym_beside_an_id_is_shown(given: AutoidSite) -> None:
    given.study("1.2.1", "PID-1", called="FIONA")
    given.entry("1", study="1.2.1", subject="H-0008")
    assert (given.run().attention, names(given, "1.2.1")) == ({SPLIT: 1}, ["H-0008"])


def test_an_operator_says_that_they_are_one_person(given: AutoidSite) -> None:
    given.entry("2", study="1.2.2", subject="H-0007")
    given.run()
    assert join_patients(given, "1.2.2") == []
    given.run()
    assert (names(given, "1.2.2"), given.attention()) == (["H-0007"], {})
    given.study("1.2.1")
    given.run()
    assert (names(given, "1.2.1"), given.attention()) == (["H-0007"], {})
    given.study("1.2.3", "PID-3", called="FIONA")
    given.entry("3", study="1.2.3", subject="H-0007")
    given.run()
    assert (names(given, "1.2.3"), given.attention()) == ([], {SHARED: 1})
    given.assert_sound()


def test_patients_who_are_one_are_so_for_an_id_that_comes_later(given: AutoidSite) -> None:
    given.entry("2", study="1.2.2", subject="H-0005")
    given.run()
    given.study("1.2.1", "PID-1", called="FIONA")
    given.entry("1", study="1.2.1", subject="H-0005")
    given.run()
    join_patients(given, "1.2.1")
    given.entry("2", study="1.2.2", subject="H-0007")
    given.run()
    assert names(given, "1.2.2") == ["H-0007"]


@pytest.mark.parametrize("subject", ["a", "A"])
def test_what_an_entry_asks_for_is_drawn_for_nobody_else(site: AutoidSite, subject: str) -> None:
    site.project(pattern="[ab]")
    site.entry("1", accession="not here", subject=subject)
    site.run()
    site.study("1.2.2", "PID-2")
    site.run()
    assert site.requested("1.2.2") == "b"


def test_what_is_held_is_drawn_for_nobody_else(site: AutoidSite) -> None:
    site.project(pattern="[ab]")
    for study, patient in (("1.2.1", "PID-1"), ("1.2.2", "PID-2")):
        site.study(study, patient, called="FIONA")
        site.entry(study, study=study, subject="a")
    site.run()
    assert site.attention() == {SHARED: 2}
    site.study("1.2.3", "PID-3")
    site.run()
    assert site.requested("1.2.3") == "b"


def test_none_is_drawn_that_differs_from_one_in_use_by_case_only(site: AutoidSite) -> None:
    site.project(pattern="[abAB]")
    for number in range(1, 4):
        site.study(f"1.2.{number}", f"PID-{number}")
    site.run()
    drawn = [row.value for row in site.autoid_rows().values()]
    assert sorted(map(str.casefold, drawn)) == ["a", "b"]
    assert list(site.held().values()) == ["all IDs of the naming pattern are in use"]


def test_none_is_drawn_that_a_person_has_requested_in_another_case(site: AutoidSite) -> None:
    site.project(pattern="[ab]")
    site.study("1.2.1", "PID-1", called="FIONA")
    site.run()
    site.person_requests("1.2.1", HEART, "A")
    site.run()
    site.study("1.2.2", "PID-2")
    site.run()
    assert site.requested("1.2.2") == "b"


def test_identity_check_tells_of_an_id_of_another_patient_that_was_requested_before(site: AutoidSite) -> None:
    for number in (1, 2):
        site.study(f"1.2.{number}", f"PID-{number}", called="FIONA")
        site.entry(f"{number}", study=f"1.2.{number}", subject=f"H-000{number}")
    site.run()
    site.give("7", "PID-9", "H-0001")
    site.give("8", "PID-2", "H-0002")
    site.study("1.2.3", "PID-3")
    site.run()
    assert [(each.kind, each.studies) for each in look_through(site).findings] == [(SHARED, ("1.2.1",))]


@pytest.mark.parametrize("earlier", [False, True])
@pytest.mark.parametrize("fate", ["sent", "may have been sent", "sent after all"])
def test_an_id_stays_its_patient_s_after_it_went_out_with_a_study_that_is_another_s(
    site: AutoidSite, *, earlier: bool, fate: str
) -> None:
    """The patient's next study was held as another's, for good."""
    if earlier:
        site.study("1.2.1", "PID-1")
        site.run()
    site.study("1.2.2", "PID-1 ")
    site.run()
    value = site.id_of("PID-1")
    if fate == "sent":
        site.sender_sends("1.2.2", 1)
        site.run()
    at_once = fate == "sent after all"
    site.study("1.2.2", "PID-3", called="ELSEWHERE")
    site.run(after=0 if at_once else 600)
    if at_once:
        assert site.states("1.2.2") == ["withdrawn"]
        site.sender_sends("1.2.2", 1)
    site.run_after_a_while()
    for study, patient in (("1.2.5", "PID-1"), ("1.2.6", "PID-3"), ("1.2.7", "PID-1"), ("1.2.8", "PID-8")):
        site.study(study, patient, called="HEART" if patient != "PID-8" else "FIONA")
    site.entry("8", study="1.2.8", subject=value)
    site.run()
    assert (site.requested("1.2.5"), site.requested("1.2.7")) == (value, value)
    assert site.requested("1.2.6") == site.id_of("PID-3") != value
    assert names(site, "1.2.8") == []
    site.assert_sound()
