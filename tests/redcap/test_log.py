"""Reading REDCap's log: its lines as servers write them, whatever the values hold."""

from datetime import datetime, timedelta

import pytest

from processors.demo.simulator import Fault, Project, Simulator
from processors.errors import Refused, Unanswered
from processors.redcap import Redcap
from processors.redcap.log import log_lines

NOON = datetime.fromisoformat("2026-03-02T12:00:00+01:00")


def read(details: str, action: str = "Update record 1.2") -> tuple[int | None, bool, dict[str, str]]:
    (line,) = log_lines([{"action": action, "details": details, "record": "1.2"}])
    return line.instance, line.deleted, dict(line.values)


@pytest.mark.parametrize(
    ("details", "instance", "values"),
    [
        ("[instance = 2], a = 'x', b = ''", 2, {"a": "x", "b": ""}),
        ("[instance = 12],\na = 'x',\nb = 'y'", 12, {"a": "x", "b": "y"}),
        ("a = 'x'", 1, {"a": "x"}),
        ("a = 'it's, b', b = 'c = 'd''", 1, {"a": "it's, b", "b": "c = 'd'"}),
        ("a = 'two\nlines', box(1) = checked, b = 'y'", 1, {"a": "two\nlines", "b": "y"}),
        ("box(1) = checked", 1, {}),
        ("[instance = 3]", 3, {}),
        ("a = '[instance = 9]'", 1, {"a": "[instance = 9]"}),
        ("", 1, {}),
        ("a = 'x", 1, {}),
        ("[instance = 99999999999], a = 'x'", 1, {"a": "x"}),
    ],
)
def test_details_are_read_as_servers_write_them(details: str, instance: int, values: dict[str, str]) -> None:
    assert read(details) == (instance, False, values)


@pytest.mark.parametrize(
    ("details", "action", "instance"),
    [
        ("study_instance_uid = '1.2'", "Delete record 1.2", None),
        ("Delete all data from instrument 'transfers'", "Update record 1.2", None),
        ("Delete all data from instrument 'transfers', [instance = 2]", "Update record 1.2", 2),
        ("[instance = 2],\nDelete all data from instrument 'transfers'", "Update record 1.2", 2),
    ],
)
def test_deletions_are_told_apart(details: str, action: str, instance: int | None) -> None:
    assert read(details, action) == (instance, True, {})


def test_older_servers_name_the_record_in_the_action_only() -> None:
    (line,) = log_lines([{"action": "Update record (import) 1.2", "details": "a = 'x'"}])
    assert line.record == "1.2"


def test_values_are_not_in_what_a_line_looks_like() -> None:
    assert "P-7" not in repr(log_lines([{"action": "Update record 1", "details": "a = 'P-7'", "record": "1"}]))


def test_the_oldest_change_comes_first_and_nothing_before_the_time(
    client: Redcap, simulator: Simulator, incoming: Project
) -> None:
    for minutes, text in enumerate(("first", "second", "third")):
        simulator.settings.clock = lambda minutes=minutes: NOON + timedelta(minutes=minutes)  # type: ignore[misc]
        incoming.put([{"study_instance_uid": "1.2", "study_description": text}, {"study_instance_uid": "1.3"}])
    lines = client.export_log("incoming", since=NOON + timedelta(minutes=1), record="1.2")
    assert [line.values["study_description"] for line in lines] == ["second", "third"]


def test_the_log_needs_its_right(client: Redcap, incoming: Project) -> None:
    incoming.revoke("logging")
    with pytest.raises(Refused):
        client.export_log("incoming", since=NOON)


def test_a_log_that_fails_is_not_asked_for_again(client: Redcap, simulator: Simulator) -> None:
    simulator.inject(Fault(kind="status", status=504, times=None))
    with pytest.raises(Unanswered):
        client.export_log("incoming", since=NOON)
    assert client.calls == 1
