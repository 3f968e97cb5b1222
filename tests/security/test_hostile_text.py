"""Hostile words in every field that others fill, through every command that prints."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unicodedata import category

import pytest
from typer.testing import CliRunner

from processors.cli.main import app
from tests.audit.test_views import VIEWS
from tests.cli.conftest import Done, configuration, forked
from tests.flow.conftest import MakeSite, make_site
from tests.flow.harness import BRAIN, Site

__all__ = ["make_site"]

HOSTILE = "=cmd()\x1b[31m\u202e[red]x[/]\x9b2J\nForged: all is well"
STUDY = "1.2.3"


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """A gateway whose senders, REDCap users and disk are all hostile, after two runs."""
    site = make_site()
    site.rule(HOSTILE, patient_id="PID-1", event=HOSTILE)
    site.rule(f"{HOSTILE}2", patient_id="(", project=BRAIN, called=HOSTILE, calling=HOSTILE)
    site.rule("3", patient_id="PID-1", project=BRAIN, called=HOSTILE, event=HOSTILE)
    site.entry(HOSTILE, accession=HOSTILE, project=f"{HOSTILE}3", event=HOSTILE, subject="H-1")
    site.entry(f"{HOSTILE}2", accession=HOSTILE, project=BRAIN, event=HOSTILE, subject="H-2")
    site.entry(f"{HOSTILE}3", accession=f"{HOSTILE}9", event=HOSTILE, subject="H-3")
    site.list_project(f"{HOSTILE}4", record=HOSTILE, active="1")
    said: dict[str, Any] = dict.fromkeys(
        ("StudyDescription", "SeriesDescription", "InstitutionName", "SequenceName"), HOSTILE
    )
    said |= {"AccessionNumber": HOSTILE, "ClassifyType": HOSTILE}
    site.series(STUDY, called=HOSTILE, calling=HOSTILE, **said)
    site.series("1.2.4", PatientID="PID-2", **said)
    (site.receiver.raw / STUDY / "=\x1b[31m\u202e[x]\nForged: file.json").write_text("{}")
    (site.receiver.raw / "=\x1b[31m\u202e[x]\nForged: folder").mkdir()
    site.run()
    site.person_requests("1.2.4", HOSTILE, HOSTILE, event=HOSTILE)
    site.series("1.2.4", AccessionNumber=f"{HOSTILE}2")
    site.run()
    return site


@pytest.fixture
def config(site: Site, tmp_path: Path) -> Path:
    file = tmp_path / "fiona-ledger.toml"
    content = configuration(site.simulator, raw=site.receiver.raw, url=site.database_url, key_file=site.key_file)
    file.write_text(f"{content}\n[clock]\ntolerance_minutes = 500000\n")
    return file


def printed(done: Done) -> Iterator[str]:
    assert done.code in (0, 1, 2), done.err
    assert "nobody foresaw" not in done.err
    yield from done.out.split("\n")
    yield from done.err.split("\n")


def assert_harmless(done: Done) -> None:
    for line in printed(done):
        assert {category(character) for character in line} & {"Cc", "Cf", "Cs", "Zl", "Zp"} == set(), repr(line)
        assert not line.startswith("Forged"), line


def cells(done: Done) -> list[list[str]]:
    assert_harmless(done)
    return list(csv.reader(io.StringIO(done.out)))


def test_no_command_prints_what_steers_a_terminal_or_a_spreadsheet(config: Path, tmp_path: Path) -> None:
    def command(*arguments: str) -> Done:
        done = CliRunner().invoke(app, ["--config", str(config), *arguments])
        return Done(done.exit_code, done.stdout, done.stderr)

    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps([{"record_id": "9", "routing_active": "1", "routing_allowed_patientid": HOSTILE}]))
    said = ""
    for arguments in (
        ["status"],
        ["explain", STUDY],
        ["explain", "1.2.4"],
        ["rules", "check"],
        ["identity", "check"],
        ["reconcile"],
        ["run", "--dry-run"],
        ["run"],
    ):
        done = command(*arguments)
        assert_harmless(done)
        said += done.out
        done = command(*arguments, "--json")
        assert_harmless(done)
        assert isinstance(done.data, dict)
    assert said.count("[red]x[/]") > 20  # as it is: no markup was taken for any

    for arguments in (["explain", HOSTILE], ["what-if", str(rules)], ["explain", f"{HOSTILE}0"]):
        assert_harmless(command(*arguments))

    for view in VIEWS:
        assert_harmless(command("audit", view))
        rows = cells(command("audit", view, "--csv"))
        assert [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@")) and len(cell) > 3] == []
    told = command("audit", "study", "--json")
    assert_harmless(told)
    assert any("\x1b" in str(value) for row in told.data for value in row.values())  # programs get what was said

    for arguments in (["export"], ["export", "--format", "audit-event"], ["prove", STUDY], ["prove", STUDY, "--json"]):
        done = command(*arguments)
        assert (done.code, bool(done.out)) == (0, arguments[1:2] != ["--format"])
        assert_harmless(done)

    for row in cells(command("reconcile", "--format", "csv")):
        assert not any(cell.startswith("=") for cell in row)


def test_forget_lists_a_record_id_that_looks_like_markup_before_it_destroys_anything(config: Path) -> None:
    """It used to end with 70 when the keys were gone, and the list with it."""
    done = forked("--config", str(config), "forget", "--study", "1.2.4", "--reason", "withdrew, case 17", "--yes")
    assert_harmless(done)
    assert done.code == 1, "others have requested it, too"
    before, _, _after = done.out.partition("Forgotten: ")
    assert "Left in REDCap" in before
    assert "[red]x[/]" in before
