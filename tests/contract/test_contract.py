"""What holds of REDCap whoever asks: the same expectations of our client and of those of others."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import pytest

from processors.demo.simulator import Fault, Project, Simulator
from tests.contract.clients import Client
from tests.contract.conftest import MakeClient

ID = "study_instance_uid"
NOON = datetime.fromisoformat("2026-03-02T12:00:00+01:00")
STUDY: dict[str, str | int] = {ID: "1.2", "study_description": "Schädel, нáтив 山田^太郎 'x' & 100 %"}
COLUMNS = [ID, "study_description", "series_instance_uid", "series_num_files"]


def series(number: int, record: str = "1.2", **fields: str) -> dict[str, str | int]:
    repeated: dict[str, str | int] = {ID: record, "redcap_repeat_instrument": "series"}
    return {**repeated, "redcap_repeat_instance": number, "series_instance_uid": f"{record}.{number}", **fields}


def shown(rows: list[dict[str, str]], *names: str) -> list[tuple[str, ...]]:
    return [tuple(row[name] for name in names) for row in rows]


# -- records ---------------------------------------------------------------------------------------------------


def test_what_was_stored_is_read_as_text(client: Client) -> None:
    assert client.store("incoming", [STUDY, series(1, series_num_files="7")]) == 1
    base = {"redcap_repeat_instrument": "", "redcap_repeat_instance": "", "series_instance_uid": ""}
    assert client.read("incoming", COLUMNS) == [
        {**base, **STUDY, "series_num_files": ""},
        {
            ID: "1.2",
            "redcap_repeat_instrument": "series",
            "redcap_repeat_instance": "1",
            "study_description": "",
            "series_instance_uid": "1.2.1",
            "series_num_files": "7",
        },
    ]


def test_all_fields_come_where_none_are_named(client: Client) -> None:
    client.store("incoming", [STUDY])
    (row,) = client.read("incoming")
    assert {"incoming_studies_complete", "transfer_error___1", "series_classify_types"} <= row.keys()


def test_records_that_do_not_exist_are_absent(client: Client) -> None:
    client.store("incoming", [STUDY, {ID: "1.3"}])
    assert shown(client.read("incoming", COLUMNS, records=["1.3", "9.9"]), ID) == [("1.3",)]


def test_the_count_is_of_records_and_not_of_rows(client: Client) -> None:
    assert client.store("incoming", [series(1), series(1, "1.3"), series(2)]) == 2


@pytest.mark.parametrize(("overwrite", "left"), [(False, "there"), (True, "")])
def test_blanks_erase_only_when_overwriting(client: Client, *, overwrite: bool, left: str) -> None:
    client.store("incoming", [{ID: "1.2", "study_description": "there"}])
    client.store("incoming", [{ID: "1.2", "study_description": "", "study_date": "20260301"}], overwrite=overwrite)
    assert shown(client.read("incoming", [ID, "study_description", "study_date"]), "study_description") == [(left,)]


def test_values_are_overwritten_in_either_way(client: Client) -> None:
    """`normal` spares nothing but what a blank would erase."""
    client.store("incoming", [{ID: "1.2", "study_description": "there"}])
    client.store("incoming", [{ID: "1.2", "study_description": "other"}])
    assert shown(client.read("incoming", COLUMNS), "study_description") == [("other",)]


def test_only_records_changed_since_a_time_come(client: Client, simulator: Simulator) -> None:
    simulator.settings.clock = NOON.astimezone
    client.store("incoming", [STUDY])
    simulator.settings.clock = (NOON + timedelta(hours=1)).astimezone
    client.store("incoming", [{ID: "1.9"}])
    rows = client.read("incoming", since=NOON + timedelta(minutes=30))
    assert shown(rows, ID) == [("1.9",)]


# -- instances -------------------------------------------------------------------------------------------------


def test_an_instance_keeps_its_number_and_its_own_values(client: Client) -> None:
    client.store("incoming", [series(1, series_num_files="1"), series(7, series_num_files="7")])
    client.store("incoming", [series(7, series_num_files="8")])
    rows = client.read("incoming", COLUMNS)
    expected = [("1", "1"), ("7", "8")]
    assert shown(rows, "redcap_repeat_instance", "series_num_files")[-2:] == expected


def test_a_record_of_nothing_but_instances_has_a_base_row(client: Client) -> None:
    client.store("incoming", [series(3)])
    rows = client.read("incoming", [ID, "study_description"], records=["1.2"])
    assert ("1.2", "") in shown(rows, ID, "redcap_repeat_instance")


@pytest.mark.parametrize("kind", ["text_instances", "omit_repeat_columns"])
def test_instances_as_text_and_left_out_columns_change_nothing_of_what_is_there(
    client: Client, simulator: Simulator, kind: str
) -> None:
    client.store("incoming", [STUDY, series(1), {ID: "1.1"}])
    usual = client.read("incoming", COLUMNS), client.read("incoming", COLUMNS, records=["1.1"])
    simulator.inject(Fault(kind=kind, times=None))
    odd = client.read("incoming", COLUMNS), client.read("incoming", COLUMNS, records=["1.1"])
    assert odd[0] == usual[0]
    assert shown(odd[1], *COLUMNS) == shown(usual[1], *COLUMNS)


@pytest.mark.parametrize(
    "wrong",
    [
        {"redcap_repeat_instrument": "nonsense", "redcap_repeat_instance": 1},
        {"redcap_repeat_instrument": "series", "redcap_repeat_instance": 0},
        {"redcap_repeat_instrument": "series", "redcap_repeat_instance": "first"},
        {"redcap_repeat_instrument": "", "redcap_repeat_instance": 2},
    ],
)
def test_an_impossible_instance_is_refused(client: Client, incoming: Project, wrong: Mapping[str, str | int]) -> None:
    with pytest.raises(client.errors, match="redcap_repeat_inst"):
        client.store("incoming", [{ID: "1.2", **wrong}])
    assert incoming.rows() == []


# -- project ---------------------------------------------------------------------------------------------------


def test_the_dictionary_begins_with_the_record_id(client: Client) -> None:
    fields = client.metadata("autoid")
    assert [row["field_name"] for row in fields][:2] == ["record_id", "autoid_project_name"]
    assert {len(row) for row in fields} == {18}


def test_labels_may_hold_commas(client: Client, simulator: Simulator) -> None:
    simulator.projects["routing"].set_choices("routing_dest_project", [("1", "Heart"), ("2", "Brain, Ageing")])
    rows = {row["field_name"]: row for row in client.metadata("routing")}
    listed = rows["routing_dest_project"]["select_choices_or_calculations"]
    assert [choice.strip() for choice in listed.split("|")] == ["1, Heart", "2, Brain, Ageing"]


def test_the_next_record_name_is_the_highest_number_plus_one(client: Client, simulator: Simulator) -> None:
    assert client.next_name("autoid") == "1"
    simulator.projects["autoid"].put([{"record_id": name} for name in ("9", "10", "x11")])
    assert client.next_name("autoid") == "11"


# -- log -------------------------------------------------------------------------------------------------------


def test_the_log_tells_what_was_changed_in_the_order_in_which_it_was(client: Client, simulator: Simulator) -> None:
    for minute, record in enumerate(("1.1", "1.2", "1.3", "1.2")):
        simulator.settings.clock = lambda minute=minute: NOON + timedelta(minutes=minute)  # type: ignore[misc]
        client.store("incoming", [{ID: record, "study_description": f"{minute}"}])
    assert client.changed("incoming", NOON) == ["1.1", "1.2", "1.3", "1.2"]
    assert client.changed("incoming", NOON + timedelta(minutes=2)) == ["1.3", "1.2"]
    assert client.changed("incoming", NOON, "1.2") == ["1.2", "1.2"]
    assert client.changed("incoming", NOON + timedelta(days=1)) == []


def test_what_changes_nothing_is_not_in_the_log(client: Client, simulator: Simulator) -> None:
    simulator.settings.clock = lambda: NOON
    for _ in range(2):
        client.store("incoming", [STUDY])
    assert client.changed("incoming", NOON) == ["1.2"]


# -- errors ----------------------------------------------------------------------------------------------------


def test_an_unknown_token_is_refused(make_client: MakeClient) -> None:
    stranger = make_client(incoming="0" * 32)
    with pytest.raises(stranger.errors, match="You do not have permissions to use the API"):
        stranger.read("incoming", ["x"])


@pytest.mark.parametrize("right", ["export", "import", "logging"])
def test_a_right_that_was_revoked_is_missing_from_the_next_call_on(
    client: Client, incoming: Project, right: str
) -> None:
    calls: dict[str, Callable[[], object]] = {
        "export": lambda: client.read("incoming"),
        "import": lambda: client.store("incoming", [STUDY]),
        "logging": lambda: client.changed("incoming", NOON),
    }
    calls[right]()
    incoming.revoke(right)
    with pytest.raises(client.errors, match="You do not have"):
        calls[right]()


def test_a_field_that_the_project_lacks_is_named(client: Client, incoming: Project) -> None:
    client.read("incoming")  # PyCap has looked at the dictionary by now
    incoming.remove_field("study_description")
    with pytest.raises(client.errors, match="study_description"):
        client.store("incoming", [STUDY])
    with pytest.raises(client.errors, match="study_description"):
        client.read("incoming", COLUMNS)


def test_one_wrong_value_keeps_the_whole_payload_out_and_is_named(client: Client, incoming: Project) -> None:
    with pytest.raises(client.errors, match=r"1\.3.*series_num_files"):
        client.store("incoming", [STUDY, series(1), series(1, "1.3", series_num_files="many")])
    assert incoming.rows() == []


def test_a_locked_record_keeps_the_whole_payload_out_until_it_is_unlocked(client: Client, incoming: Project) -> None:
    client.store("incoming", [STUDY])
    incoming.lock("1.2")
    with pytest.raises(client.errors, match="locked"):
        client.store("incoming", [{ID: "1.3"}, series(1)])
    assert [row[ID] for row in incoming.rows()] == ["1.2"]
    incoming.unlock("1.2")
    assert client.store("incoming", [{ID: "1.3"}, series(1)]) == 2
