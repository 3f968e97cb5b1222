from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from redcap.project import Project as Client

from processors.demo.simulator import Fault

from .conftest import Post, instance

if TYPE_CHECKING:
    from processors.demo.simulator import Project, Simulator

REPEAT = ("redcap_repeat_instrument", "redcap_repeat_instance")


def shape(rows: list[dict[str, object]]) -> list[tuple[object, ...]]:
    return [tuple(row[name] for name in ("study_instance_uid", *REPEAT)) for row in rows]


@pytest.mark.usefixtures("study")
def test_a_record_gives_one_base_row_and_one_row_an_instance(client: Client) -> None:
    assert shape(client.export_records()) == [
        ("1.1", "", ""),
        ("1.1", "series", 1),
        ("1.1", "series", 2),
        ("1.1", "transfers", 1),
    ]


@pytest.mark.usefixtures("study")
def test_columns_of_other_instruments_are_blank_even_their_status_and_boxes(incoming: Project) -> None:
    base, series, _other, transfer = incoming.rows()
    assert (base["incoming_studies_complete"], base["series_complete"], base["transfer_error___1"]) == (
        "2",
        "",
        "",
    )
    assert (series["incoming_studies_complete"], series["series_complete"], series["transfers_complete"]) == (
        "",
        "2",
        "",
    )
    assert (transfer["transfer_error___1"], transfer["transfer_error___2"]) == ("0", "1")


@pytest.mark.usefixtures("study")
def test_every_value_is_text_but_the_instance_number(post: Post) -> None:
    rows = post().json()
    numbers = {name for row in rows for name, value in row.items() if not isinstance(value, str)}
    assert numbers == {"redcap_repeat_instance"}
    assert rows[2]["series_num_files"] == "7"


def test_columns_come_in_dictionary_order_each_form_followed_by_its_status(incoming: Project) -> None:
    incoming.put([{"study_instance_uid": "1"}])
    names = list(incoming.rows()[0])
    assert names[:3] == ["study_instance_uid", *REPEAT]
    assert names.index("incoming_studies_complete") + 1 == names.index("series_instance_uid")
    assert names[-1] == "transfers_complete"


@pytest.mark.usefixtures("study")
def test_the_record_id_comes_only_when_asked_for(post: Post) -> None:
    assert post(**{"fields[0]": "study_description"}).json() == [{"study_description": "HEAD, plain"}]
    assert post(**{"forms[0]": "incoming_studies"}).json()[0]["study_instance_uid"] == "1.1"


@pytest.mark.usefixtures("study")
def test_a_form_without_the_record_id_has_no_identity_columns(post: Post) -> None:
    rows = post(**{"forms[0]": "series"}).json()
    assert [row["series_instance_uid"] for row in rows] == ["", "1.1.1", "1.1.2"]
    assert not set(REPEAT) & rows[0].keys()


@pytest.mark.usefixtures("study")
def test_a_status_comes_with_its_form_or_by_name_only(post: Post) -> None:
    fields = {"fields[0]": "study_instance_uid", "fields[1]": "study_description"}
    assert "incoming_studies_complete" not in post(**fields).json()[0]
    assert post(**fields, **{"fields[2]": "incoming_studies_complete"}).json()[0]["incoming_studies_complete"] == "2"


@pytest.mark.usefixtures("study")
def test_fields_and_forms_are_united(post: Post) -> None:
    row = post(**{"fields[7]": "study_instance_uid", "forms[3]": "transfers"}).json()[-1]
    assert row["transfer_name"] == "P001"
    assert row["study_instance_uid"] == "1.1"
    assert "series_instance_uid" not in row


@pytest.mark.usefixtures("study")
def test_a_checkbox_is_asked_for_by_its_base_name(post: Post) -> None:
    row = post(**{"fields[0]": "study_instance_uid", "fields[1]": "transfer_error"}).json()[-1]
    assert {name for name in row if name.startswith("transfer_error")} == {f"transfer_error___{n}" for n in "123"}


@pytest.mark.usefixtures("study")
def test_base_rows_come_along_with_fields_of_a_repeating_form(client: Client) -> None:
    rows = client.export_records(fields=["series_instance_uid"])
    assert shape(rows) == [("1.1", "", ""), ("1.1", "series", 1), ("1.1", "series", 2)]


@pytest.mark.usefixtures("study")
def test_fields_of_the_base_form_give_base_rows_only(client: Client) -> None:
    assert shape(client.export_records(fields=["study_description"])) == [("1.1", "", "")]


@pytest.mark.parametrize("name", ["nonsense", "redcap_repeat_instance", "series_timestamp", "transfer_error___1"])
def test_an_unknown_name_in_fields_is_an_error(post: Post, name: str) -> None:
    answer = post(**{"fields[0]": name})
    assert answer.status_code == 400
    assert answer.json() == {"error": f"The following values in the parameter \"fields\" are not valid: '{name}'"}


def test_unknown_records_are_simply_absent(incoming: Project, client: Client) -> None:
    incoming.put([{"study_instance_uid": "2"}])
    assert shape(client.export_records(records=["1", "2", "3", "2"])) == [("2", "", "")]


def test_records_are_listed_by_the_numbers_in_their_ids(incoming: Project) -> None:
    incoming.put([{"study_instance_uid": name} for name in ("1.10", "1.9", "a", "1.9.1")])
    assert [row["study_instance_uid"] for row in incoming.rows()] == ["1.9", "1.9.1", "1.10", "a"]


@pytest.mark.usefixtures("study")
def test_csv_quotes_what_holds_blanks_and_ends_with_a_line_feed(client: Client) -> None:
    text = client.export_records(format_type="csv", fields=["study_description", "series_instance_uid"])
    assert text == (
        "study_instance_uid,redcap_repeat_instrument,redcap_repeat_instance,study_description,series_instance_uid\n"
        '1.1,,,"HEAD, plain",\n'
        "1.1,series,1,,1.1.1\n"
        "1.1,series,2,,1.1.2\n"
    )


def test_no_records_are_an_empty_list_and_an_empty_csv(client: Client) -> None:
    assert client.export_records() == []
    assert client.export_records(format_type="csv") == ""


@pytest.mark.usefixtures("study")
def test_xml_has_one_item_a_row(client: Client) -> None:
    text = client.export_records(format_type="xml", fields=["series_instance_uid"])
    assert text.startswith('<?xml version="1.0" encoding="UTF-8" ?>\n<records>\n<item>')
    assert text.count("<item>") == 3
    assert "<series_instance_uid><![CDATA[1.1.2]]></series_instance_uid>" in text


@pytest.mark.usefixtures("study")
def test_eav_gives_one_row_a_stored_value(client: Client) -> None:
    rows = client.export_records(record_type="eav", fields=["study_description", "transfer_error", "series_complete"])
    assert [(row["redcap_repeat_instrument"], row["field_name"], row["value"]) for row in rows] == [
        ("", "study_instance_uid", "1.1"),
        ("", "study_description", "HEAD, plain"),
        ("series", "series_complete", "2"),
        ("transfers", "transfer_error", "2"),
    ]


def test_labels_replace_codes(simulator: Simulator) -> None:
    routing = simulator.projects["routing"]
    routing.set_choices("routing_dest_project", [("a1", "Heart, Lung and more"), ("a2", "Other")])
    routing.put([{"record_id": 1, "routing_dest_project": "a1", "routing_active": 1}])
    client = Client(simulator.url, routing.token)
    (row,) = client.export_records(raw_or_label="label")
    assert (row["routing_dest_project"], row["routing_active"]) == ("Heart, Lung and more", "Yes")
    assert row["routing_rules_complete"] == "Incomplete"


@pytest.mark.usefixtures("study")
def test_labels_of_boxes_are_checked_and_unchecked_or_the_choice(client: Client) -> None:
    row = client.export_records(raw_or_label="label", fields=["transfer_error"])[-1]
    assert (row["transfer_error___1"], row["transfer_error___2"]) == ("Unchecked", "Checked")
    row = client.export_records(raw_or_label="label", export_checkbox_labels=True, fields=["transfer_error"])[-1]
    assert (row["transfer_error___1"], row["transfer_error___2"]) == ("", "Send error to rDMA")


@pytest.mark.usefixtures("study")
def test_header_labels_appear_in_csv(client: Client) -> None:
    text = client.export_records(format_type="csv", raw_or_label_headers="label", fields=["transfer_error"])
    assert '"Errors of the transfer (choice=Send error to rDMA)"' in text.splitlines()[0]


def test_an_untouched_status_is_zero_or_blank_on_request(incoming: Project, client: Client) -> None:
    incoming.put([{"study_instance_uid": "1"}])
    (row,) = client.export_records()
    assert row["incoming_studies_complete"] == "0"
    (row,) = client.export_records(export_blank_for_gray_form_status=True)
    assert row["incoming_studies_complete"] == ""


def test_a_record_with_instances_only_has_a_base_row(incoming: Project, client: Client) -> None:
    incoming.put([{**instance("1", "series", 3), "series_instance_uid": "1.1"}])
    assert shape(client.export_records()) == [("1", "", ""), ("1", "series", 3)]


def test_a_project_without_repeats_has_no_repeat_columns(simulator: Simulator) -> None:
    coupling = simulator.projects["coupling"]
    coupling.put([{"record_id": "1", "cl_subjectid": "P1"}])
    assert not set(REPEAT) & coupling.rows()[0].keys()


def test_the_date_range_selects_whole_records_by_the_log(
    simulator: Simulator, incoming: Project, client: Client
) -> None:
    for hour, record in ((8, "1"), (10, "2"), (12, "3")):
        simulator.settings.clock = lambda hour=hour: datetime(2026, 1, 5, hour, tzinfo=UTC)  # type: ignore[misc]
        incoming.put([{"study_instance_uid": record, "study_date": "20260105"}])
    begin, end = datetime(2026, 1, 5, 9, tzinfo=UTC), datetime(2026, 1, 5, 11, tzinfo=UTC)
    assert shape(client.export_records(date_begin=begin)) == [("2", "", ""), ("3", "", "")]
    assert shape(client.export_records(date_begin=begin, date_end=end)) == [("2", "", "")]
    incoming.delete("2")
    assert client.export_records(date_begin=begin, date_end=end) == []


def test_a_malformed_date_is_refused(post: Post) -> None:
    assert post(dateRangeBegin="yesterday").status_code == 400


def test_writing_the_same_values_again_is_no_change_in_the_date_range(
    simulator: Simulator, incoming: Project, client: Client
) -> None:
    simulator.settings.clock = lambda: datetime(2026, 1, 5, 8, tzinfo=UTC)
    incoming.put([{"study_instance_uid": "1", "study_date": "20260105"}])
    simulator.settings.clock = lambda: datetime(2026, 1, 5, 10, tzinfo=UTC)
    incoming.put([{"study_instance_uid": "1", "study_date": "20260105"}])
    assert client.export_records(date_begin=datetime(2026, 1, 5, 9, tzinfo=UTC)) == []


@pytest.mark.parametrize(
    ("logic", "found"),
    [
        ("[study_date] >= 20260102", ["2", "3"]),
        ("[study_date] = '20260101' or [study_instance_uid] = \"3\"", ["1", "3"]),
        ("[study_date] <> '20260101' and ([study_instance_uid] = '2' or [study_description] != '')", ["2"]),
        ("[transfer_error(2)] = '1'", ["3"]),
    ],
)
def test_filter_logic_selects_records(incoming: Project, client: Client, logic: str, found: list[str]) -> None:
    incoming.put([{"study_instance_uid": n, "study_date": f"2026010{n}"} for n in "123"])
    incoming.put([{**instance("3", "transfers", 1), "transfer_error___2": 1}])
    rows = client.export_records(filter_logic=logic, fields=["study_date"])
    assert [row["study_instance_uid"] for row in rows] == found


@pytest.mark.parametrize("logic", ["[nonsense] = 1", "[study_date] =", "[study_date] = 1 )", "(1 = 1", "% = 1"])
def test_filter_logic_that_cannot_be_read_is_an_error(post: Post, logic: str) -> None:
    assert post(filterLogic=logic).status_code == 400


@pytest.mark.usefixtures("study")
def test_csv_delimiter_is_respected(post: Post) -> None:
    text = post(format="csv", csvDelimiter="tab", **{"fields[0]": "study_instance_uid"}).text
    assert text.splitlines()[0].split("\t")[0] == "study_instance_uid"


def test_a_field_that_an_older_server_lacks_is_unknown(incoming: Project, post: Post) -> None:
    incoming.put([{"study_instance_uid": "1", "study_arrival_date": "2026-01-05 10:00"}])
    incoming.remove_field("study_arrival_date")
    assert "study_arrival_date" not in incoming.rows()[0]
    assert post(**{"fields[0]": "study_arrival_date"}).status_code == 400


@pytest.mark.usefixtures("study")
def test_some_servers_give_a_blank_row_for_instances_without_the_fields_asked_for(
    simulator: Simulator, post: Post
) -> None:
    asked = {"fields[0]": "study_instance_uid", "fields[1]": "transfer_name"}
    assert len(post(**asked).json()) == 2
    simulator.inject(Fault(kind="blank_instances"))
    assert [row["transfer_name"] for row in post(**asked).json()] == ["", "", "", "P001"]


def test_a_user_in_a_data_access_group_sees_its_records_alone_and_numbers_them(post: Post, incoming: Project) -> None:
    incoming.put([{"study_instance_uid": "1"}])
    incoming.group = "20"
    incoming.put([{"study_instance_uid": "20-1"}])
    assert [row["study_instance_uid"] for row in post().json()] == ["20-1"]
    assert post(content="generateNextRecordName").text == "20-2"


def test_rows_of_a_longitudinal_project_name_their_event(post: Post, incoming: Project) -> None:
    incoming.put([{"study_instance_uid": "1"}])
    incoming.longitudinal = True
    assert post().json()[0]["redcap_event_name"] == "event_1_arm_1"
    assert post(content="project").json()["is_longitudinal"] == 1
