"""What `run` prints where cron or the journal reads it: news, on lines with a time."""

import json
import os
import pty
import re
import subprocess
import sys
import time
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from ledger import lease
from ledger.database import Database
from processors.cli import journal
from processors.cli.bootstrap import now
from processors.cli.journal import Level
from processors.cli.news import Audience
from processors.cli.runs import periodic_run
from tests.cli.conftest import Done, Site, surroundings
from tests.processes import ROOT

STAMPED = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}: \[fiona-ledger\] (.*)")


def told(text: str) -> list[str]:
    """The words of the lines, all of which are stamped."""
    lines = text.splitlines()
    found = [STAMPED.fullmatch(line) for line in lines]
    assert all(found), lines
    return [match[1] for match in found if match is not None]


def rejected_file(site: Site, study: str = "1.2.3") -> None:
    folder = site.raw / study
    folder.mkdir()
    file = folder / f"{study}.4.json"
    file.write_text('{"StudyInst')
    for path in (file, folder):
        os.utime(path, (time.time() - 300, time.time() - 300))


def run(site: Site) -> Done:
    return site.command("run", "--only", "incoming")


def test_a_run_in_which_nothing_happened_prints_nothing(site: Site) -> None:
    """1,440 mails a day."""
    run(site)
    for _ in range(2):
        assert run(site) == Done(0, "", "")


def test_what_happened_is_told_line_by_line_with_the_time(site: Site) -> None:
    done = run(site)
    source, redcap = told(done.out)
    assert "61 discovered" in source
    assert "54 studies, 61 series" in redcap
    assert abs(datetime.fromisoformat(done.out[:26]).astimezone() - now()) < timedelta(minutes=1)


def test_a_part_in_which_nothing_happened_is_left_out(site: Site) -> None:
    run(site)
    row = {"record_id": "1", "routing_active": "0", "routing_dest_project": "1"}
    site.simulator.projects["routing"].put([row])
    (line,) = told(run(site).out)
    assert line.startswith("Decisions: 1 changes of rules and couplings")


def test_what_needs_a_person_is_told_once_when_it_is_new(site: Site) -> None:
    run(site)
    rejected_file(site)
    done = run(site)
    assert told(done.out)[-1] == "needs attention: 1 x rejected file, new; `fiona-ledger status` shows what to do."
    assert run(site) == Done(1, "", ""), "the code still says that something needs attention"
    rejected_file(site, "1.2.4")
    assert told(run(site).out)[-1].startswith("needs attention: 1 x rejected file, new;")


class Told:
    """What a run told to cron at so much from now; PostgreSQL's clock is not held against ours."""

    def __init__(self, site: Site, capsys: pytest.CaptureFixture[str]) -> None:
        self._site, self._capsys = site, capsys
        site.change("[redcap]\n", "[clock]\ntolerance_minutes = 500000\n[redcap]\n")

    def __call__(self, **later: float) -> list[str]:
        self._capsys.readouterr()
        with suppress(SystemExit):
            periodic_run(self._site.config, Audience(), command="run", clock=lambda: now() + timedelta(**later))
        printed = self._capsys.readouterr()
        return [line for line in told(printed.out + printed.err) if "This machine's clock" not in line]


@pytest.fixture
def run_later(site: Site, capsys: pytest.CaptureFixture[str]) -> Told:
    return Told(site, capsys)


def test_what_needs_a_person_is_told_once_more_when_it_is_a_day_old(site: Site, run_later: Told) -> None:
    rejected_file(site)
    assert any("rejected file, new" in line for line in run_later())
    assert run_later(hours=23) == []
    (line,) = run_later(hours=25)
    assert line.startswith("needs attention: 1 x rejected file, for a day now;")
    assert run_later(hours=26) == run_later(hours=80) == []


def test_an_outage_is_told_when_it_begins_each_day_and_when_it_ends(site: Site, run_later: Told) -> None:
    """Each minute of it used to be a mail."""
    run_later()
    site.shut_out()
    (first,) = run_later(minutes=1)
    assert "REDCap" in first
    assert run_later(minutes=2) == run_later(hours=20) == []
    (again,) = run_later(hours=25)
    assert "You do not have permissions to use the API" in again
    site.let_in()
    (over,) = run_later(hours=26)
    assert over.startswith("Runs get through again. Errors had ended them since 20")
    assert run_later(hours=27) == []


def test_rounds_that_are_told_in_full_tell_an_error_when_it_begins_and_ends(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each round of `run --every --verbose` used to tell it."""

    def a_round() -> str:
        capsys.readouterr()
        with suppress(SystemExit):
            periodic_run(site.config, Audience(verbose=True, stays=True), command="run")
        printed = capsys.readouterr()
        return printed.out + printed.err

    assert "61 discovered" in a_round()
    site.shut_out()
    assert [a_round().count("You do not have permissions to use the API") for _ in range(3)] == [1, 0, 0]
    site.let_in()
    assert "Runs get through again. Errors had ended them since 20" in a_round()
    assert "Runs get through again" not in a_round()


def test_a_resident_and_cron_by_turns_of_which_one_gets_through_are_told_once(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """The one told the error and the other that runs get through again, each minute."""
    good = site.config.read_text()

    def cron() -> list[str]:
        site.config.write_text(f"{good}\n[none]\n")
        return run_as(Audience())

    def resident() -> list[str]:
        site.config.write_text(good)
        return run_as(Audience(stays=True))

    def run_as(audience: Audience) -> list[str]:
        capsys.readouterr()
        with suppress(SystemExit):
            periodic_run(site.config, audience, command="run")
        printed = capsys.readouterr()
        return told(printed.out + printed.err)

    resident()
    assert any("none" in line for line in cron())
    assert [resident(), cron(), resident(), cron()] == [[], [], [], []]
    site.config.write_text(good)
    (over,) = run_as(Audience())
    assert over.startswith("Runs get through again.")


def test_an_error_that_was_told_ends_the_run_with_its_code_all_the_same(site: Site) -> None:
    site.command("run")
    site.shut_out()
    first, second = site.command("run"), site.command("run")
    assert (first.code, second) == (3, Done(3, "", ""))
    assert len(told(first.err)) == 1
    assert site.command("run", "--verbose").err.startswith("fiona-ledger: "), "who asks is told"


def test_a_run_beside_another_is_told_once_for_each_other(site: Site, database: Database) -> None:
    site.command("run")
    with lease.held(database, "run", "main"):
        (line,) = told(site.command("run").out)
        assert line.startswith("A run for site 'main' is under way (since 2")
        assert site.command("run") == Done(0, "", "")
    with lease.held(database, "run", "main"):
        assert len(told(site.command("run").out)) == 1


def test_verbose_tells_all_as_a_terminal_does(site: Site) -> None:
    run(site)
    shown = site.command("run", "--only", "incoming", "--verbose").out
    assert shown.startswith("Source: 54 study folders, 0 files read; series: 0 discovered")
    assert "REDCap: 0 studies, 0 series and 0 transfers written" in shown


@pytest.mark.parametrize(("options", "shown"), [((), True), (("--quiet",), False)])
def test_a_terminal_sees_all_unless_it_is_to_be_quiet(site: Site, options: tuple[str, ...], *, shown: bool) -> None:
    run(site)
    controller, terminal = pty.openpty()
    program = "from processors.cli.main import main; main()"
    subprocess.run(
        [sys.executable, "-c", program, "--config", str(site.config), "run", "--only", "incoming", *options],
        stdout=terminal,
        cwd=ROOT,
        check=True,
        timeout=60,
    )
    os.close(terminal)
    try:
        printed = os.read(controller, 10_000).decode()
    except OSError:
        printed = ""
    os.close(controller)
    assert ("Source: 54 study folders" in printed) is shown


def test_what_was_told_is_told_again_where_that_cannot_be_kept_and_why_is_said(site: Site) -> None:
    rejected_file(site)
    site.raw.with_name("data").write_text("no folder")
    for _ in range(2):
        lines = told(run(site).out)
        assert any("rejected file, new" in line for line in lines)
        assert sum("cannot be kept in" in line for line in lines) == 1


def test_the_diary_holds_no_names_and_no_tokens(site: Site) -> None:
    site.shut_out()
    site.command("run")
    (diary,) = site.raw.with_name("data").glob("diary-*.json")
    kept = diary.read_text()
    assert json.loads(kept)["outages"]["run"]["exit_code"] == 3
    for project in site.simulator.projects.values():
        assert project.token not in kept
        assert project.token.removeprefix("no longer ") not in kept


@pytest.mark.parametrize(("level", "marked"), [(Level.INFO, "<6>"), (Level.WARNING, "<4>"), (Level.ERROR, "<3>")])
def test_the_journal_is_told_how_urgent_a_line_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: Level, marked: str
) -> None:
    moment = datetime.fromisoformat("2026-11-28T10:00:01.123456+01:00")
    plain = "2026-11-28 10:00:01.123456: [fiona-ledger] words\ufffdmore\n"
    for name, journal_stream, expected in (("journal", True, marked + plain), ("file", False, plain)):
        file = tmp_path / name
        with file.open("w") as stream:
            status = os.fstat(stream.fileno())
            with monkeypatch.context() as patch:
                patch.setattr(sys, "stderr" if level is Level.ERROR else "stdout", stream)
                number = status.st_ino if journal_stream else status.st_ino + 1
                journal.write("words\nmore", level, moment, {"JOURNAL_STREAM": f"{status.st_dev}:{number}"})
        assert file.read_text() == expected


def test_a_foreseen_error_of_several_lines_is_a_line_each(site: Site) -> None:
    site.change("[redcap]\n", "[redcap]\nnonsense = 1\n")
    done = site.command("run")
    assert done.code == 2
    first, second = told(done.err)
    assert first.endswith("cannot be used:")
    assert second.strip() == "redcap.nonsense: this key is unknown"


def in_the_journal(site: Site, file: Path, *arguments: str) -> list[str]:
    """What the command tells a journal that systemd names."""
    with file.open("w") as stream:
        status = os.fstat(stream.fileno())
        subprocess.run(
            [sys.executable, "-m", "processors.cli.main", "--config", str(site.config), *arguments],
            cwd=ROOT,
            stdout=stream,
            stderr=stream,
            env=surroundings({"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}),
            check=False,
        )
    return file.read_text().splitlines()


def test_in_the_journal_each_line_of_a_verbose_run_says_how_urgent_it_is(site: Site, tmp_path: Path) -> None:
    rejected_file(site)
    arguments = ("run", "--only", "incoming", "--verbose")
    lines = in_the_journal(site, tmp_path / "done", *arguments)
    assert {line[:3] for line in lines} == {"<4>", "<6>"}
    assert told("\n".join(line[3:] for line in lines if line.startswith("<4>"))) == [
        "needs attention: 1 x rejected file; `fiona-ledger status` shows what to do."
    ]
    site.shut_out()
    for _ in range(2):
        lines = in_the_journal(site, tmp_path / "failed", *arguments)
        assert [line[:3] for line in lines if "REDCap project" in line] == ["<3>"]
