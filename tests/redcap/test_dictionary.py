"""Which fields a project has: one look a day, and another when REDCap knows better."""

import pytest

from ledger.database import Database
from processors.demo.simulator import Fault, Simulator
from processors.errors import Unanswered
from processors.redcap import NoBudget, Redcap, forget_fields, known_fields
from processors.redcap.dictionary import field_names
from tests.conftest import SettableClock

DAY = 24 * 60 * 60


def test_the_dictionary_is_looked_up_once_a_day(
    client: Redcap, database: Database, simulator: Simulator, clock: SettableClock
) -> None:
    first = known_fields(client, database, "incoming", clock())
    clock.advance(DAY - 1)
    assert known_fields(client, database, "incoming", clock()) == first
    assert client.calls == 1

    simulator.projects["incoming"].remove_field("study_arrival_date")
    clock.advance(1)

    assert first - known_fields(client, database, "incoming", clock()) == {"study_arrival_date"}
    assert client.calls == 2


def test_a_forgotten_dictionary_is_looked_up_again(
    client: Redcap, database: Database, simulator: Simulator, clock: SettableClock
) -> None:
    known_fields(client, database, "incoming", clock())
    simulator.projects["incoming"].remove_field("study_arrival_date")

    forget_fields(database, "incoming")

    assert "study_arrival_date" not in known_fields(client, database, "incoming", clock())


def test_projects_are_remembered_apart(client: Redcap, database: Database, clock: SettableClock) -> None:
    known_fields(client, database, "incoming", clock())
    known_fields(client, database, "autoid", clock())
    forget_fields(database, "incoming")

    assert "autoid_value" in known_fields(client, database, "autoid", clock())
    assert client.calls == 2


def test_another_token_is_another_project(
    client: Redcap, database: Database, simulator: Simulator, clock: SettableClock
) -> None:
    known_fields(client, database, "incoming", clock())
    tokens = {"incoming": simulator.projects["autoid"].token}
    with Redcap(url=simulator.url, tokens=tokens, budget=NoBudget()) as other:
        assert "autoid_value" in known_fields(other, database, "incoming", clock())


def test_a_look_from_the_future_is_not_believed(client: Redcap, database: Database, clock: SettableClock) -> None:
    """A clock that was wrong for a moment would else freeze the dictionary for years."""
    known_fields(client, database, "incoming", clock())
    clock.advance(-DAY)
    known_fields(client, database, "incoming", clock())

    assert client.calls == 2


def test_a_look_that_fails_changes_nothing(
    client: Redcap, database: Database, simulator: Simulator, clock: SettableClock
) -> None:
    known_fields(client, database, "incoming", clock())
    late = clock()
    clock.advance(DAY)
    simulator.inject(Fault(kind="offline", times=4))

    with pytest.raises(Unanswered):
        known_fields(client, database, "incoming", clock())

    assert "study_date" in known_fields(client, database, "incoming", late)


def test_every_column_of_an_export_can_be_imported(
    client: Redcap, database: Database, simulator: Simulator, clock: SettableClock
) -> None:
    simulator.projects["incoming"].put([{"study_instance_uid": "1.1"}])
    (row,) = client.export_records("incoming")

    known = known_fields(client, database, "incoming", clock())

    assert row.keys() - known == {"redcap_repeat_instrument", "redcap_repeat_instance"}
    assert known - row.keys() == {"transfer_error"}


def test_codes_of_checkboxes_become_columns_as_redcap_writes_them() -> None:
    field = {
        "field_name": "box",
        "form_name": "f",
        "field_type": "checkbox",
        "select_choices_or_calculations": "1, one | A2, two, or more | -1, other",
    }

    assert field_names([field]) == {"box", "f_complete", "box___1", "box___a2", "box____1"}
