"""Missing data codes: what a project says in place of a value counts as blank, wherever it stands."""

import pytest

from ledger.database import Database
from processors.demo.simulator import Fault, Simulator
from processors.errors import Unanswered
from processors.redcap import LookedUp, Project, Redcap, Row, missing_data
from tests.conftest import SettableClock

HOUR = 60 * 60
CODES = "NA, Not applicable | UNK, Unknown"
ENTRY = {"record_id": "1", "cl_subjectid": "UNK", "cl_projectname": "Heart Study", "cl_date": "NA"}
LEFT = {"record_id": "1", "cl_subjectid": "", "cl_projectname": "Heart Study", "cl_date": ""}


@pytest.fixture
def coupling(client: Redcap, database: Database, clock: SettableClock, simulator: Simulator) -> Project:
    simulator.projects["coupling"].set_missing_data_codes(CODES)
    simulator.projects["coupling"].put([ENTRY])
    return Project(client, "coupling", LookedUp(database), clock)


def infos(simulator: Simulator) -> int:
    """How often project infos were asked for."""
    return [call.content for call in simulator.calls].count("project")


@pytest.mark.parametrize(
    "told", [CODES, "NA, Not applicable\nUNK, Unknown", "NA, Not applicable\r\nUNK, Unknown, all of it\r\n", "NA|UNK"]
)
def test_codes_are_read_as_they_come(told: str) -> None:
    assert missing_data.codes_of({"missing_data_codes": told}) == {"NA", "UNK"}


@pytest.mark.parametrize("info", [{}, {"missing_data_codes": ""}, {"missing_data_codes": " \n | "}])
def test_a_project_may_have_none_and_an_old_server_knows_none(info: Row) -> None:
    assert missing_data.codes_of(info) == frozenset()


def test_a_code_is_blank_in_a_list_and_in_an_export(coupling: Project) -> None:
    (of_list,), (exported,) = coupling.export_list(), coupling.export(list(LEFT))

    assert of_list.items() >= LEFT.items()
    assert exported.items() >= LEFT.items()


@pytest.mark.parametrize("value", ["unk", "UNKNOWN", "N", "NA-1"])
def test_what_only_resembles_a_code_is_a_value(value: str) -> None:
    (row,) = missing_data.without_codes([{"cl_subjectid": value}], {"NA", "UNK"})

    assert row == {"cl_subjectid": value}


def test_blanks_around_a_code_do_not_make_it_a_value() -> None:
    (row,) = missing_data.without_codes([{"cl_subjectid": " UNK "}], {"UNK"})

    assert row == {"cl_subjectid": ""}


def test_a_record_keeps_its_name_and_a_row_its_place() -> None:
    row = {
        "study_instance_uid": "NA",
        "record_id": "NA",
        "redcap_repeat_instrument": "NA",
        "redcap_repeat_instance": "9",
    }

    assert missing_data.without_codes([row], {"NA", "9"}) == [row]


def test_a_checkbox_that_says_missing_is_not_ticked_and_its_ticks_are_no_codes() -> None:
    row = {"transfer_error___1": "1", "transfer_error____9": "1", "transfer_error___na": "1"}

    (found,) = missing_data.without_codes([row], {"NA", "-9", "1 "})

    assert found == {"transfer_error___1": "1", "transfer_error____9": "", "transfer_error___na": ""}


def test_codes_are_asked_for_once_an_hour_and_not_where_nothing_is_read(
    coupling: Project, simulator: Simulator, clock: SettableClock
) -> None:
    coupling.export_list()
    clock.advance(HOUR - 1)
    coupling.export_list()
    assert infos(simulator) == 1

    simulator.projects["coupling"].set_missing_data_codes("NA, Not applicable")
    clock.advance(1)

    assert [row["cl_subjectid"] for row in coupling.export_list()] == ["UNK"]
    assert infos(simulator) == 2
    simulator.projects["coupling"].delete("1")
    clock.advance(HOUR)
    coupling.export_list()
    assert infos(simulator) == 2


def test_codes_that_cannot_be_asked_for_are_not_taken_for_none(coupling: Project, simulator: Simulator) -> None:
    simulator.inject(Fault(kind="offline", content="project", times=4))

    with pytest.raises(Unanswered):
        coupling.export_list()
