from __future__ import annotations

import json
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

import pytest
from redcap.project import Project as Client

from processors.demo.simulator import Project, Refusal, Simulator

from .conftest import Post, instance


def one(project: Project, record: str, instrument: str = "", number: int | str = "") -> dict[str, str | int]:
    """The one row at a place."""
    (row,) = [
        row
        for row in project.rows()
        if row[project.dictionary.record_id] == record
        and row.get("redcap_repeat_instrument", "") == instrument
        and row.get("redcap_repeat_instance", "") == number
    ]
    return row


NOT_EXPECTED = (
    "The value you provided could not be validated because it does not follow the expected format. Please try again."
)


def errors(post: Post, *rows: dict[str, object], **parameters: str) -> list[str]:
    answer = post(data=json.dumps(rows), **parameters)
    assert answer.status_code == 400
    return str(answer.json()["error"]).split("\n")


def test_count_is_of_distinct_records(client: Client) -> None:
    rows = [{**instance("1", "series", n), "series_instance_uid": f"1.{n}"} for n in (1, 2)]
    assert client.import_records(rows) == {"count": 1}
    assert client.import_records(rows) == {"count": 1}


def test_a_row_with_only_the_id_makes_an_empty_record(client: Client, incoming: Project) -> None:
    assert client.import_records([{"study_instance_uid": "1"}]) == {"count": 1}
    assert one(incoming, "1")["study_description"] == ""


def test_only_keys_present_are_touched(client: Client, incoming: Project) -> None:
    incoming.put([{"study_instance_uid": "1", "study_date": "20260105", "study_time": "10"}])
    client.import_records([{"study_instance_uid": "1", "study_time": "11"}], overwrite="overwrite")
    assert (one(incoming, "1")["study_date"], one(incoming, "1")["study_time"]) == ("20260105", "11")


@pytest.mark.parametrize(("behaviour", "left"), [("normal", "20260105"), ("overwrite", "")])
def test_blanks_erase_only_with_overwrite(
    client: Client, incoming: Project, behaviour: Literal["normal", "overwrite"], left: str
) -> None:
    incoming.put([{"study_instance_uid": "1", "study_date": "20260105"}])
    client.import_records([{"study_instance_uid": "1", "study_date": ""}], overwrite=behaviour)
    assert one(incoming, "1")["study_date"] == left


@pytest.mark.parametrize("behaviour", ["normal", "overwrite"])
def test_zero_unchecks_a_box_either_way(
    client: Client, incoming: Project, behaviour: Literal["normal", "overwrite"]
) -> None:
    incoming.put([{**instance("1", "transfers", 1), "transfer_name": "P", "transfer_error___1": 1}])
    client.import_records([{**instance("1", "transfers", 1), "transfer_error___1": 0}], overwrite=behaviour)
    assert one(incoming, "1", "transfers", 1)["transfer_error___1"] == "0"


def test_an_instance_without_values_is_gone(client: Client, incoming: Project) -> None:
    incoming.put([{**instance("1", "series", n), "series_date": "20260105"} for n in (1, 2, 3)])
    client.import_records([{**instance("1", "series", 2), "series_date": ""}], overwrite="overwrite")
    assert [row["redcap_repeat_instance"] for row in incoming.rows()] == ["", 1, 3]


def test_new_takes_the_next_number_and_a_retry_takes_another_one(client: Client, incoming: Project) -> None:
    incoming.put([{**instance("1", "series", 4), "series_instance_uid": "a"}])
    rows = [{**instance("1", "series", "new"), "series_instance_uid": uid} for uid in "bc"]
    client.import_records(rows)
    client.import_records(rows)
    assert [row["redcap_repeat_instance"] for row in incoming.rows()] == ["", 4, 5, 6, 7, 8]


def test_the_last_of_two_rows_for_one_place_wins(client: Client, incoming: Project) -> None:
    rows = [{"study_instance_uid": "1", "study_time": time} for time in ("10", "11")]
    assert client.import_records(rows) == {"count": 1}
    assert one(incoming, "1")["study_time"] == "11"


@pytest.mark.usefixtures("study")
@pytest.mark.parametrize("kind", ["csv", "xml"])
def test_a_whole_export_can_be_imported_again(client: Client, incoming: Project, kind: Literal["csv", "xml"]) -> None:
    before = incoming.rows()
    exported = client.export_records(format_type=kind)
    assert client.import_records(exported, import_format=kind, overwrite="overwrite") == {"count": 1}
    assert incoming.rows() == before


def test_eav_rows_are_read(post: Post, incoming: Project) -> None:
    place = {"record": "1", "redcap_repeat_instrument": "transfers", "redcap_repeat_instance": 2}
    rows = [
        {**place, "field_name": "transfer_name", "value": "P1"},
        {**place, "field_name": "transfer_error", "value": "3"},
    ]
    assert post(type="eav", data=json.dumps(rows)).json() == {"count": 1}
    row = one(incoming, "1", "transfers", 2)
    assert (row["transfer_name"], row["transfer_error___3"], row["transfer_error___1"]) == ("P1", "1", "0")


@pytest.mark.parametrize(
    ("date_format", "sent"),
    [("YMD", "2026-01-31 08:05"), ("MDY", "01/31/2026 08:05"), ("DMY", "31/01/2026 08:05")],
)
def test_dates_are_stored_year_first(
    client: Client, incoming: Project, date_format: Literal["YMD", "MDY", "DMY"], sent: str
) -> None:
    client.import_records([{"study_instance_uid": "1", "study_arrival_date": sent}], date_format=date_format)
    assert one(incoming, "1")["study_arrival_date"] == "2026-01-31 08:05"


@pytest.mark.parametrize(
    ("wanted", "json_body", "csv_body"),
    [
        ("count", '{"count": 2}', "2"),
        ("ids", '["4","5"]', "id\n4\n5\n"),
        ("nothing", "", ""),
        ("auto_ids", '{"count": 2}', "2"),
    ],
)
def test_return_content_shapes_the_reply(post: Post, wanted: str, json_body: str, csv_body: str) -> None:
    data = json.dumps([{"study_instance_uid": 4}, {"study_instance_uid": 5}])
    assert post(data=data, returnContent=wanted, returnFormat="json").text == json_body
    assert post(data=data, returnContent=wanted, returnFormat="csv").text == csv_body


def test_xml_replies_have_a_count_or_ids(post: Post) -> None:
    data = json.dumps([{"study_instance_uid": 4}])
    head = '<?xml version="1.0" encoding="UTF-8" ?>'
    assert post(data=data, returnFormat="xml").text == f"{head}<count>1</count>"
    assert post(data=data, returnFormat="xml", returnContent="ids").text == f"{head}<ids><id>4</id></ids>"


def test_a_background_import_answers_success_only(post: Post, incoming: Project) -> None:
    data = json.dumps([{"study_instance_uid": 4}])
    assert post(data=data, backgroundProcess="1", returnFormat="csv").json() == {"success": True}
    assert [row["study_instance_uid"] for row in incoming.rows()] == ["4"]


def test_auto_numbering_gives_new_ids_on_every_try(simulator: Simulator) -> None:
    autoid = simulator.projects["autoid"]
    autoid.put([{"record_id": "7", "autoid_value": "P1"}])
    client = Client(simulator.url, autoid.token)
    rows = [{"record_id": "7", "autoid_value": "P2"}]
    for new in ("8", "9"):
        assert client.import_records(rows, force_auto_number=True, return_content="auto_ids") == [f"{new},7"]
    assert [(row["record_id"], row["autoid_value"]) for row in autoid.rows()] == [
        ("7", "P1"),
        ("8", "P2"),
        ("9", "P2"),
    ]


def test_without_auto_numbering_in_the_project_ids_are_kept(client: Client) -> None:
    rows = [{"study_instance_uid": "1101"}]
    assert client.import_records(rows, force_auto_number=True, return_content="auto_ids") == ["1101,1101"]


def test_a_single_object_in_place_of_a_list_stores_nothing(post: Post, incoming: Project) -> None:
    assert post(data='{"study_instance_uid": "1"}').json() == {"count": 0}
    assert incoming.rows() == []


@pytest.mark.parametrize("data", ["", "[{", '["1"]', '"text"'])
def test_a_malformed_payload_is_refused(post: Post, data: str) -> None:
    answer = post(data=data)
    assert answer.status_code == 400
    assert answer.json() == {"error": "The data is not in the specified format."}


def test_a_csv_line_of_another_length_is_refused(post: Post) -> None:
    assert post(data="study_instance_uid,study_date\n1\n", format="csv", returnFormat="json").status_code == 400


def test_unknown_fields_are_listed_together(post: Post) -> None:
    found = errors(post, {"study_instance_uid": "1", "a": 1, "transfer_error": "1"}, {"study_instance_uid": 2, "b": ""})
    assert found == ["The following fields were not found in the project as real data fields: a, transfer_error, b"]


@pytest.mark.parametrize("name", ["redcap_data_access_group", "redcap_survey_identifier", "series_timestamp"])
def test_columns_that_redcap_adds_are_passed_over(post: Post, name: str) -> None:
    assert post(data=json.dumps([{"study_instance_uid": "1", name: "x"}])).json() == {"count": 1}


def test_all_problems_are_listed_and_nothing_is_stored(post: Post, incoming: Project) -> None:
    found = errors(
        post,
        {"study_instance_uid": "1", "study_date": "fine"},
        {"study_instance_uid": "2", "study_arrival_date": '5 "Jan"', "incoming_studies_complete": "3"},
        {**instance("3", "series", 1), "series_num_files": "many"},
    )
    assert found == [
        f'"2","study_arrival_date","5 ""Jan""","{NOT_EXPECTED}"',
        ('"2","incoming_studies_complete","3","The value is not a valid category for incoming_studies_complete"'),
        '"3","series_num_files","many","This value you provided is not an integer. Please try again."',
    ]
    assert incoming.rows() == []


def test_a_repeating_field_without_repeat_columns_is_refused(post: Post) -> None:
    (found,) = errors(post, {"study_instance_uid": "1", "series_date": "20260105"})
    assert "This field ('series_date') exists on a Repeating Instrument named 'series'." in found
    assert found.startswith('"1","series_date","20260105",')


def test_a_field_of_another_form_on_an_instance_is_refused(post: Post) -> None:
    (found,) = errors(post, {**instance("1", "series", 1), "study_date": "20260105"})
    assert found.startswith('"1","study_date","20260105",')


def test_an_unknown_instrument_is_refused_in_two_lines(post: Post) -> None:
    first, second = errors(post, instance("1", "nonsense", 1))
    assert "redcap_repeat_instrument must be the unique form name of a Repeating Instrument." in first
    assert "redcap_repeat_instance cannot have a value since this instrument" in second


@pytest.mark.parametrize("number", ["", "0", "-1", "x", "1.5"])
def test_an_instance_must_be_a_positive_integer(post: Post, number: str) -> None:
    (found,) = errors(post, {**instance("1", "series", number), "series_date": "20260105"})
    assert found.startswith(f'"1","redcap_repeat_instance","{number}",')


@pytest.mark.parametrize("record", ["", "x" * 101])
def test_a_row_needs_a_record_id_of_reasonable_length(post: Post, record: str) -> None:
    (found,) = errors(post, {"study_instance_uid": record, "study_date": "1"})
    assert "expected a record id" in found


def test_a_locked_record_refuses_the_whole_payload(post: Post, incoming: Project) -> None:
    incoming.put([{"study_instance_uid": "1"}])
    incoming.lock("1")
    (found,) = errors(post, {"study_instance_uid": "1", "study_date": "1"}, {"study_instance_uid": "2"})
    assert found == (
        '"1","study_instance_uid","1",'
        '"This record has been locked at the record level. No value within this record can be modified."'
    )
    assert len(incoming.rows()) == 1
    incoming.unlock("1")
    assert post(data='[{"study_instance_uid": "1"}]').json() == {"count": 1}


def test_a_person_is_told_the_list_of_problems(incoming: Project) -> None:
    rows = [{"study_instance_uid": "1", "study_arrival_date": "never"}, {"study_instance_uid": ""}]
    with pytest.raises(ValueError, match="follow the expected format") as refused:
        incoming.put(rows)
    assert isinstance(refused.value, Refusal)
    assert len(refused.value.errors) == 2


def test_a_choice_is_a_code_and_never_its_label(simulator: Simulator) -> None:
    routing = simulator.projects["routing"]
    routing.put([{"record_id": "1", "routing_dest_project": "2"}])
    with pytest.raises(Refusal, match="not a valid category for routing_dest_project"):
        routing.put([{"record_id": "1", "routing_dest_project": "Heart Study"}])


def test_an_unknown_date_format_is_refused(post: Post) -> None:
    assert post(data="[]", dateFormat="YDM").status_code == 400


@pytest.mark.parametrize(
    ("alteration", "sent", "stored"),
    [
        ("trimmed", " ax ", "ax"),
        ("line_ends", "a\r\nb", "a\nb"),
        ("entities", "T1 <ax> & more", "T1 &lt;ax&gt; &amp; more"),
        ("no_four_bytes", "brain 🧠 ax", "brain ? ax"),
        ("cut_at_four_bytes", "brain 🧠 ax", "brain "),
        ("cut", "ä" * 40_000, "ä" * 32_767),
    ],
)
def test_a_server_may_alter_what_it_saves(
    post: Post, incoming: Project, alteration: str, sent: str, stored: str
) -> None:
    incoming.alterations = (alteration,)
    post(data=json.dumps([{"study_instance_uid": "1", "study_description": sent}]))
    assert one(incoming, "1")["study_description"] == stored


def test_nothing_is_imported_into_a_project_in_analysis(post: Post, incoming: Project) -> None:
    incoming.status = "analysis"
    assert "Analysis/Cleanup" in errors(post, {"study_instance_uid": "1"})[0]
    assert incoming.rows() == []


def test_the_log_is_written_in_the_servers_zone(simulator: Simulator, post: Post, incoming: Project) -> None:
    simulator.settings.clock = lambda: datetime.fromisoformat("2026-03-02T12:00:00+01:00")
    simulator.settings.zone = ZoneInfo("America/Chicago")
    post(data=json.dumps([{"study_instance_uid": "1"}]))
    assert incoming.log[-1].time == "2026-03-02 05:00:00"
    assert len(post(dateRangeBegin="2026-03-02 04:59:00").json()) == 1
    assert post(dateRangeBegin="2026-03-02 12:00:00").json() == []
