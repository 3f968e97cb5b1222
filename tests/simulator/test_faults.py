from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta

import pytest
import requests

from processors.demo.simulator import Fault, Project, Simulator

from .conftest import Post, instance

ROW = json.dumps([{"study_instance_uid": "1"}])


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_server_errors_are_answered_once_and_nothing_is_stored(
    simulator: Simulator, incoming: Project, post: Post, status: int
) -> None:
    simulator.inject(Fault(kind="status", status=status))
    assert post(data=ROW).status_code == status
    assert incoming.rows() == []
    assert post(data=ROW).json() == {"count": 1}


@pytest.mark.parametrize("after_commit", [False, True])
def test_a_connection_is_reset_before_or_after_the_commit(
    simulator: Simulator, incoming: Project, post: Post, *, after_commit: bool
) -> None:
    simulator.inject(Fault(kind="reset", after_commit=after_commit))
    with pytest.raises(requests.ConnectionError):
        post(data=ROW)
    assert len(incoming.rows()) == int(after_commit)
    assert simulator.calls[-1].status == 0


def test_an_answer_is_delayed_until_the_client_gives_up_although_the_import_is_stored(
    simulator: Simulator, incoming: Project
) -> None:
    simulator.inject(Fault(kind="delay", seconds=60, after_commit=True))
    form = {"token": incoming.token, "content": "record", "format": "json", "data": ROW}
    with pytest.raises(requests.ReadTimeout):
        requests.post(simulator.url, data=form, timeout=0.2)
    assert len(incoming.rows()) == 1


def test_a_slow_call_is_stored_only_after_its_delay(simulator: Simulator, incoming: Project) -> None:
    stored = threading.Event()
    simulator.after_commit = lambda _call: stored.set()
    simulator.inject(Fault(kind="delay", seconds=0.3))
    form = {"token": incoming.token, "content": "record", "format": "json", "data": ROW}
    with pytest.raises(requests.ReadTimeout):
        requests.post(simulator.url, data=form, timeout=0.05)
    assert incoming.rows() == []
    assert stored.wait(10)
    assert len(incoming.rows()) == 1


@pytest.mark.parametrize(
    ("kind", "status", "piece"),
    [
        ("browser_tabs", 200, "multiple browser tabs of the same REDCap page"),
        ("memory_error", 200, '</html>\n{"error":"REDCap ran out of server memory.'),
        ("mysql_connect", 200, "could not connect to the MySQL server"),
        ("waf", 403, "<html>"),
        ("banned", 200, "you cannot use REDCap"),
        ("offline", 200, "offline for maintenance"),
    ],
)
def test_pages_take_the_place_of_an_answer(
    simulator: Simulator, incoming: Project, post: Post, kind: str, status: int, piece: str
) -> None:
    simulator.inject(Fault(kind=kind))
    answer = post(data=ROW)
    assert (answer.status_code, incoming.rows()) == (status, [])
    assert piece in answer.text


def test_an_answer_can_be_empty_with_the_import_stored(simulator: Simulator, incoming: Project, post: Post) -> None:
    simulator.inject(Fault(kind="empty", after_commit=True))
    answer = post(data=ROW)
    assert (answer.status_code, answer.text, len(incoming.rows())) == (200, "", 1)


@pytest.mark.usefixtures("study")
def test_json_can_be_cut_in_half(simulator: Simulator, post: Post) -> None:
    whole = post().text
    simulator.inject(Fault(kind="truncated_json"))
    answer = post()
    assert answer.status_code == 200
    assert whole.startswith(answer.text)
    with pytest.raises(requests.JSONDecodeError):
        answer.json()


def test_large_bodies_get_an_empty_error(simulator: Simulator, incoming: Project, post: Post) -> None:
    simulator.inject(Fault(kind="truncated_above", bytes=200, times=None))
    answer = post(data=ROW + " " * 200)
    assert (answer.status_code, answer.json()) == (400, {"error": ""})
    assert incoming.rows() == []
    assert post(data=ROW).json() == {"count": 1}


@pytest.mark.usefixtures("study")
def test_older_servers_take_comma_strings_and_pass_over_unknown_names(simulator: Simulator, post: Post) -> None:
    simulator.inject(Fault(kind="comma_strings", times=None))
    assert post(fields="study_instance_uid, study_description, nonsense").json()[0] == {
        "study_instance_uid": "1.1",
        "redcap_repeat_instrument": "",
        "redcap_repeat_instance": "",
        "study_description": "HEAD, plain",
    }
    assert "transfer_name" in post(forms="nonsense").json()[0]


def test_repeat_columns_may_be_omitted_when_no_instance_is_in_the_result(
    simulator: Simulator, incoming: Project, post: Post
) -> None:
    incoming.put([{"study_instance_uid": "1"}, {**instance("2", "series", 1), "series_date": "1"}])
    simulator.inject(Fault(kind="omit_repeat_columns", times=None))
    assert "redcap_repeat_instance" not in post(**{"records[0]": "1"}).json()[0]
    assert "redcap_repeat_instance" in post(**{"records[0]": "2"}).json()[0]


@pytest.mark.usefixtures("study")
def test_instances_may_come_as_text_and_statuses_as_null(simulator: Simulator, post: Post) -> None:
    simulator.inject(Fault(kind="text_instances"))
    simulator.inject(Fault(kind="complete_null"))
    row = post().json()[1]
    assert (row["redcap_repeat_instance"], row["series_complete"]) == ("1", None)
    row = post().json()[1]
    assert (row["redcap_repeat_instance"], row["series_complete"]) == (1, "2")


def test_a_record_can_be_locked_just_before_an_import(simulator: Simulator, incoming: Project, post: Post) -> None:
    incoming.put([{"study_instance_uid": "1"}])
    simulator.inject(Fault(kind="lock_record", record="1", action="import"))
    assert post().status_code == 200
    assert "locked at the record level" in post(data=ROW).json()["error"]


def test_a_right_can_be_revoked_in_the_middle_of_a_run(simulator: Simulator, post: Post) -> None:
    simulator.inject(Fault(kind="revoke_right", right="import", action="import", nth=2))
    assert post(data=ROW).status_code == 200
    assert post(data=ROW).status_code == 403
    assert post().status_code == 200


def test_an_export_can_lack_a_record_in_silence(simulator: Simulator, incoming: Project, post: Post) -> None:
    incoming.put([{"study_instance_uid": name} for name in "12"])
    simulator.inject(Fault(kind="missing_record"))
    assert [row["study_instance_uid"] for row in post().json()] == ["1"]
    assert len(post().json()) == 2


def test_a_server_can_die_with_half_of_an_import_stored(simulator: Simulator, incoming: Project, post: Post) -> None:
    rows = json.dumps([{"study_instance_uid": name} for name in "1234"])
    simulator.inject(Fault(kind="half_import", times=2))
    simulator.inject(Fault(kind="status", after_commit=True))
    assert post(data=rows).status_code == 500
    assert [row["study_instance_uid"] for row in incoming.rows()] == ["1", "2"]
    assert post(data=rows).json() == {"count": 2}
    assert post(data=rows).json() == {"count": 4}


def test_faults_of_a_stranger_change_no_project(simulator: Simulator) -> None:
    simulator.inject(Fault(kind="revoke_right", right="import"))
    assert requests.post(simulator.url, data={"token": "x"}, timeout=10).status_code == 403
    assert simulator.projects["incoming"].rights.import_


def test_a_fault_strikes_the_nth_matching_call_and_as_often_as_told(simulator: Simulator, post: Post) -> None:
    simulator.inject(Fault(kind="status", status=503, content="metadata", nth=2, times=2))
    struck = [
        post(content=content).status_code for content in ("metadata", "record", "metadata", "metadata", "metadata")
    ]
    assert struck == [200, 200, 503, 503, 200]


def test_a_fault_can_be_for_one_project(simulator: Simulator, post: Post) -> None:
    simulator.inject(Fault(kind="status", project="coupling", times=None))
    assert post().status_code == 200
    assert post(token=simulator.projects["coupling"].token).status_code == 500
    simulator.clear_faults()
    assert post(token=simulator.projects["coupling"].token).status_code == 200


def test_an_unknown_kind_of_fault_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"expected one of the faults .*, found 'typo'"):
        Fault(kind="typo")
    with pytest.raises(ValueError, match=r"expected one of the rights .*, found 'write'"):
        Fault(kind="revoke_right", right="write")
    with pytest.raises(ValueError, match="id of the record to lock"):
        Fault(kind="lock_record")


def test_too_many_calls_a_minute_ban_the_address_until_a_person_lifts_it(simulator: Simulator, post: Post) -> None:
    now = datetime(2026, 1, 5, tzinfo=UTC)
    simulator.settings.clock = lambda: now
    simulator.settings.calls_per_minute = 2
    assert [post().text[:1] for _ in range(3)] == ["[", "[", "<"]
    now += timedelta(hours=1)
    assert "banned" in post().text
    simulator.clear_faults()
    assert post().json() == []


def test_calls_spread_over_minutes_ban_nobody(simulator: Simulator, post: Post) -> None:
    now = datetime(2026, 1, 5, tzinfo=UTC)
    simulator.settings.clock = lambda: now
    simulator.settings.calls_per_minute = 1
    for _ in range(3):
        now += timedelta(minutes=1)
        assert post().json() == []


def test_faults_can_be_set_listed_and_cleared_over_http(simulator: Simulator, post: Post) -> None:
    admin = simulator.url.replace("/api/", "/admin/faults")
    described = [{"kind": "status", "status": 502}, {"kind": "waf", "content": "log", "times": None}]
    listed = requests.post(admin, json=described, timeout=10).json()
    assert [fault["kind"] for fault in listed] == ["status", "waf"]
    assert post().status_code == 502
    assert [fault["kind"] for fault in requests.get(admin, timeout=10).json()] == ["waf"]
    assert requests.delete(admin, timeout=10).json() == []
    assert post(content="log").status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        '{"kind": "typo"}',
        '{"status": 500}',
        "[1]",
        "{",
        '{"kind": "waf", "nth": "2"}',
        '{"kind": "waf", "x": 1}',
    ],
)
def test_a_fault_that_cannot_be_read_is_told_over_http(simulator: Simulator, body: str) -> None:
    answer = requests.post(simulator.url.replace("/api/", "/admin/faults"), data=body, timeout=10)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_calls_are_listed_over_http(simulator: Simulator, post: Post) -> None:
    post(content="version")
    admin = simulator.url.replace("/api/", "/admin/")
    (call,) = requests.get(f"{admin}calls", timeout=10).json()
    assert (call["project"], call["content"], call["status"]) == ("incoming", "version", 200)
    assert requests.get(f"{admin}nonsense", timeout=10).status_code == 404
