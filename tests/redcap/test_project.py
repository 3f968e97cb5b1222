"""One project: its dictionary is looked up once a day, and again where REDCap knows better."""

from collections.abc import Callable

import pytest

from ledger.database import Database
from processors.demo.simulator import Fault, Simulator
from processors.demo.simulator import Project as SimulatedProject
from processors.errors import Refused, Unanswered
from processors.redcap import LookedUp, NoRateLimit, Project, Redcap, UnknownFields
from tests.conftest import SettableClock

DAY = 24 * 60 * 60
FIELDS = ("study_instance_uid", "study_description", "study_arrival_date")
ROW: dict[str, str | int] = {
    "study_instance_uid": "1.1",
    "study_description": "Heart",
    "study_arrival_date": "2026-03-02 09:00",
}

Open = Callable[..., Project]


@pytest.fixture
def opened(client: Redcap, database: Database, clock: SettableClock) -> Open:
    """Opens a project as a run does: what it knows is remembered in the database alone."""

    def opened(name: str = "incoming", *, needed: tuple[str, ...] = ()) -> Project:
        return Project(client, name, LookedUp(database), clock, needed=needed)

    return opened


def contents(simulator: Simulator) -> list[str]:
    """What was called for."""
    return [call.content for call in simulator.calls]


# The dictionary


def test_the_dictionary_is_looked_up_once_a_day(
    client: Redcap, opened: Open, simulator: Simulator, clock: SettableClock
) -> None:
    first = opened().fields()
    clock.advance(DAY - 1)
    assert opened().fields() == first
    assert client.calls == 1

    simulator.projects["incoming"].remove_field("study_arrival_date")
    clock.advance(1)

    assert first - opened().fields() == {"study_arrival_date"}
    assert client.calls == 2


def test_a_forgotten_dictionary_is_looked_up_again(opened: Open, incoming: SimulatedProject) -> None:
    project = opened()
    project.fields()
    incoming.remove_field("study_arrival_date")

    project.forget_fields()

    assert "study_arrival_date" not in project.fields()


def test_projects_are_remembered_apart(client: Redcap, opened: Open) -> None:
    opened().fields()
    opened("autoid").fields()
    opened().forget_fields()

    assert "autoid_value" in opened("autoid").fields()
    assert client.calls == 2


def test_another_token_is_another_project(
    opened: Open, database: Database, simulator: Simulator, clock: SettableClock
) -> None:
    opened().fields()
    tokens = {"incoming": simulator.projects["autoid"].token}
    with Redcap(url=simulator.url, tokens=tokens, rate_limit=NoRateLimit()) as other:
        assert "autoid_value" in Project(other, "incoming", LookedUp(database), clock).fields()


def test_a_look_from_the_future_is_not_believed(client: Redcap, opened: Open, clock: SettableClock) -> None:
    """A clock that was wrong for a moment would else freeze the dictionary for years."""
    opened().fields()
    clock.advance(-DAY)
    opened().fields()

    assert client.calls == 2


def test_a_look_that_fails_changes_nothing(opened: Open, simulator: Simulator, clock: SettableClock) -> None:
    opened().fields()
    clock.advance(DAY)
    simulator.inject(Fault(kind="offline", times=4))

    with pytest.raises(Unanswered):
        opened().fields()

    clock.advance(-DAY)
    assert "study_date" in opened().fields()


def test_every_column_of_an_export_can_be_imported(client: Redcap, opened: Open, incoming: SimulatedProject) -> None:
    incoming.put([{"study_instance_uid": "1.1"}])
    (row,) = client.export_records("incoming")

    known = opened().fields()

    assert row.keys() - known == {"redcap_repeat_instrument", "redcap_repeat_instance"}
    assert known - row.keys() == {"transfer_error"}


def test_the_choices_of_a_dropdown_are_always_todays(client: Redcap, opened: Open) -> None:
    project = opened("routing")

    assert project.choices("routing_dest_project") == project.choices("routing_dest_project") != {}
    assert client.calls == 2


def test_a_dropdown_that_is_missing_is_told(opened: Open) -> None:
    with pytest.raises(Refused, match=r"incoming: expected the fields no_such in .* dictionary.*redcap\.tokens\.incom"):
        opened().choices("no_such")


# Exports and imports


def test_what_the_project_lacks_is_not_asked_for(opened: Open, incoming: SimulatedProject) -> None:
    incoming.remove_field("study_arrival_date")
    incoming.put([{"study_instance_uid": "1.1", "study_description": "Heart"}])

    (row,) = opened().export(FIELDS)

    assert row["study_description"] == "Heart"
    assert "study_arrival_date" not in row


@pytest.mark.parametrize("look_up", [True, False])
def test_a_field_that_redcap_has_ceased_to_know_costs_two_calls_more_and_no_error(
    opened: Open, incoming: SimulatedProject, simulator: Simulator, *, look_up: bool
) -> None:
    opened().fields()
    incoming.remove_field("study_arrival_date")
    incoming.put([{"study_instance_uid": "1.1"}])

    (row,) = opened().export(FIELDS, look_up=look_up)

    assert row["study_instance_uid"] == "1.1"
    # Where there are rows, the codes for missing data are asked for as well, once an hour.
    assert contents(simulator) == ["metadata", "record", "metadata", "record", "project"]


def test_an_export_that_does_not_look_up_makes_one_call(
    opened: Open, simulator: Simulator, clock: SettableClock
) -> None:
    opened(needed=FIELDS).export(FIELDS, look_up=False)
    opened().fields()
    clock.advance(2 * DAY)
    opened(needed=FIELDS).export(FIELDS, look_up=False)

    assert contents(simulator) == ["record", "metadata", "record"]


LACKS_DESCRIPTION = "incoming: expected the fields study_description in the project's data dictionary"


def test_nothing_is_exported_without_a_needed_field(
    opened: Open, incoming: SimulatedProject, simulator: Simulator
) -> None:
    incoming.remove_field("study_description")

    with pytest.raises(Refused, match=LACKS_DESCRIPTION):
        opened(needed=FIELDS).export(FIELDS)

    assert contents(simulator) == ["metadata"]


def test_rows_without_a_needed_field_are_refused_where_nothing_was_looked_up(
    opened: Open, incoming: SimulatedProject
) -> None:
    incoming.remove_field("study_description")

    assert opened(needed=FIELDS).export(FIELDS, look_up=False) == []
    incoming.put([{"study_instance_uid": "1.1"}])
    with pytest.raises(Refused, match=LACKS_DESCRIPTION):
        opened(needed=FIELDS).export(FIELDS, look_up=False)


@pytest.mark.parametrize("look_up", [True, False])
def test_a_project_that_has_none_of_the_fields_is_not_asked_for_all(opened: Open, *, look_up: bool) -> None:
    """To REDCap, no fields would mean all of them."""
    with pytest.raises(Refused, match="incoming: expected the fields cl_subjectid"):
        opened().export(["cl_subjectid"], look_up=look_up)


def test_a_needed_field_that_has_been_added_is_seen_at_once(opened: Open, incoming: SimulatedProject) -> None:
    whole = incoming.dictionary
    incoming.remove_field("study_description")
    with pytest.raises(Refused):
        opened(needed=FIELDS).require_needed()

    incoming.dictionary = whole

    assert opened(needed=FIELDS).export(FIELDS) == []


def test_an_import_leaves_out_what_is_optional_and_lacking_and_tells_it(
    opened: Open, incoming: SimulatedProject
) -> None:
    opened().fields()
    incoming.remove_field("study_arrival_date")

    left_out = opened().import_rows([ROW], overwrite=True, optional={"study_arrival_date", "transfer_active_proc_time"})

    assert left_out == {"study_arrival_date"}
    assert incoming.rows()[0]["study_description"] == "Heart"


def test_an_import_of_a_field_that_is_neither_known_nor_optional_fails(
    opened: Open, incoming: SimulatedProject
) -> None:
    incoming.remove_field("study_description")

    with pytest.raises(UnknownFields, match="study_description"):
        opened().import_rows([ROW], overwrite=True)

    assert incoming.rows() == []


# Lists that people keep


def test_a_list_has_all_fields_and_no_repeats(opened: Open, incoming: SimulatedProject) -> None:
    series = {"redcap_repeat_instrument": "series", "redcap_repeat_instance": 1, "series_instance_uid": "1.1.1"}
    incoming.put([ROW, {"study_instance_uid": "1.1", **series}])

    (row,) = opened(needed=FIELDS).export_list()

    assert row["study_description"] == "Heart"
    assert row["redcap_repeat_instrument"] == ""


def test_a_list_without_a_needed_field_is_refused(opened: Open, incoming: SimulatedProject) -> None:
    incoming.put([ROW])

    with pytest.raises(Refused, match=r"rows without cl_subjectid.*Full Data Set"):
        opened(needed=("study_instance_uid", "cl_subjectid")).export_list()


def test_another_projects_empty_list_is_not_taken_for_ours(opened: Open) -> None:
    with pytest.raises(Refused, match="expected the fields cl_subjectid in the project's data dictionary"):
        opened(needed=("study_instance_uid", "cl_subjectid")).export_list()


def test_an_empty_list_costs_no_second_look_at_its_dictionary(opened: Open, simulator: Simulator) -> None:
    project = opened("routing", needed=("routing_active",))
    project.choices("routing_dest_project")

    assert project.export_list() == []
    assert contents(simulator) == ["metadata", "record"]
