"""A project must be open: what is asked for one that is closed, or misspelt, is held, and goes on afterwards."""

from datetime import date

import pytest

from processors.demo.simulator import Fault
from processors.errors import ServiceError
from processors.explain.sentences import SETTLED_BY
from processors.operations.replay import Scope
from processors.operations.status import status
from processors.routing.projects import Approval, misspelt
from tests.flow.harness import BRAIN, HEART, Asked, Site
from tests.operations.operator import gateway_of, rehearse, replay_all

STUDY = "1.2.3"
CLOSED = "project is closed"
UNKNOWN = "unknown project"
DAY = 24 * 60 * 60
"""The tests' clock begins on 2026-03-02."""


def reasons(site: Site) -> list[str]:
    return [row[0] for row in site.query("select details from gateway.held_request order by study")]


@pytest.fixture
def arrived(site: Site) -> Site:
    """A study that a coupling entry asks for."""
    site.series(STUDY, AccessionNumber="A-1")
    site.entry(accession="A-1")
    return site


@pytest.mark.parametrize(
    "says",
    [
        {},
        {"active": "1"},
        {"starts": "2026-03-02", "ends": "2026-03-02"},
        {"active": "1", "starts": "2020-01-01"},
        {"ends": "2026-03-03"},
    ],
    ids=str,
)
def test_a_project_is_open_unless_the_list_says_otherwise(arrived: Site, says: dict[str, str]) -> None:
    arrived.list_project(**says)

    assert arrived.run().attention == {}
    assert arrived.transfers(STUDY) == {1: Asked(HEART, "H-001")}


@pytest.mark.parametrize(
    ("says", "why"),
    [
        ({"active": "0"}, "project_active is 0"),
        ({"active": "1", "ends": "2026-03-01"}, "its approval ended on 2026-03-01 (project_rec_end_date)"),
        ({"starts": "2026-03-03"}, "its approval begins on 2026-03-03 (project_rec_start_date)"),
    ],
    ids=["not active", "ended", "not begun"],
)
def test_what_is_asked_for_a_closed_project_is_held_and_shown(arrived: Site, says: dict[str, str], why: str) -> None:
    arrived.list_project(**says)
    arrived.series("1.2.4", PatientID="RULE-1")
    arrived.rule(patient_id="RULE-1")

    assert arrived.run().attention == {CLOSED: 2}
    assert arrived.transfers(STUDY) == arrived.transfers("1.2.4") == {}
    assert reasons(arrived) == [why, why]
    head = arrived.head()
    arrived.run()
    assert arrived.head() == head
    arrived.assert_sound()


def test_a_list_without_these_fields_says_nothing(arrived: Site) -> None:
    for field in ("project_active", "project_rec_start_date", "project_rec_end_date", "project_end_type"):
        arrived.simulator.projects["projects"].remove_field(field)
    arrived.simulator.projects["projects"].put([{"record_id": "1", "project_name": HEART}])

    assert arrived.run().attention == {}


def test_missing_data_codes_say_nothing(arrived: Site) -> None:
    arrived.simulator.projects["projects"].set_missing_data_codes("UNK, Unknown")
    arrived.list_project(active="UNK", ends="UNK")

    assert arrived.run().attention == {}


def test_a_date_that_nobody_can_read_closes_a_project(arrived: Site) -> None:
    """A server may have the field without its validation."""
    arrived.list_project()
    arrived.simulator.projects["projects"].record("1").base["project_rec_end_date"] = "end of 2025"

    assert arrived.run().attention == {CLOSED: 1}
    assert reasons(arrived) == ["project_rec_end_date is no date"]


def test_of_a_project_that_is_listed_twice_each_record_can_close_it(arrived: Site) -> None:
    arrived.list_project(active="1")
    arrived.list_project(active="0", record="2")

    assert arrived.run().attention == {CLOSED: 1}


def test_a_day_begins_at_the_hospital(arrived: Site) -> None:
    """At 23:30 UTC of the last day it is past midnight in Oslo."""
    arrived.list_project(ends="2026-03-02")
    arrived.clock.now = arrived.clock.now.replace(hour=23, minute=58)
    arrived.run(after=0)
    arrived.clock.advance(3 * 60)
    arrived.series("1.2.4", AccessionNumber="A-1")

    assert arrived.run(after=0).attention == {CLOSED: 1}


def test_reopened_it_goes_on(arrived: Site) -> None:
    arrived.list_project(active="0")
    arrived.run()
    arrived.list_project(active="1")

    assert arrived.run().attention == {}
    assert arrived.transfers(STUDY) == {1: Asked(HEART, "H-001")}


def test_it_goes_on_by_itself_when_its_approval_begins(arrived: Site) -> None:
    arrived.list_project(starts="2026-03-03")
    arrived.run()
    arrived.clock.advance(DAY)

    assert arrived.run().attention == {}
    assert arrived.transfers(STUDY) == {1: Asked(HEART, "H-001")}


def test_other_projects_go_on(arrived: Site) -> None:
    arrived.list_project(active="0")
    arrived.entry("2", accession="A-1", project=BRAIN)
    arrived.run()

    assert arrived.transfers(STUDY) == {1: Asked(BRAIN, "H-001")}


def test_what_is_placed_already_stands(arrived: Site) -> None:
    arrived.run()
    arrived.list_project(active="0")

    assert arrived.run().attention == {}
    assert arrived.transfers(STUDY) == {1: Asked(HEART, "H-001")}


def test_a_request_that_was_made_and_not_placed_yet_waits_and_is_shown(arrived: Site) -> None:
    arrived.incoming.lock(STUDY)
    arrived.run()
    assert arrived.states(STUDY) == ["requested"]
    arrived.list_project(active="0")
    arrived.incoming.unlock(STUDY)
    arrived.clock.advance(3601)

    assert arrived.run().attention == {CLOSED: 1}
    assert arrived.transfers(STUDY) == {}
    arrived.list_project(active="1")
    assert arrived.run().attention == {}
    assert arrived.transfers(STUDY) == {1: Asked(HEART, "H-001")}
    arrived.assert_sound()


def test_one_that_a_person_contests_is_not_placed_when_they_give_way(arrived: Site) -> None:
    arrived.run()
    arrived.series("1.2.4", AccessionNumber="B-1")
    arrived.run()
    instance = arrived.person_requests("1.2.4", HEART, "H-900")
    arrived.entry("2", accession="B-1", subject="H-901")
    arrived.run()
    assert arrived.states("1.2.4") == ["contested"]
    arrived.list_project(active="0")
    arrived.run()
    arrived.person_deletes_transfer("1.2.4", instance)
    arrived.clock.advance(3601)
    arrived.run()

    assert arrived.transfers("1.2.4") == {}


def test_a_closed_project_that_one_export_lacks_stays_closed(arrived: Site) -> None:
    arrived.list_project(active="0")
    arrived.run()
    with arrived.left_out("projects", "1"):
        arrived.run()

    assert arrived.attention() == {CLOSED: 1}
    assert arrived.transfers(STUDY) == {}


def test_a_replay_requests_nothing_and_writes_no_request_again(arrived: Site) -> None:
    arrived.series("1.2.4", PatientID="RULE-1")
    arrived.run()
    arrived.list_project(active="0")
    arrived.rule(patient_id="RULE-1")
    arrived.person_deletes_transfer(STUDY, 1)
    replay_all(arrived, Scope(project=HEART))

    assert arrived.transfers(STUDY) == arrived.transfers("1.2.4") == {}


def test_a_dry_run_tells_what_it_would_hold(arrived: Site) -> None:
    arrived.list_project(active="0")
    (change,) = rehearse(arrived)

    assert (change.project, change.change) == (HEART, "hold")
    assert change.why == f"project is closed: project_active is 0. {SETTLED_BY['project is closed']}"


# Names


@pytest.mark.parametrize("name", ["HEART STUDY", "Heart  Study", "HeartStudy", "heart study"])
def test_a_name_that_differs_by_case_or_blanks_only_is_held(arrived: Site, name: str) -> None:
    arrived.list_project()
    arrived.entry(accession="A-1", project=name)

    assert arrived.run().attention == {UNKNOWN: 1}
    assert arrived.transfers(STUDY) == {}
    assert reasons(arrived) == [f"the list of projects has {HEART!r}, which differs by case or blanks only"]
    arrived.entry(accession="A-1")
    assert arrived.run().attention == {}


def test_a_project_that_the_list_does_not_know_is_open(arrived: Site) -> None:
    arrived.list_project(BRAIN, active="0")

    assert arrived.run().attention == {}
    assert arrived.transfers(STUDY) == {1: Asked(HEART, "H-001")}


def test_names_are_misspelt_only_where_another_is_meant() -> None:
    known = {"Heart", "HEART", "Brain"}

    assert misspelt("Heart", known) is None
    assert misspelt("heart", known) == "HEART"
    assert misspelt("bra in", known) == "Brain"
    assert misspelt("Knee", known) is None


# What is coming


def test_status_tells_90_days_before_an_approval_ends(arrived: Site) -> None:
    arrived.list_project(ends="2026-05-31")
    arrived.list_project(BRAIN, ends="2026-06-01", record="2")
    arrived.list_project("Knee", ends="2026-03-01", record="3")
    arrived.list_project("Hip", ends="2026-03-04", active="0", record="4")
    arrived.run()

    with gateway_of(arrived, arrived._database) as gateway:
        assert status(gateway).approvals == [Approval(HEART, date(2026, 5, 31))]


def test_what_was_sent_before_its_import_was_recorded_is_not_held_and_never_asked_for_again(arrived: Site) -> None:
    """It was held as not placed yet, and would have been sent once more when the project opened."""
    arrived.list_project(active="1")
    arrived.simulator.inject(Fault(kind="status", project="incoming", action="import", after_commit=True))
    with pytest.raises(ServiceError):
        arrived.run()
    arrived.sender_sends(STUDY, 1)
    for active in ("0", "0", "1", "1"):
        arrived.list_project(active=active)
        assert arrived.run().attention == {}
        assert arrived.transfers(STUDY) == {1: Asked(HEART, "H-001", sent=True)}
    assert arrived.query("select state, sent from audit.transfer") == [("placed", True)]
    arrived.assert_sound()
