"""What `status` shows and how it is acknowledged, as a person pastes it."""

import os
import pty
import re
import shlex
import subprocess
import sys

import pytest

from tests.cli.conftest import Site
from tests.processes import ROOT


def rule(record_id: str, project: str, patient_id: str) -> dict[str, str]:
    return {
        "record_id": record_id,
        "routing_active": "1",
        "routing_dest_project": project,
        "routing_incoming_aetitle": "FIONA",
        "routing_allowed_patientid": patient_id,
    }


@pytest.fixture
def partial(site: Site) -> Site:
    """A site at which patterns of three rules have matched the start of PatientIDs only."""
    site.simulator.projects["routing"].put([rule("1", "1", "PANCREA"), rule("2", "1", "SCSARA"), rule("3", "2", "SCS")])
    assert site.command("run", "--only", "incoming").code == 1
    return site


def waiting(site: Site) -> list[int]:
    kind = "pattern matched the start only"
    return [row["position"] for row in site.command("status", "--json").data["attention"] if row["kind"] == kind]


def test_several_positions_are_acknowledged_at_once(partial: Site) -> None:
    first, second, *rest = waiting(partial)
    done = partial.command("acknowledge", str(first), str(second), "--reason", "checked")
    assert (done.code, done.out.count("Acknowledged: pattern matched the start only, study ")) == (0, 2)
    assert waiting(partial) == rest


def test_where_one_position_is_no_notice_nothing_is_acknowledged(partial: Site) -> None:
    before = waiting(partial)
    done = partial.command("acknowledge", str(before[0]), "1", "--reason", "checked")
    assert (done.code, "Position 1 is no notice" in done.err) == (2, True)
    assert waiting(partial) == before


def test_all_of_a_rule_of_a_project_and_of_a_kind_are_acknowledged(partial: Site) -> None:
    kind = "pattern matched the start only"
    count = len(waiting(partial))
    assert len(partial.command("acknowledge", "--rule", "1", "--reason", "x", "--json").data["acknowledged"]) == 1
    options = ("--kind", kind, "--project", "Alpha")
    assert len(partial.command("acknowledge", *options, "--reason", "x", "--json").data["acknowledged"]) == 1
    left = partial.command("acknowledge", "--kind", kind, "--reason", "x", "--json").data["acknowledged"]
    assert len(left) == count - 2 > 0
    assert waiting(partial) == []
    assert partial.command("acknowledge", "--kind", kind, "--reason", "x").code == 2


@pytest.mark.parametrize("arguments", [(), ("1", "--kind", "conflict")])
def test_either_positions_or_what_they_have_in_common_is_named(site: Site, arguments: tuple[str, ...]) -> None:
    done = site.command("acknowledge", *arguments, "--reason", "x")
    assert (done.code, "Expected the positions to acknowledge" in done.err) == (2, True)


def test_what_the_screen_shows_can_be_pasted_and_works(partial: Site) -> None:
    shown = partial.command("status").out
    commands = re.findall(r"^ +(fiona-ledger --config .*)$", shown, re.MULTILINE)
    assert commands
    assert "{" not in shown, "words instead of JSON"
    for command in commands:
        arguments = shlex.split(command)[3:]
        assert partial.command(*arguments, "--reason", "checked").code == 0
    assert waiting(partial) == []


def test_whoever_sits_at_a_terminal_is_asked_for_the_reason(partial: Site) -> None:
    controller, terminal = pty.openpty()
    position = waiting(partial)[0]
    program = "from processors.cli.main import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "--config", str(partial.config), "acknowledge", str(position)],
        stdin=terminal,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    )
    os.write(controller, b"asked the study nurse\n")
    out, _ = process.communicate(timeout=60)
    os.close(controller)
    os.close(terminal)
    assert process.returncode == 0
    assert "Reason" in out
    assert position not in waiting(partial)


def test_without_a_reason_and_a_terminal_it_is_refused(partial: Site) -> None:
    done = partial.command("acknowledge", str(waiting(partial)[0]))
    assert (done.code, "--reason: expected" in done.err) == (2, True)


def on_a_terminal(site: Site, columns: int) -> str:
    controller, terminal = pty.openpty()
    program = "from processors.cli.main import main; main()"
    environment = {**os.environ, "COLUMNS": str(columns), "LINES": "50", "TERM": "xterm-256color"}
    process = subprocess.Popen(
        [sys.executable, "-c", program, "--config", str(site.config), "status"],
        stdout=terminal,
        cwd=ROOT,
        env=environment,
    )
    os.close(terminal)
    shown = b""
    try:
        while part := os.read(controller, 65_536):
            shown += part
    except OSError:  # the other end is closed
        pass
    os.close(controller)
    assert process.wait(60) == 1
    return shown.decode()


@pytest.mark.parametrize("columns", [60, 120])
def test_a_terminal_shows_colours_and_no_line_is_longer_than_it_is_wide(partial: Site, columns: int) -> None:
    shown = on_a_terminal(partial, columns)
    assert "\x1b[1;32mSite main" in shown
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    # A UID, or a command to be pasted, stays in one piece.
    lines = [line for line in plain.splitlines() if "fiona-ledger --config" not in line and len(line.split()) > 1]
    assert max(len(line) for line in lines) <= columns
    assert "\x1b" not in partial.command("status").out
