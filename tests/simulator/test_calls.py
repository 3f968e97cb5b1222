"""What PyCap cannot send: bodies, names, formats and limits of single calls."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import requests

from processors.demo.simulator.parameters import read_parameters

if TYPE_CHECKING:
    from processors.demo.simulator import Call, Project, Simulator

    from .conftest import Post

UNKNOWN = "You do not have permissions to use the API"


@pytest.mark.parametrize("form", ["fields[]", "fields[7]", "fields[a]", "fields%5B0%5D"])
def test_arrays_are_php_style_with_any_index(simulator: Simulator, incoming: Project, form: str) -> None:
    incoming.put([{"study_instance_uid": "1"}])
    body = f"token={incoming.token}&content=record&format=json&{form}=study_instance_uid"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = requests.post(simulator.url, data=body, headers=headers, timeout=10)
    assert answer.json()[0]["study_instance_uid"] == "1"
    assert len(answer.json()[0]) == 3


def test_multipart_bodies_are_equal_to_forms(simulator: Simulator, incoming: Project) -> None:
    data = json.dumps([{"study_instance_uid": "1", "study_description": "Å\r\n--x & 100 %"}])
    parts = {"token": incoming.token, "content": "record", "format": "json", "data": data}
    answer = requests.post(simulator.url, files={name: (None, text) for name, text in parts.items()}, timeout=10)
    assert answer.json() == {"count": 1}
    assert incoming.rows()[0]["study_description"] == "Å\r\n--x & 100 %"


def test_uploads_in_a_multipart_body_are_no_parameters() -> None:
    prepared = requests.Request("POST", "http://x/", files={"file": ("a.txt", b"1")}, data={"a": "1"}).prepare()
    assert isinstance(prepared.body, bytes)
    content_type = prepared.headers["Content-Type"]
    found = read_parameters(prepared.body, content_type, max_input_vars=9, post_max_size=999)
    assert found.values == {"a": "1"}


def test_text_survives_the_form_encoding(post: Post, incoming: Project) -> None:
    text = "Grüße = 100 % + 山田^太郎 & 'x'"
    post(data=json.dumps([{"study_instance_uid": "1", "study_description": text}]))
    assert incoming.rows()[0]["study_description"] == text


@pytest.mark.parametrize("name", ["fields", "forms"])
def test_a_comma_string_in_place_of_an_array_is_refused_of_the_dictionary(post: Post, name: str) -> None:
    answer = post(content="metadata", **{name: "a,b"})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(f'The "{name}" parameter has been provided with a value, but')


def test_a_comma_string_is_taken_of_records_as_clients_of_today_send_it(post: Post, incoming: Project) -> None:
    """REDCapR, tap-redcap and id3c ask so, and were refused."""
    incoming.put([{"study_instance_uid": number, "study_description": "ax"} for number in "123"])
    asked = post(fields="study_instance_uid,study_description", records="1,3").json()
    assert [(row["study_instance_uid"], row["study_description"]) for row in asked] == [("1", "ax"), ("3", "ax")]
    wrong = post(fields="study_instance_uid,nonsense")
    assert (wrong.status_code, wrong.json()["error"]) == (
        400,
        "The following values in the parameter \"fields\" are not valid: 'nonsense'",
    )


@pytest.mark.parametrize(
    ("formats", "body"),
    [
        ({"format": "json"}, f'{{"error":"{UNKNOWN}"}}'),
        ({"format": "json", "returnFormat": "csv"}, f"ERROR: {UNKNOWN}"),
        ({"format": "csv"}, f"ERROR: {UNKNOWN}"),
        ({}, f'<?xml version="1.0" encoding="UTF-8" ?><hash><error>{UNKNOWN}</error></hash>'),
        (
            {"format": "nonsense"},
            f'<?xml version="1.0" encoding="UTF-8" ?><hash><error>{UNKNOWN}</error></hash>',
        ),
    ],
)
def test_errors_follow_return_format_then_format_then_xml(
    simulator: Simulator, formats: dict[str, str], body: str
) -> None:
    answer = requests.post(simulator.url, data={"token": "A" * 32, "content": "record", **formats}, timeout=10)
    assert (answer.status_code, answer.text) == (403, body)


def test_an_unknown_content_is_refused(post: Post) -> None:
    answer = post(content="nonsense")
    assert (answer.status_code, answer.json()) == (
        400,
        {"error": 'The value of the parameter "content" is not valid'},
    )


@pytest.mark.parametrize(
    ("right", "parameters"),
    [
        ("export", {}),
        ("export", {"content": "metadata"}),
        ("import", {"data": "[]"}),
        ("delete", {"action": "delete", "records[0]": "1"}),
        ("logging", {"content": "log"}),
        ("import", {"action": "rename", "record": "1", "new_record_name": "2"}),
    ],
)
def test_a_missing_right_is_refused_with_403(
    post: Post, incoming: Project, right: str, parameters: dict[str, str]
) -> None:
    incoming.grant(delete=True)
    incoming.revoke(right)
    assert post(**parameters).status_code == 403


def test_a_record_can_be_renamed(post: Post, incoming: Project) -> None:
    incoming.put([{"study_instance_uid": "1"}, {"study_instance_uid": "2"}])
    assert post(action="rename", record="1", new_record_name="3").text == "1"
    assert [row["study_instance_uid"] for row in incoming.rows()] == ["2", "3"]
    assert post(action="rename", record="2", new_record_name="3").status_code == 400
    assert post(action="rename", record="9", new_record_name="4").status_code == 400


def test_variables_beyond_the_limit_are_dropped_in_silence(simulator: Simulator, post: Post, incoming: Project) -> None:
    incoming.put([{"study_instance_uid": str(n)} for n in range(20)])
    simulator.settings.max_input_vars = 10
    many = {f"records[{n}]": str(n) for n in range(20)}
    assert [row["study_instance_uid"] for row in post(**many).json()] == [str(n) for n in range(7)]


def test_a_body_above_the_limit_loses_even_its_token(simulator: Simulator, post: Post) -> None:
    simulator.settings.post_max_size = 1000
    answer = post(data=" " * 1000)
    assert answer.status_code == 403
    assert answer.text.startswith("<?xml")


def test_get_is_not_implemented_and_other_paths_are_not_found(simulator: Simulator) -> None:
    answer = requests.get(simulator.url, timeout=10)
    assert answer.status_code == 501
    assert "The requested method is not implemented." in answer.text
    for method in ("GET", "POST", "DELETE"):
        assert requests.request(method, simulator.url.replace("api", "x"), timeout=10).status_code == 404


def test_the_log_comes_as_csv_and_xml_too(incoming: Project, post: Post) -> None:
    incoming.put([{"study_instance_uid": "1"}])
    asked = {"content": "log", "logtype": "record"}
    header, line = post(**asked, format="csv").text.splitlines()
    assert header == "timestamp,username,action,details,record"
    assert line.split(",")[1:] == [
        "person",
        '"Create record (import) 1"',
        "\"study_instance_uid = '1'\"",
        "1",
    ]
    assert "<username><![CDATA[person]]></username>" in post(**asked, format="xml").text


def test_a_form_to_delete_must_exist(incoming: Project, post: Post) -> None:
    incoming.grant(delete=True)
    incoming.put([{"study_instance_uid": "1"}])
    answer = post(action="delete", instrument="nonsense", **{"records[0]": "1"})
    assert (answer.status_code, len(incoming.rows())) == (400, 1)


def test_csv_can_be_imported_with_another_delimiter(incoming: Project, post: Post) -> None:
    data = 'study_instance_uid;study_description\n1;"a;\nb"\n'
    assert post(data=data, format="csv", csvDelimiter=";").text == "1"
    assert incoming.rows()[0]["study_description"] == "a;\nb"


def test_an_action_may_be_named(post: Post) -> None:
    assert post(action="import", data='[{"study_instance_uid": "1"}]').json() == {"count": 1}
    assert len(post(action="export").json()) == 1


def test_calls_are_remembered_without_values(simulator: Simulator, incoming: Project, post: Post) -> None:
    incoming.put([{"study_instance_uid": "1"}])
    post(data='[{"study_instance_uid": "1", "study_patient_id": "secret"}]')
    answer = post(**{"fields[0]": "study_patient_id"})
    written, read = simulator.calls
    assert (written.project, written.content, written.action) == ("incoming", "record", "import")
    assert (written.records, written.rows, written.fields) == (
        1,
        1,
        ("study_instance_uid", "study_patient_id"),
    )
    assert (read.action, read.records, read.fields, read.status) == ("export", 1, ("study_patient_id",), 200)
    assert read.bytes == len(answer.content)
    assert "secret" not in repr(simulator.calls)


def test_a_person_can_act_between_a_read_and_a_write(simulator: Simulator, incoming: Project, post: Post) -> None:
    def person(call: Call) -> None:
        if call.action == "import":
            incoming.put([{"study_instance_uid": "1", "study_description": "by a person"}])

    simulator.before_call = person
    assert post().json() == []
    post(data='[{"study_instance_uid": "1", "study_date": "20260105"}]')
    assert incoming.rows()[0]["study_description"] == "by a person"


def test_after_commit_is_told_of_stored_imports_only(simulator: Simulator, post: Post) -> None:
    told: list[Call] = []
    simulator.after_commit = told.append
    post()
    post(data='[{"nonsense": "1"}]')
    post(data='[{"study_instance_uid": "1"}]')
    assert [(call.action, call.records, call.rows) for call in told] == [("import", 1, 1)]
