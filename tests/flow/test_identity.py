"""One pseudonym, one patient; one patient, one pseudonym, in each project, whoever asks."""

from typing import Any, Literal

import pytest

from processors.configuration.settings import IdentitySection
from processors.operations.metrics import registry
from processors.operations.status import status
from processors.run import Report
from tests.flow.harness import BRAIN, HEART, Site
from tests.operations.operator import amend_by_hand, forget_patient, join_patients, look_through

ONE, OTHER, THIRD = "1.2.1", "1.2.2", "1.2.3"
SHARED = "two patients, one pseudonym"
SPLIT = "one patient, two pseudonyms"


def names(site: Site, study: str) -> list[str]:
    """The pseudonyms of the study's rows that can be sent."""
    return sorted(request.name for request in site.transfers(study).values() if request.name)


def couple(site: Site, study: str, subject: str = "H-001", **entry: str) -> None:
    site.entry(study, study=study, subject=subject, **entry)


def arrive(site: Site, study: str, patient_id: str, **fields: Any) -> None:
    site.series(study, PatientID=patient_id, **{"PatientName": "Doe^Jane", **fields})


def held(site: Site) -> list[tuple[str, str, str]]:
    """What is held: study, reason and the other studies."""
    rows = site.query("select study, kind, array_to_string(studies, ' ') from gateway.held_request order by study")
    return [(study, kind, others) for study, kind, others in rows]


@pytest.fixture
def placed(site: Site) -> Site:
    """A study of one patient was requested; another patient's has arrived."""
    arrive(site, ONE, "PID-1")
    couple(site, ONE)
    site.run()
    assert names(site, ONE) == ["H-001"]
    arrive(site, OTHER, "PID-2")
    return site


# -- one pseudonym, one patient ------------------------------------------------------------------------------


@pytest.mark.parametrize("subject", ["H-001", "h-001", "Ｈ-００１", "H-\u200b001"])
def test_a_second_patient_does_not_get_it(placed: Site, subject: str) -> None:
    couple(placed, OTHER, subject)
    report = placed.run()
    assert (names(placed, OTHER), names(placed, ONE)) == ([], ["H-001"])
    assert held(placed) == [(OTHER, SHARED, ONE)]
    assert (report.attention, report.needs_attention) == ({SHARED: 1}, True)
    placed.assert_sound()


def test_the_same_every_run_is_recorded_once(placed: Site) -> None:
    couple(placed, OTHER)
    placed.run()
    head = placed.head()
    placed.run()
    placed.run()
    assert placed.head() == head


def test_in_another_project_it_is_another_pseudonym(placed: Site) -> None:
    couple(placed, OTHER, project=BRAIN)
    assert (placed.run().attention, names(placed, OTHER)) == ({}, ["H-001"])


def test_another_study_of_the_patient_gets_it(placed: Site) -> None:
    arrive(placed, THIRD, "PID-1 \x00")
    couple(placed, THIRD)
    assert (placed.run().attention, names(placed, THIRD)) == ({}, ["H-001"])
    placed.assert_sound()


def test_both_new_in_one_run_are_held(site: Site) -> None:
    for study, patient in ((ONE, "PID-1"), (OTHER, "PID-2")):
        arrive(site, study, patient)
        couple(site, study)
    site.run()
    assert held(site) == [(ONE, SHARED, OTHER), (OTHER, SHARED, ONE)]
    head = site.head()
    site.run()
    assert (site.head(), names(site, ONE), names(site, OTHER)) == (head, [], [])
    couple(site, OTHER, "H-002")
    site.run()
    assert (names(site, ONE), names(site, OTHER), site.attention()) == (["H-001"], ["H-002"], {})


def test_both_new_in_one_run_are_held_in_different_portions(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processors.routing.decide.PORTION", 1)
    for study, patient in ((ONE, "PID-1"), (OTHER, "PID-2")):
        arrive(site, study, patient)
        couple(site, study)
    site.run()
    assert held(site) == [(ONE, SHARED, OTHER), (OTHER, SHARED, ONE)]
    head = site.head()
    site.run()
    assert (site.head(), names(site, ONE), names(site, OTHER)) == (head, [], [])
    site.assert_sound()


def test_one_that_was_sent_keeps_it_for_ever(placed: Site) -> None:
    placed.sender_sends(ONE, 1)
    placed.run()
    couple(placed, ONE, "H-002")
    placed.run()
    couple(placed, OTHER, "H-001")
    placed.run()
    assert held(placed) == [(OTHER, SHARED, ONE)]


def test_one_that_ended_unsent_is_free(placed: Site) -> None:
    couple(placed, ONE, "H-002")
    placed.run()
    couple(placed, OTHER, "H-001")
    assert (placed.run().attention, names(placed, OTHER)) == ({}, ["H-001"])


def test_pseudonyms_that_change_places_do_so_after_both_have_ended(site: Site) -> None:
    for study, patient, subject in ((ONE, "PID-1", "H-001"), (OTHER, "PID-2", "H-002")):
        arrive(site, study, patient)
        couple(site, study, subject)
    site.run()
    couple(site, ONE, "H-002")
    couple(site, OTHER, "H-001")
    site.run()
    assert (names(site, ONE), names(site, OTHER)) == ([], [])
    site.run()
    assert (names(site, ONE), names(site, OTHER)) == (["H-002"], ["H-001"])
    assert site.attention() == {}


def test_people_scanned_under_the_pseudonym_are_not_compared(placed: Site) -> None:
    placed.naming("H-[0-9]{3}")
    arrive(placed, THIRD, "H-001")
    couple(placed, THIRD)
    assert (placed.run().attention, names(placed, THIRD)) == ({}, ["H-001"])


def test_phantoms_that_a_rule_sends_under_their_name_are_not_compared(site: Site) -> None:
    site.rule(patient_name="QA")
    for number, study in enumerate((ONE, OTHER, THIRD)):
        arrive(site, study, f"2026-{number}", PatientName="QA")
    assert (site.run().attention, names(site, THIRD)) == ({}, ["QA"])


def test_studies_without_a_patient_id_are_not_compared(placed: Site) -> None:
    arrive(placed, THIRD, "")
    couple(placed, THIRD)
    assert (placed.run().attention, names(placed, THIRD)) == ({}, ["H-001"])


def test_a_patient_who_was_forgotten_is_not_compared(placed: Site) -> None:
    forget_patient(placed, "PID-1")
    couple(placed, OTHER)
    assert names(placed, OTHER) == []
    placed.run()
    assert (names(placed, OTHER), held(placed)) == (["H-001"], [])
    arrive(placed, THIRD, "PID-3")
    couple(placed, THIRD)
    placed.run()
    assert held(placed) == [(THIRD, SHARED, OTHER)]
    placed.assert_sound()


def test_a_corrected_patient_id_is_held_before_it_is_sent(site: Site) -> None:
    for study in (ONE, OTHER):
        arrive(site, study, "PID-1")
        couple(site, study)
    site.run()
    assert site.attention() == {}
    arrive(site, OTHER, "PID-2", AccessionNumber="A")
    site.run()
    assert (names(site, ONE), names(site, OTHER)) == (["H-001"], [])
    assert held(site) == [(OTHER, SHARED, ONE)]
    site.assert_sound()


def test_a_corrected_patient_id_lets_go_on(placed: Site) -> None:
    couple(placed, OTHER)
    placed.run()
    arrive(placed, OTHER, "PID-1")
    placed.run()
    assert (names(placed, OTHER), placed.attention()) == (["H-001"], {})


def test_what_was_sent_before_its_patient_id_was_corrected_is_shown(site: Site) -> None:
    for study in (ONE, OTHER):
        arrive(site, study, "PID-1")
        couple(site, study)
    site.run()
    site.sender_sends(OTHER, 1)
    site.run()
    arrive(site, OTHER, "PID-2")
    site.run()
    assert site.attention()[SHARED] == 1
    assert (SHARED, OTHER) in site.notices()


# -- whoever asks --------------------------------------------------------------------------------------------


def test_a_person_s_row_occupies_it(placed: Site) -> None:
    couple(placed, ONE, "H-002")
    placed.run()
    placed.person_requests(ONE, HEART, "H-777")
    placed.run()
    couple(placed, OTHER, "H-777")
    placed.run()
    assert held(placed) == [(OTHER, SHARED, ONE)]


def test_a_person_s_row_that_gives_it_to_a_second_patient_is_shown(placed: Site) -> None:
    placed.run()
    placed.person_requests(OTHER, HEART, "H-001")
    placed.run()
    assert placed.attention() == {SHARED: 1}
    assert placed.notices() == [(SHARED, OTHER)]
    placed.run()
    assert placed.attention() == {SHARED: 1}
    placed.assert_sound()


def test_an_operator_is_told_and_nothing_is_requested(placed: Site) -> None:
    couple(placed, OTHER, "H-002")
    placed.run()
    amend_by_hand(placed, OTHER, to="H-001")
    assert (names(placed, OTHER), held(placed)) == ([], [(OTHER, SHARED, ONE)])
    placed.run()
    assert (names(placed, OTHER), held(placed)) == ([], [(OTHER, SHARED, ONE)])
    join_patients(placed, OTHER)
    placed.run()
    assert (names(placed, OTHER), placed.attention()) == (["H-001"], {})


# -- same-patient ---------------------------------------------------------------------------------------------


def test_an_operator_says_that_they_are_one_and_it_goes_on(placed: Site) -> None:
    couple(placed, OTHER)
    placed.run()
    assert join_patients(placed, OTHER) == [ONE]
    placed.run()
    assert (names(placed, OTHER), placed.attention(), held(placed)) == (["H-001"], {}, [])
    arrive(placed, THIRD, "PID-2")
    couple(placed, THIRD)
    assert (placed.run().attention, names(placed, THIRD)) == ({}, ["H-001"])
    placed.assert_sound()


def test_both_that_were_held_go_on(site: Site) -> None:
    for study, patient in ((ONE, "PID-1"), (OTHER, "PID-2")):
        arrive(site, study, patient)
        couple(site, study)
    site.run()
    join_patients(site, ONE)
    site.run()
    assert (names(site, ONE), names(site, OTHER), site.attention()) == (["H-001"], ["H-001"], {})
    site.assert_sound()


def test_in_another_project_they_stay_two(placed: Site) -> None:
    couple(placed, OTHER)
    placed.run()
    join_patients(placed, OTHER)
    placed.run()
    placed.entry("7", study=ONE, project=BRAIN, subject="B-1")
    placed.entry("8", study=OTHER, project=BRAIN, subject="B-1")
    placed.run()
    assert [(study, kind) for study, kind, _ in held(placed)] == [(ONE, SHARED), (OTHER, SHARED)]


# -- one patient, one pseudonym --------------------------------------------------------------------------------


def test_a_second_pseudonym_is_placed_and_shown(placed: Site) -> None:
    arrive(placed, THIRD, "PID-1")
    couple(placed, THIRD, "H-002")
    report = placed.run()
    assert (names(placed, THIRD), report.attention) == (["H-002"], {SPLIT: 1})
    assert placed.notices() == [(SPLIT, THIRD)]


def test_what_a_person_asks_for_another_event_of_the_study_is_a_second_one(placed: Site) -> None:
    placed.person_requests(OTHER, HEART, "H-777", event="one")
    placed.run()
    couple(placed, OTHER, "H-002", event="two")
    assert (placed.run().attention, names(placed, OTHER)) == ({SPLIT: 1}, ["H-002", "H-777"])


def test_what_a_person_asks_for_the_same_event_contests_it_and_is_no_second_one(placed: Site) -> None:
    placed.person_requests(OTHER, HEART, "H-777", event="two")
    placed.run()
    couple(placed, OTHER, "H-002", event="two")
    assert placed.run().attention == {"contested by a person": 1}


def test_a_second_pseudonym_is_held_where_that_is_configured(placed: Site) -> None:
    placed.identity = IdentitySection(split="hold")
    arrive(placed, THIRD, "PID-1\x00")
    couple(placed, THIRD, "H-002")
    placed.run()
    assert (names(placed, THIRD), held(placed)) == ([], [(THIRD, SPLIT, ONE)])
    couple(placed, THIRD, "H-001")
    placed.run()
    assert (names(placed, THIRD), placed.attention()) == (["H-001"], {})


def test_a_corrected_pseudonym_is_no_second_one(placed: Site) -> None:
    couple(placed, ONE, "H-002")
    assert (placed.run().attention, names(placed, ONE)) == ({}, ["H-002"])


# -- what is there already ---------------------------------------------------------------------------------------


def test_identity_check_tells_of_it_without_values(placed: Site) -> None:
    placed.run()
    placed.person_requests(OTHER, HEART, "H-001")
    placed.person_requests(OTHER, HEART, "27087824522", event="two")
    placed.run()
    report = look_through(placed)
    assert report.counts() == {HEART: {SHARED: 1, SPLIT: 1, "pseudonym does not fit": 1}}
    assert report.requests == 3


def test_identity_check_tells_of_what_was_requested_for_a_project_that_is_closed_now(placed: Site) -> None:
    placed.list_project(active="0")
    placed.run()
    assert look_through(placed).counts() == {HEART: {"project is closed": 1}}
    placed.sender_sends(ONE, 1)
    placed.run(after=3_600)
    assert look_through(placed).counts() == {}


def test_nothing_that_identifies_is_stored_in_the_clear(placed: Site) -> None:
    couple(placed, OTHER, "SECRET-9")
    placed.run()
    assert not {"PID-1", "PID-2", "H-001", "SECRET-9"} & set(placed.everything_stored().split("\n"))
    for secret in ("SECRET-9", "PID-2"):
        assert secret not in placed.everything_stored()


# -- what becomes known later --------------------------------------------------------------------------------


@pytest.fixture
def nameless(site: Site) -> Site:
    """A study without a PatientID was requested."""
    arrive(site, ONE, "")
    couple(site, ONE)
    site.run()
    assert names(site, ONE) == ["H-001"]
    return site


def test_a_patient_id_that_is_learned_later_is_compared_from_then_on(nameless: Site) -> None:
    arrive(nameless, ONE, "PID-1")
    nameless.run()
    arrive(nameless, OTHER, "PID-2")
    couple(nameless, OTHER)
    nameless.run()
    assert held(nameless) == [(OTHER, SHARED, ONE)]
    nameless.assert_sound()


def test_a_patient_id_that_comes_with_another_series_ends_what_it_contradicts(nameless: Site) -> None:
    arrive(nameless, OTHER, "PID-2")
    couple(nameless, OTHER)
    nameless.run()
    assert (names(nameless, OTHER), nameless.attention()) == (["H-001"], {})
    nameless.series(ONE, f"{ONE}.2", PatientID="PID-1")
    nameless.run()
    assert (names(nameless, ONE), names(nameless, OTHER)) == ([], ["H-001"])
    assert held(nameless) == [(ONE, SHARED, OTHER)]


def test_what_was_sent_before_its_patient_id_was_learned_is_shown_and_counted(nameless: Site) -> None:
    nameless.sender_sends(ONE, 1)
    arrive(nameless, OTHER, "PID-2")
    couple(nameless, OTHER)
    nameless.run()
    arrive(nameless, ONE, "PID-1")
    nameless.run()
    assert nameless.attention() == {SHARED: 1}
    assert look_through(nameless).counts() == {HEART: {SHARED: 1}}


def test_a_study_of_two_patients_shares_its_pseudonym_with_nobody(site: Site) -> None:
    for number, patient in enumerate(("PID-1", "PID-2")):
        site.series(ONE, f"{ONE}.{number}", PatientID=patient)
    couple(site, ONE)
    site.run()
    assert names(site, ONE) == ["H-001"]
    for study, patient in ((OTHER, "PID-3"), (THIRD, "PID-2")):
        arrive(site, study, patient)
        couple(site, study)
        site.run()
        assert (study, SHARED) in [(name, kind) for name, kind, _ in held(site)]


# -- whoever has it keeps it ---------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [False, True])
@pytest.mark.parametrize("together", [False, True])
def test_a_slip_does_not_keep_a_patient_from_their_own(placed: Site, *, sent: bool, together: bool) -> None:
    if sent:
        placed.sender_sends(ONE, 1)
    couple(placed, OTHER)
    if not together:
        placed.run()
    arrive(placed, THIRD, "PID-1")
    couple(placed, THIRD)
    placed.run()
    assert (names(placed, THIRD), names(placed, OTHER)) == (["H-001"], [])
    assert [(study, kind) for study, kind, _ in held(placed)] == [(OTHER, SHARED)]
    placed.assert_sound()


NEXT = {"1.2.7": "PID-1", "1.2.8": "PID-3", "1.2.9": "PID-9"}


def who_gets_it_next(site: Site) -> list[str]:
    """Those patients of whom another study is requested under the pseudonym."""
    for study, patient in NEXT.items():
        arrive(site, study, patient)
        couple(site, study)
        site.run()
    return [patient for study, patient in NEXT.items() if names(site, study)]


@pytest.mark.parametrize("by_rule", [False, True])
@pytest.mark.parametrize("fate", ["sent", "sent and ended", "may have been sent"])
@pytest.mark.parametrize(
    ("own", "first", "gets_it"),
    [
        ("before", "PID-1", "PID-1"),
        ("after", "PID-1", "PID-1"),
        ("never", "PID-1", "PID-3"),
        ("before", "", "PID-1"),
        ("after", "", None),
        ("never", "", "PID-3"),
    ],
)
def test_what_went_out_as_a_patient_s_and_is_another_s_does_not_take_the_pseudonym(
    site: Site, *, own: str, first: str, gets_it: str | None, fate: str, by_rule: bool
) -> None:
    """The patient, who got the pseudonym for another study before or after, got it no more, and for ever."""
    name = "H-001" if by_rule else "Doe^Jane"
    site.naming("H-[0-9]{3}")
    site.rule(patient_name="H-001")
    arrive(site, ONE, "PID-1 ")
    if own == "before":
        couple(site, ONE)
        site.run()
    arrive(site, OTHER, first, PatientName=name)
    site.run()
    couple(site, OTHER)
    site.run()
    if own == "after":
        couple(site, ONE)
        site.run()
    if fate.startswith("sent"):
        site.sender_sends(OTHER, 1)
        site.run()
    arrive(site, OTHER, "PID-3", PatientName=name, AccessionNumber="A")
    site.run(after=600)
    if fate != "sent":
        couple(site, OTHER, "H-009")
        site.run()
        site.run()
    assert who_gets_it_next(site) == [each for each in [gets_it] if each]
    head = site.head()
    site.run()
    assert site.head() == head
    site.assert_sound()


@pytest.mark.parametrize("own", ["an entry's", "a person's", "a person's, sent", "none"])
def test_so_it_is_where_people_asked_for_it(site: Site, own: str) -> None:
    """The patient was held for good, whatever of theirs had the pseudonym."""
    arrive(site, ONE, "PID-1")
    arrive(site, OTHER, "PID-1")
    site.person_requests(OTHER, HEART, "H-001")
    if own == "an entry's":
        couple(site, ONE)
    elif own != "none":
        site.person_requests(ONE, HEART, "H-001")
    site.run()
    for study in (OTHER, ONE) if own == "a person's, sent" else (OTHER,):
        site.sender_sends(study, 1)
    site.run()
    arrive(site, OTHER, "PID-3", AccessionNumber="A")
    site.run()
    assert site.attention()[SHARED] == (own != "none")
    assert who_gets_it_next(site) == ["PID-3" if own == "none" else "PID-1"]
    head = site.head()
    site.run()
    assert site.head() == head
    site.assert_sound()


@pytest.mark.parametrize("sent", [True, False])
def test_what_a_person_asks_for_is_whose_the_study_was_when_it_went_out(site: Site, *, sent: bool) -> None:
    """Both patients have it: what went out after the correction, or may still go, is not the first one's."""
    for study in (ONE, OTHER):
        arrive(site, study, "PID-1")
        site.person_requests(study, HEART, "H-001")
    site.run()
    arrive(site, OTHER, "PID-3", AccessionNumber="A")
    site.run()
    if sent:
        site.sender_sends(OTHER, 1)
        site.run()
    assert who_gets_it_next(site) == []
    site.assert_sound()


def test_a_person_s_row_that_gives_it_back_to_whose_it_was_is_shown(site: Site) -> None:
    """Nothing but the study that is another's had it."""
    for study in (ONE, THIRD, OTHER):
        arrive(site, study, "PID-1")
    site.person_requests(OTHER, HEART, "H-001")
    site.run()
    site.sender_sends(OTHER, 1)
    site.run()
    arrive(site, OTHER, "PID-3", AccessionNumber="A")
    site.run()
    assert site.attention()[SHARED] == 0
    for study in (ONE, THIRD):
        site.person_requests(study, HEART, "H-001")
    site.run()
    assert site.notices().count((SHARED, ONE)) == site.notices().count((SHARED, THIRD)) == 1


def test_forgetting_one_of_two_requests_nothing_of_theirs(site: Site) -> None:
    for study, patient in ((ONE, "PID-1"), (OTHER, "PID-2")):
        arrive(site, study, patient)
        couple(site, study)
    site.run()
    forget_patient(site, "PID-2")
    for _ in range(3):
        site.run()
        assert (names(site, ONE), names(site, OTHER), held(site)) == (["H-001"], [], [])
    couple(site, OTHER, "H-002")
    site.run()
    assert names(site, OTHER) == ["H-002"]


@pytest.fixture
def routed(site: Site) -> Site:
    """A rule has requested a study under its PatientName."""
    site.naming("H-[0-9]{3}")
    site.rule(patient_name="H-001")
    arrive(site, ONE, "PID-1", PatientName="H-001")
    site.run()
    assert names(site, ONE) == ["H-001"]
    return site


def test_an_entry_that_asks_for_what_a_rule_requested_counts(routed: Site) -> None:
    couple(routed, ONE)
    routed.run()
    arrive(routed, OTHER, "PID-2")
    couple(routed, OTHER)
    routed.run()
    assert (held(routed), names(routed, ONE)) == ([(OTHER, SHARED, ONE)], ["H-001"])
    head = routed.head()
    routed.run()
    assert routed.head() == head
    routed.assert_sound()


def test_an_entry_that_asks_for_what_a_rule_requested_does_not_take_it_from_another(routed: Site) -> None:
    arrive(routed, OTHER, "PID-2")
    couple(routed, OTHER)
    routed.run()
    assert names(routed, OTHER) == ["H-001"]
    couple(routed, ONE)
    for _ in range(2):
        routed.run()
        assert (names(routed, ONE), names(routed, OTHER)) == ([], ["H-001"])
        assert held(routed) == [(ONE, SHARED, OTHER)]


@pytest.fixture
def ended(placed: Site) -> Site:
    """What had the pseudonym was given up unsent, and another patient got it."""
    placed.clock.advance(-59)
    amend_by_hand(placed, ONE)
    couple(placed, OTHER)
    placed.run()
    assert names(placed, OTHER) == ["H-001"]
    return placed


def test_what_was_sent_after_all_has_its_pseudonym_again(ended: Site) -> None:
    ended.sender_sends(ONE, 1)
    for _ in range(3):
        ended.run()
    assert (names(ended, OTHER), held(ended)) == ([], [(OTHER, SHARED, ONE)])
    ended.assert_sound()


def test_where_both_were_sent_it_is_shown(ended: Site) -> None:
    ended.sender_sends(OTHER, 1)
    ended.run()
    ended.sender_sends(ONE, 1)
    for _ in range(3):
        ended.run()
    assert ended.attention()[SHARED] == 1
    assert look_through(ended).counts() == {HEART: {SHARED: 1}}


@pytest.mark.parametrize("split", ["show", "hold"])
def test_only_what_is_held_is_counted_as_held_in_the_metrics(site: Site, split: Literal["show", "hold"]) -> None:
    """A second pseudonym that was placed and shown was counted, too."""
    site.identity = IdentitySection(split=split)
    for study, name in (("1.2.3", "H-001"), ("1.2.4", "H-002")):
        site.series(study, PatientID="PID-1")
        site.entry(study, study=study, subject=name)
        site.run()
    assert site.attention() == {"one patient, two pseudonyms": 1}
    told = registry(status(site.own_gateway()), Report())
    labels = {"site": "main", "reason": "one patient, two pseudonyms"}
    assert told.get_sample_value("fiona_ledger_held", labels) == (1 if split == "hold" else None)
    of_kind = {"site": "main", "kind": "one patient, two pseudonyms"}
    assert told.get_sample_value("fiona_ledger_attention", of_kind) == 1
