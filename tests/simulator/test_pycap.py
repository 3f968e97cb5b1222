"""What PyCap asks of a REDCap and our client does not; what both ask is in tests/contract."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from redcap.request import RedcapError

from .conftest import instance

if TYPE_CHECKING:
    from redcap.project import Project as Client

    from processors.demo.simulator import Project


def test_the_project_is_classic(client: Client) -> None:
    assert client.is_longitudinal is False
    assert client.def_field == "study_instance_uid"
    assert sorted(client.forms) == ["incoming_studies", "series", "transfers"]


def test_metadata_has_eighteen_text_keys_a_field(client: Client) -> None:
    first, *_rest = client.metadata
    assert len(first) == 18
    assert (first["field_name"], first["form_name"], first["field_type"]) == (
        "study_instance_uid",
        "incoming_studies",
        "text",
    )
    assert {type(value) for value in first.values()} == {str}


def test_metadata_can_be_limited(client: Client) -> None:
    assert [row["field_name"] for row in client.export_metadata(fields=["transfer_error"])] == ["transfer_error"]
    assert {row["form_name"] for row in client.export_metadata(forms=["series"])} == {"series"}
    with pytest.raises(RedcapError, match=r"are not valid: .*nonsense"):
        client.export_metadata(fields=["nonsense"])


def test_metadata_replaces_the_whole_dictionary(client: Client, incoming: Project) -> None:
    metadata = client.export_metadata(format_type="csv")
    with pytest.raises(RedcapError, match="Project Design"):
        client.import_metadata(metadata, import_format="csv")
    incoming.grant(design=True)
    assert client.import_metadata(metadata, import_format="csv") == 27
    assert client.import_metadata(client.metadata[:3]) == 3
    assert [field.field_name for field in incoming.dictionary.fields][2:] == ["study_aetitle_sender"]
    with pytest.raises(RedcapError, match="not in the specified format"):
        client.import_metadata([{"field_label": "no name"}])


def test_field_names_list_every_box_and_status(client: Client) -> None:
    assert client.export_field_names(field="transfer_error")[0] == {
        "original_field_name": "transfer_error",
        "choice_value": "1",
        "export_field_name": "transfer_error___1",
    }
    names = [row["export_field_name"] for row in client.export_field_names()]
    assert names.count("series_complete") == 1


def test_instruments_are_listed_with_their_labels(client: Client) -> None:
    assert client.export_instruments()[0] == {
        "instrument_name": "incoming_studies",
        "instrument_label": "Incoming Studies",
    }


def test_project_information_is_one_object(client: Client) -> None:
    facts = client.export_project_info()
    assert (facts["is_longitudinal"], facts["has_repeating_instruments_or_events"]) == (0, 1)
    assert client.export_project_info(format_type="csv").startswith("project_id,project_title,")


def test_the_version_is_plain_text(client: Client) -> None:
    assert str(client.export_version()) == "14.5.10"


@pytest.mark.parametrize("call", ["export_arms", "export_events", "export_instrument_event_mappings"])
def test_longitudinal_calls_are_refused_for_a_classic_project(client: Client, call: str) -> None:
    with pytest.raises(RedcapError, match="for classic projects"):
        getattr(client, call)()


def test_the_repeating_setup_can_be_read_and_replaced(client: Client, incoming: Project) -> None:
    setup = client.export_repeating_instruments_events()
    assert setup == [{"form_name": name, "custom_form_label": ""} for name in ("series", "transfers")]
    incoming.grant(design=True)
    assert client.import_repeating_instruments_events(setup[:1]) == 1
    assert incoming.repeating == ("series",)
    assert client.import_repeating_instruments_events([]) == 0
    with pytest.raises(RedcapError, match="does not contain any repeating"):
        client.export_repeating_instruments_events()


def test_records_can_be_deleted_with_the_right_to(client: Client, incoming: Project) -> None:
    incoming.put([{"study_instance_uid": name} for name in "123"])
    with pytest.raises(RedcapError, match="Delete Record privileges"):
        client.delete_records(["1"])
    incoming.grant(delete=True)
    assert client.delete_records(["1", "3"]) == 2
    assert client.delete_records(["2"], return_format_type="xml") == "1"
    with pytest.raises(RedcapError, match="The following records do not exist: 1, 2"):
        client.delete_records(["1", "2"])


@pytest.mark.usefixtures("study")
def test_one_instance_or_one_form_can_be_deleted(client: Client, incoming: Project) -> None:
    incoming.grant(delete=True)
    assert client.delete_records(["1.1"], instrument="series", repeat_instance=1) == 1
    numbers = [row["redcap_repeat_instance"] for row in incoming.rows()]
    assert numbers == ["", 2, 1]
    client.delete_records(["1.1"], instrument="series")
    client.delete_records(["1.1"], instrument="incoming_studies")
    base, transfer = incoming.rows()
    assert (base["study_description"], transfer["transfer_name"]) == ("", "P001")


def test_the_log_names_records_and_values_newest_first(client: Client, incoming: Project) -> None:
    client.import_records([{"study_instance_uid": "1", "study_date": "20260105"}])
    incoming.put([{**instance("1", "transfers", 1), "transfer_error___3": 1}])
    newest, oldest = client.export_logging(log_type="record")
    assert newest["action"] == "Update record (import) 1"
    assert newest["details"] == "[instance = 1], transfer_error(3) = checked"
    assert newest["username"] == "person"
    assert oldest["action"] == "Create record (import) 1"
    assert oldest["details"] == "study_instance_uid = '1', study_date = '20260105'"
    assert len(oldest["timestamp"]) == len("2026-01-05 10:00")


def test_the_log_can_be_limited_by_kind_user_record_and_time(client: Client, incoming: Project) -> None:
    incoming.put([{"study_instance_uid": name} for name in "12"])
    incoming.delete("2")
    incoming.lock("1")
    assert [row["record"] for row in client.export_logging(log_type="record_delete")] == ["2"]
    assert [row["action"] for row in client.export_logging(log_type="lock_record")] == ["Lock/Unlock Record 1"]
    assert {row["record"] for row in client.export_logging(record="1")} == {"1"}
    assert {row["username"] for row in client.export_logging(user="api_user")} == {"api_user"}
    later = datetime.now(tz=UTC) + timedelta(days=2)
    assert client.export_logging(begin_time=later) == []
    assert client.export_logging(end_time=later)[-1]["record"] == "1"


def test_exports_are_logged_as_well(client: Client) -> None:
    client.export_records()
    client.export_logging()
    first, *rest = client.export_logging()
    assert (first["action"], first["details"]) == ("Manage/Design ", "Export Logging (API)")
    assert rest[0]["action"] == "Data export (API) "
