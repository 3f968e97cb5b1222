"""A pseudonym must fit its project and tell nothing of whose it is; otherwise the request is held and shown."""

import pytest

from processors.configuration.settings import IdentitySection
from processors.events.holds import HoldKind
from processors.explain.sentences import SETTLED_BY
from processors.operations.replay import Scope
from tests.flow.harness import BRAIN, HEART, Asked, Site
from tests.operations.operator import amend_by_hand, rehearse, replay_all

STUDY = "1.2.3"
KIND: HoldKind = "pseudonym does not fit"
PATTERN = "it is not of the project's naming pattern (project_patient_naming)"
NUMBER = "it is a national identity number"
PATIENT_ID = "it is the study's own PatientID"
PART = "it shares a part of three letters or more with the PatientName"
A_NUMBER = "27087824522"
"""Of a form that Norway gives to people; nobody's."""


def names(site: Site) -> list[str]:
    """The pseudonyms of the rows that can be sent."""
    return sorted(request.name for request in site.transfers(STUDY).values() if request.name)


def coupled(site: Site, subject: str, **entry: str) -> None:
    site.entry(study=STUDY, subject=subject, **entry)


@pytest.fixture
def arrived(site: Site) -> Site:
    """A study in a project whose naming pattern is known."""
    site.naming("H-[0-9]{3}")
    site.series(STUDY, PatientID="4711", PatientName="Nordmann^Kari Ann")
    return site


# -- the naming pattern ----------------------------------------------------------------------------------


def test_one_of_the_pattern_is_placed(arrived: Site) -> None:
    coupled(arrived, "H-001")
    report = arrived.run()
    assert (names(arrived), report.attention) == (["H-001"], {})


@pytest.mark.parametrize("subject", ["H-01", "H-0011", "h-001", "XH-001", "H-001 x"])
def test_one_that_is_not_of_the_whole_pattern_is_held_and_shown(arrived: Site, subject: str) -> None:
    coupled(arrived, subject)
    report = arrived.run()
    assert (names(arrived), report.attention, report.needs_attention) == ([], {KIND: 1}, True)
    assert report.decided is not None
    assert (report.decided.requested, report.decided.held) == (0, 1)
    ((details, study, project),) = arrived.query("select details, study, project from audit.attention")
    assert (details, study, project) == (PATTERN, STUDY, HEART)
    ((open_, details),) = arrived.query("select open, details from audit.held")
    assert (open_, details) == (True, PATTERN)
    assert subject not in arrived.everything_stored()
    arrived.assert_sound()


def test_the_same_every_run_is_recorded_once(arrived: Site) -> None:
    coupled(arrived, "wrong")
    arrived.run()
    head = arrived.head()
    for _ in range(2):
        assert arrived.run().attention == {KIND: 1}
    assert arrived.head() == head


def test_a_rule_s_pseudonym_must_be_of_the_pattern_too(arrived: Site) -> None:
    arrived.rule(patient_id="4711")
    arrived.rule("2", patient_name="N", project=BRAIN)
    arrived.run()
    assert names(arrived) == ["Nordmann^Kari Ann"]
    assert arrived.attention()[KIND] == 1


def test_a_rule_s_pseudonym_may_be_the_patient_id_and_the_name_where_there_is_no_pattern(site: Site) -> None:
    site.series(STUDY, PatientID=A_NUMBER, PatientName="Nordmann^Kari")
    site.rule(patient_id=".*")
    site.rule("2", patient_name=".*", project=BRAIN)
    report = site.run()
    assert (len(names(site)), report.attention) == (2, {})


@pytest.mark.parametrize("pattern", ["", "H-[0-9]+", "(", "H-(?=0)[0-9]{3}"])
def test_a_pattern_that_is_blank_or_cannot_be_read_is_not_enforced(site: Site, pattern: str) -> None:
    site.naming(pattern)
    site.series(STUDY)
    coupled(site, "anything")
    assert (site.run().attention, names(site)) == ({}, ["anything"])


def test_another_project_s_pattern_says_nothing(arrived: Site) -> None:
    coupled(arrived, "B-1", project=BRAIN)
    assert (arrived.run().attention, names(arrived)) == ({}, ["B-1"])


# -- what it tells ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("subject", "wrong"),
    [
        (A_NUMBER, NUMBER),
        ("270878 24522", NUMBER),
        ("２７０８７８２４５２２", NUMBER),
        ("27087824523", None),
        ("4711", PATIENT_ID),
        ("47\u200b11", PATIENT_ID),
        ("４７１１", PATIENT_ID),
        ("47110", None),
        ("KARI-01", PART),
        ("xnordmannx", PART),
        ("P-ann", PART),
        ("K-N", None),
        ("Nord-01", None),
    ],
)
def test_from_an_entry_it_must_not_tell_whose_it_is(site: Site, subject: str, wrong: str | None) -> None:
    site.series(STUDY, PatientID="4711", PatientName="Nordmann^Kari Ann")
    coupled(site, subject)
    site.run()
    assert [row[0] for row in site.query("select details from audit.held")] == ([] if wrong is None else [wrong])
    assert len(names(site)) == (wrong is None)


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("Åsén^Zoë", "asen-1"),
        ("МИХАЙЛОВА^Анна", "анна01"),
        ("Παπαδόπουλος^Νίκος", "ΝΙΚΟΣ"),
        ("ＹＡＭＡＤＡ^ＴＡＲＯ=山田^太郎=やまだ^たろう", "taro7"),
        ("김희중^희중씨", "희중씨-1"),
        ("قباني^لنزار", "قباني"),
        ("שרון^דבורה", "דבורה2"),
    ],
)
def test_parts_of_names_are_found_in_every_script(site: Site, name: str, subject: str) -> None:
    site.series(STUDY, PatientID="4711", PatientName=name)
    coupled(site, subject)
    site.run()
    assert site.query("select details from audit.held") == [(PART,)]


def test_people_are_scanned_under_the_pseudonym(arrived: Site) -> None:
    """A PatientID and a PatientName of the naming pattern are pseudonyms themselves."""
    arrived.naming("HEART-[0-9]{3}")
    arrived.series(STUDY, PatientID="HEART-001", PatientName="HEART-001")
    coupled(arrived, "HEART-001")
    assert (arrived.run().attention, names(arrived)) == ({}, ["HEART-001"])


def test_a_national_number_is_none_where_its_country_is_not_asked_for(site: Site) -> None:
    site.identity = IdentitySection(national_numbers=("se", "dk"))
    site.series(STUDY)
    coupled(site, A_NUMBER)
    assert (site.run().attention, names(site)) == ({}, [A_NUMBER])


# -- how it goes on ---------------------------------------------------------------------------------------


def test_a_corrected_entry_is_requested(arrived: Site) -> None:
    coupled(arrived, "wrong")
    arrived.run()
    coupled(arrived, "H-001")
    report = arrived.run()
    assert (names(arrived), report.attention) == (["H-001"], {})
    assert arrived.query("select ended_how, open from audit.held") == [("released", False)]
    arrived.assert_sound()


def test_a_corrected_pattern_lets_it_go_on(arrived: Site) -> None:
    coupled(arrived, "H-0001")
    arrived.run()
    arrived.naming("H-[0-9]{4}")
    assert (arrived.run().attention, names(arrived)) == ({}, ["H-0001"])


def test_a_rule_s_request_goes_on_when_the_pattern_is_corrected_though_no_series_has_come(arrived: Site) -> None:
    arrived.rule(patient_id="4711")
    arrived.run()
    assert (names(arrived), arrived.attention()) == ([], {KIND: 1})
    arrived.naming("[0-9]{4}")
    assert (arrived.run().attention, names(arrived)) == ({}, ["4711"])


def test_a_removed_entry_is_held_no_longer(arrived: Site) -> None:
    coupled(arrived, "wrong")
    arrived.run()
    arrived.remove_entry()
    assert arrived.run().attention == {KIND: 1}, "one export is not the truth"
    assert (arrived.run().attention, names(arrived)) == ({}, [])


def test_an_entry_corrected_to_what_is_held_ends_what_it_asked_for(arrived: Site) -> None:
    """What was wrong must not be sent, whatever becomes of the correction."""
    coupled(arrived, "H-001")
    arrived.run()
    coupled(arrived, "Kari")
    report = arrived.run()
    assert (names(arrived), report.attention) == ([], {KIND: 1})
    assert arrived.states(STUDY) == ["withdrawn"]
    coupled(arrived, "H-002")
    assert (arrived.run().attention, names(arrived)) == ({}, ["H-002"])
    arrived.assert_sound()


def test_what_is_held_waits_with_its_study_while_that_is_gone(arrived: Site) -> None:
    coupled(arrived, "wrong")
    arrived.run()
    arrived.vanish(STUDY)
    assert arrived.run().attention == {KIND: 1}
    coupled(arrived, "H-001")
    assert arrived.run().attention == {KIND: 1}
    arrived.come_back(STUDY)
    assert (arrived.run().attention, names(arrived)) == ({}, ["H-001"])


def test_shown_it_is_placed_and_told_until_somebody_has_seen_it(arrived: Site) -> None:
    arrived.identity = IdentitySection(naming="show")
    coupled(arrived, "wrong")
    assert (arrived.run().attention, names(arrived)) == ({KIND: 1}, ["wrong"])
    assert arrived.notices() == [(KIND, STUDY)]
    assert arrived.run().attention == {KIND: 1}


def test_switched_off_it_is_placed_without_a_word(arrived: Site) -> None:
    arrived.identity = IdentitySection(naming="off")
    coupled(arrived, A_NUMBER)
    assert (arrived.run().attention, names(arrived)) == ({}, [A_NUMBER])


def test_one_that_stands_already_is_left_alone(site: Site) -> None:
    """A new pattern is for new requests."""
    site.series(STUDY)
    coupled(site, "P-1")
    site.run()
    site.naming("H-[0-9]{3}")
    site.grow(STUDY)
    assert (site.run().attention, site.transfers(STUDY)) == ({}, {1: Asked(HEART, "P-1")})


def test_an_operator_gives_up_what_is_held(arrived: Site) -> None:
    coupled(arrived, "wrong")
    arrived.run()
    assert amend_by_hand(arrived, STUDY) == []
    assert arrived.attention() == {}
    assert (arrived.run().attention, names(arrived)) == ({}, [])
    coupled(arrived, "H-001")
    assert (arrived.run().attention, names(arrived)) == ({}, ["H-001"])


def test_a_replay_holds_it_too(arrived: Site) -> None:
    arrived.run()
    arrived.rule(patient_id="4711")
    report = replay_all(arrived, Scope(project=HEART)).report
    assert report.decided is not None
    assert (report.decided.requested, report.decided.held, names(arrived)) == (0, 1, [])
    assert arrived.attention() == {KIND: 1}


def test_a_dry_run_tells_what_it_would_hold(arrived: Site) -> None:
    coupled(arrived, "wrong")
    (change,) = rehearse(arrived)
    assert (change.study, change.project, change.change) == (STUDY, HEART, "hold")
    assert change.why == f"{KIND}: {PATTERN}. {SETTLED_BY[KIND]}"
