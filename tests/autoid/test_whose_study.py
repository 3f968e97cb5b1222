"""An ID is for the patient of all of a study's series that are on disk, and follows a correction until it was sent."""

import pytest

from tests.autoid.sites import NO_PATIENT_ID, AutoidSite
from tests.flow.harness import HEART, Asked, VisibleSteps

STUDY = "1.2.1"
FIRST, STRAY = f"{STUDY}.1", f"{STUDY}.2"
KIND = "two patients in one study"


def names(site: AutoidSite) -> list[str]:
    """The pseudonyms of the rows that can be sent."""
    return sorted(request.name for request in site.transfers(STUDY).values() if request.name)


def remove(site: AutoidSite, series: str) -> None:
    """A series' file is removed, and its folder comes to rest."""
    site.receiver.remove(site.receiver.raw / STUDY / f"{series}.json")
    site.clock.advance(60)


def test_a_corrected_patient_id_gives_the_study_the_right_patient_s_id(site: AutoidSite) -> None:
    """The study used to keep the first patient's, and the second patient's next study got another one."""
    site.study(STUDY, "PID-1")
    site.run()
    site.study(STUDY, "PID-2")
    site.study("1.2.2", "PID-2")
    site.run(after=0)
    assert names(site) == [site.id_of("PID-2")] == [site.requested("1.2.2")]
    assert site.id_of("PID-1") != site.id_of("PID-2")
    assert site.attention() == {"study changed": 1}


@pytest.mark.parametrize("sent", [True, False])
def test_after_it_was_sent_it_is_shown(site: AutoidSite, sent: bool) -> None:  # noqa: FBT001 - a table's column
    site.study(STUDY, "PID-1")
    site.run()
    if sent:
        site.sender_sends(STUDY, 1)
    site.study(STUDY, "PID-2")
    site.run(after=600)
    assert (names(site), site.states(STUDY)) == ([], ["closed"])
    also = "retracted after it was sent" if sent else "may have been sent"
    assert site.attention() == {"study changed": 1, also: 1}
    site.run()
    assert names(site) == []


@pytest.mark.parametrize("what", [{"patient_id": "PID-2"}, {"called": "ELSEWHERE"}])
@pytest.mark.parametrize("sent", [True, False])
def test_what_is_corrected_back_after_it_may_have_been_sent_is_asked_for_again_under_its_id(
    site: AutoidSite, what: dict[str, str], *, sent: bool
) -> None:
    """Nothing was ever asked for again, and once the notices were acknowledged nothing told."""
    site.study(STUDY, "PID-1")
    site.run()
    if sent:
        site.sender_sends(STUDY, 1)
        site.run()
    site.study(STUDY, **what)
    site.run(after=600)
    assert names(site) == []
    site.study(STUDY, "PID-1")
    site.run()
    site.run()
    assert (names(site), len(site.used())) == ([site.id_of("PID-1")], 1)
    site.assert_sound()


@pytest.mark.parametrize("again", ["", "PID-1"])
def test_the_same_patient_keeps_the_id(site: AutoidSite, again: str) -> None:
    site.study(STUDY, "PID-1")
    site.run()
    site.study(STUDY, again, PatientName="Doe^Janet")
    site.run(after=600)
    assert (names(site), site.attention()) == ([site.id_of("PID-1")], {})


def test_a_study_that_was_addressed_to_another_project_loses_its_id(site: AutoidSite) -> None:
    site.study(STUDY, "PID-1")
    site.run()
    site.study(STUDY, "PID-1", called="ELSEWHERE")
    site.run(after=0)
    assert (names(site), site.attention()) == ([], {"study changed": 1})


def test_the_patient_is_that_of_all_series(site: AutoidSite) -> None:
    site.study(STUDY, "", SeriesDescription="localizer")
    site.run()
    assert site.held() == {STUDY: NO_PATIENT_ID}
    site.series(STUDY, STRAY, called="HEART", PatientID="PID-1")
    site.run()
    assert (site.held(), names(site)) == ({}, [site.id_of("PID-1")])


def test_a_study_of_two_patients_gets_no_id(site: AutoidSite) -> None:
    site.study(STUDY, "PID-1")
    site.series(STUDY, STRAY, called="HEART", PatientID="PID-2")
    site.run()
    assert (names(site), site.used(), site.autoid_rows()) == ([], {}, {})
    assert site.attention() == {KIND: 1}
    assert site.query("select study, reason from audit.held_study where open") == [(STUDY, KIND)]
    calls = site.asked()
    site.run()
    assert site.asked() <= calls
    remove(site, STRAY)
    site.run()
    assert (names(site), site.attention(), site.held()) == ([site.id_of("PID-1")], {}, {})


def test_a_late_stray_series_takes_the_id_away_while_it_is_there(site: AutoidSite) -> None:
    """The leading series' patient used to get the ID for all of them."""
    site.study(STUDY, "PID-1")
    site.run()
    site.series(STUDY, STRAY, called="HEART", PatientID="PID-2")
    site.run(after=0)
    assert (names(site), site.attention()) == ([], {KIND: 1})
    site.series(STUDY, STRAY, PatientID="PID-1")
    site.run()
    assert (names(site), site.attention(), site.held()) == ([site.id_of("PID-1")], {}, {})


def test_after_it_was_sent_the_id_comes_back_for_the_series_that_follow(site: AutoidSite) -> None:
    site.study(STUDY, "PID-1")
    site.run()
    value = site.id_of("PID-1")
    site.sender_sends(STUDY, 1)
    site.series(STUDY, STRAY, called="HEART", PatientID="PID-2")
    site.run()
    assert site.transfers(STUDY) == {1: Asked(HEART, "", sent=True)}
    remove(site, STRAY)
    site.run()
    assert site.transfers(STUDY) == {1: Asked(HEART, "", sent=True), 2: Asked(HEART, value)}


def test_a_coupling_entry_with_the_study_uid_counts(site: AutoidSite) -> None:
    site.study(STUDY, "PID-1")
    site.series(STUDY, STRAY, called="HEART", PatientID="PID-2")
    site.entry(study=STUDY, subject="H-9001")
    site.run()
    assert (names(site), site.held(), site.attention()) == (["H-9001"], {}, {KIND: 1})


def test_wherever_a_run_is_killed_the_right_patient_gets_the_id(site: AutoidSite) -> None:
    site.study(STUDY, "PID-1")
    site.run()
    site.study(STUDY, "PID-2")
    step = 1
    while site.run_killed_at(step, after=0, steps=VisibleSteps):
        step += 1
    site.run(after=0)
    assert names(site) == [site.id_of("PID-2")]
    assert len(site.autoid_rows()) == 2
    site.assert_sound()
