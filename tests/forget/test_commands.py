import json
import subprocess
import sys
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from typer.testing import CliRunner, Result

from ledger import erasures, heads
from ledger.chain import KeptHead
from processors.cli.commands.forget import patient_ids
from processors.cli.main import app
from processors.demo.simulator import Fault
from processors.errors import ConfigurationError
from processors.redcap import Redcap
from tests.autoid.sites import key_of
from tests.cli.conftest import configuration_of
from tests.flow.harness import BRAIN, HEART
from tests.forget.sites import PrivateSite, traces

ADA, ADAS_NAME = "19151210-ÅDA", "Lovelace^Ada"
WHY = ("--reason", "withdrew consent, case 17")


class Command:
    """The commands against a site that knows one patient, whose study was requested for two projects."""

    def __init__(self, site: PrivateSite, config: Path) -> None:
        self.site = site
        self.config = config

    def __call__(self, *arguments: str, given: bytes = b"") -> Result:
        return CliRunner().invoke(app, ["--config", str(self.config), *arguments], input=given)

    def data(self, *arguments: str, given: bytes = b"") -> Any:
        done = self(*arguments, "--json", given=given)
        return json.loads(done.stdout)


@pytest.fixture
def command(site: PrivateSite, tmp_path: Path) -> Command:
    config = tmp_path / "fiona-ledger.toml"
    config.write_text(configuration_of(site))
    site.rule(patient_id="1915.*", project=BRAIN)
    site.series("1.1", PatientID=ADA, PatientName=ADAS_NAME)
    site.study("1.2", ADA, PatientName=ADAS_NAME)
    site.series("1.3", PatientID="", PatientName="Nobody^Known")
    # The commands go by this machine's clock, and compare it with REDCap's.
    site.clock.now = datetime.now().astimezone() - timedelta(hours=1)
    site.run()
    site.clock.now = datetime.now().astimezone()
    return Command(site, config)


def test_a_patient_from_standard_input_is_forgotten_and_redcaps_rows_are_shown(command: Command) -> None:
    done = command("forget", "--patient-id-stdin", *WHY, "--yes", given=f"{ADA}\n".encode())
    assert (done.exit_code, done.stderr) == (1, "")
    assert command.site.finds(traces(ADA, ADAS_NAME)) == set()
    assert "Forgotten: 1 patient with 2 studies" in done.stdout
    assert "incoming" in done.stdout
    assert "autoid" in done.stdout
    assert str(command.site.receiver.raw / "1.1") in done.stdout
    assert ADA not in done.output
    assert " ".join(done.stdout.split()).count("It was sent, or may have been: see `fiona-ledger status`.") == 2
    assert {asked.name for study in ("1.1", "1.2") for asked in command.site.transfers(study).values()} == {""}


def test_where_the_list_of_the_forgotten_cannot_be_kept_all_else_is_done(command: Command) -> None:
    """It used to end there, with 2: old versions of the keys stayed in the database's files, and rows in REDCap."""
    erasures.journal(command.site.key_file).mkdir()
    done = command("forget", "--patient-id-stdin", *WHY, "--yes", given=ADA.encode())
    assert (done.exit_code, command.site.finds({ADA})) == (1, set())
    said = " ".join(done.stdout.split())
    assert "expected the numbers of those who were forgotten" in said
    assert {asked.name for study in ("1.1", "1.2") for asked in command.site.transfers(study).values()} == {""}


@pytest.mark.parametrize("content", [None, "", "garbage", "# 1 subjects", "# 0 subjects"])
def test_a_list_of_the_forgotten_that_lacks_somebody_is_mended_by_the_next_run(
    command: Command, content: str | None
) -> None:
    """By it, a backup that is restored is told whom not to bring back."""
    command("forget", "--patient-id-stdin", *WHY, "--yes", given=ADA.encode())
    journal = erasures.journal(command.site.key_file)
    whole = journal.read_text()
    journal.unlink()
    if content is not None:
        journal.write_text(content)
    command("run", "--quiet")
    assert journal.read_text() == whole
    kept = erasures.kept(command.site.key_file)
    assert kept is not None
    assert command.site.query("select ledger from ledger.vault") == [(kept.ledger,)]
    assert set(command.site.query("select subject from ledger.subject where wrapped_key is null")) == {
        (subject,) for subject in kept.subjects
    }


def test_another_ledgers_list_of_the_forgotten_is_left_and_told_by_each_run(command: Command) -> None:
    journal = erasures.journal(command.site.key_file)
    journal.write_text(f"# 0 subjects of ledger {UUID(int=7)}\n")
    warnings = command.data("run")["warnings"]
    assert [f"found those of another one ({UUID(int=7)})" in warning for warning in warnings] == [True]
    assert journal.read_text() == f"# 0 subjects of ledger {UUID(int=7)}\n"


def test_nobody_is_forgotten_while_another_ledgers_list_is_in_the_place_of_ours(command: Command) -> None:
    """Their keys were destroyed first, and nothing beside the key knew of it."""
    erasures.journal(command.site.key_file).write_text(f"# 0 subjects of ledger {UUID(int=7)}\n")
    done = command("forget", "--patient-id-stdin", *WHY, "--yes", given=ADA.encode())
    assert (done.exit_code, f"found those of another one ({UUID(int=7)})" in done.output) == (2, True)
    assert command.site.query("select from ledger.subject where wrapped_key is null") == []


def test_a_list_of_the_forgotten_that_cannot_be_read_is_told_by_each_run(command: Command) -> None:
    erasures.journal(command.site.key_file).mkdir()
    warnings = command.data("run")["warnings"]
    assert ["expected the numbers of those who were forgotten" in warning for warning in warnings] == [True]


def test_a_damaged_list_of_the_forgotten_stays_beside_a_ledger_that_lost_events(command: Command) -> None:
    """Such a ledger does not know all who were in it, and `adopt --after-restore` is to ask for the file."""
    heads.replace(command.site.key_file, KeptHead(command.site.head() + 9, bytes(32), "2026-03-02T08:00:00+01:00"))
    journal = erasures.journal(command.site.key_file)
    journal.write_text("garbage")
    command("run", "--quiet")
    command("forget", "--patient-id-stdin", *WHY, "--yes", given=ADA.encode())
    assert journal.read_text() == "garbage"


def test_where_redcap_is_away_somebody_is_forgotten_and_what_waits_is_told(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processors.cli.bootstrap.Redcap", partial(Redcap, retry_waits_seconds=(0, 0, 0)))
    command.site.simulator.inject(Fault(kind="reset", times=100))
    done = command("forget", "--patient-id-stdin", *WHY, "--yes", given=ADA.encode())
    assert (done.exit_code, command.site.finds({ADA})) == (1, set())
    said = " ".join(done.stdout.split())
    assert said.count("Not yet: study 1.1") == said.count("Not yet: study 1.2") == 1
    command.site.simulator.clear_faults()
    assert {row["kind"] for row in command.data("status")["attention"]} >= {"not ended yet"}


def test_without_a_token_somebody_is_forgotten_and_what_waits_is_told(command: Command) -> None:
    """It used to end as a mistake in the configuration, without a word of what had been done."""
    text = command.config.read_text()
    command.config.write_text(text.replace(f'"{command.site.tokens["incoming"]}"', '{ file = "/nowhere/token" }'))
    done = command("forget", "--patient-id-stdin", *WHY, "--yes", given=ADA.encode())
    assert (done.exit_code, command.site.finds({ADA})) == (1, set())
    said = " ".join(done.stdout.split())
    assert said.count("Not yet: study 1.1") == said.count("Not yet: study 1.2") == 1
    assert "redcap.tokens.incoming" in said


def test_json_tells_what_became_of_requests(command: Command) -> None:
    told = command.data("forget", "--patient-id-stdin", *WHY, "--yes", given=ADA.encode())
    assert [(end["study"], end["state"]) for end in told["requests"]] == [("1.1", "closed"), ("1.2", "closed")]


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["table", "JSON"])
def test_what_is_left_is_written_before_keys_are_destroyed_and_nothing_is_where_that_fails(
    command: Command, form: tuple[str, ...]
) -> None:
    arguments = ("--config", str(command.config), "forget", "--study", "1.3", *WHY, "--yes", *form)
    started = [sys.executable, "-c", "from processors.cli.main import main; main()", *arguments]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(started, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 2
    assert b"what is left elsewhere" in done.stderr
    assert b"Nothing was changed." in done.stderr
    assert command.site.finds({"Nobody^Known"}) == {"Nobody^Known"}


def test_json_tells_the_same_to_a_program(command: Command) -> None:
    told = command.data("forget", "--patient-id-stdin", *WHY, "--yes", given=ADA.encode())
    assert (told["forgotten"], told["kinds"], told["studies"]) == (2, {"patient": 1, "link": 1}, ["1.1", "1.2"])
    record = {
        "project": "autoid",
        "record_id": "1",
        "instance": None,
        "holds": "a patient's hash and ID",
        "of_others": False,
    }
    assert record in told["redcap"]
    assert told["folders"] == [str(command.site.receiver.raw / study) for study in ("1.1", "1.2")]
    assert told["compacted"] is True
    assert command.site.query("select position from ledger.event where type = 'SubjectForgotten'") == [
        (position,) for position in told["positions"]
    ]


def test_the_event_names_the_account_that_gave_the_command(command: Command) -> None:
    command("forget", "--study", "1.3", *WHY, "--yes")
    expected = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True)  # noqa: S607
    assert command.site.events("SubjectForgotten")[0]["by"] == expected.stdout.strip()


def test_where_nobody_can_be_asked_it_needs_yes(command: Command) -> None:
    head = command.site.head()
    done = command("forget", "--patient-id-stdin", *WHY, given=ADA.encode())
    assert (done.exit_code, command.site.head()) == (2, head)
    assert "--yes" in done.stderr


@pytest.mark.parametrize(("answer", "code", "left"), [("y\n", 0, False), ("n\n", 2, True), ("\n", 2, True)])
def test_on_a_terminal_it_asks_first(command: Command, answer: str, code: int, left: bool) -> None:  # noqa: FBT001
    """The terminal is that of `pty.spawn` in a process of its own, which answers what comes from here."""
    arguments = ["--config", str(command.config), "forget", "--study", "1.3", *WHY]
    program = (
        "import os, pty, sys; code = pty.spawn([sys.executable, '-m', 'processors.cli.main', *sys.argv[1:]]); "
        "sys.exit(os.waitstatus_to_exitcode(code))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=Path(__file__).parents[2],
        input=answer,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "the patient of study 1.3 with 1 study" in done.stdout
    assert "can never be undone" in done.stdout
    assert done.returncode == code
    assert bool(command.site.finds({"Nobody^Known"})) is left


@pytest.mark.parametrize(
    ("arguments", "given", "words"),
    [
        (["--patient-id-stdin"], b"NOBODY", "Line 1 of the input"),
        (["--patient-id-stdin"], b"", "found none"),
        (["--patient-id-stdin"], b"\n\n", "found none"),
        (["--patient-id-stdin"], b"A\xff", "UTF-8"),
        (["--patient-id-stdin"], b"A\x00B", "NUL"),
        (["--study", "9.9"], b"", "no study '9.9'"),
        (["--study", "1.1"], b"", "cannot be forgotten alone"),
        (["--autoid-project", "NONE"], b"", "no auto-ID project 'NONE'"),
        ([], b"", "Expected one of"),
        (["--study", "1.1", "--autoid-project", HEART], b"", "Expected one of"),
    ],
)
def test_what_cannot_be_done_ends_with_2_and_changes_nothing(
    command: Command, arguments: list[str], given: bytes, words: str
) -> None:
    head = command.site.head()
    done = command("forget", *arguments, *WHY, "--yes", given=given)
    assert (done.exit_code, done.stdout, command.site.head()) == (2, "", head)
    assert words in done.stderr


def test_a_blank_reason_is_refused(command: Command) -> None:
    done = command("forget", "--study", "1.3", "--reason", " ", "--yes")
    assert done.exit_code == 2
    assert "--reason" in done.stderr


def test_what_was_forgotten_before_is_said_to_be_so(command: Command) -> None:
    for arguments in (["--study", "1.3"], ["--autoid-project", HEART]):
        assert command("forget", *arguments, *WHY, "--yes").exit_code == 0
        head = command.site.head()
        again = command("forget", *arguments, *WHY)
        assert (again.exit_code, command.site.head()) == (0, head)
        assert "Nothing to forget" in again.stdout


def test_a_projects_ids_are_forgotten_by_its_name(command: Command) -> None:
    done = command("forget", "--autoid-project", HEART, *WHY, "--yes")
    assert done.exit_code == 0
    assert f"1 IDs in project {HEART}" in done.stdout.replace("\n", " ")
    assert command.site.finds({key_of(ADA)}) == set()


def test_a_patient_id_also_known_with_other_blanks_needs_attention(command: Command) -> None:
    command.site.series("1.7", PatientID=f"{ADA} ")
    command.site.run()
    done = command("forget", "--patient-id-stdin", *WHY, "--yes", given=ADA.encode())
    assert done.exit_code == 1
    assert "other blanks around them" in done.stdout


def test_rekey_says_how_many_keys_and_what_to_do_with_the_file(command: Command) -> None:
    before = command.site.key_file.read_bytes()
    done = command("rekey")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "it wraps 3 data keys" in done.stdout
    assert command.site.key_file.read_bytes() != before
    assert command.data("rekey") == {"data_keys": 3, "key_file": str(command.site.key_file), "compacted": True}
    assert command.site.finds({ADA}) == {ADA}
    assert command.site.run().attention == {}


def test_a_lost_key_file_is_a_message(command: Command) -> None:
    command.site.key_file.unlink()
    for arguments in (["rekey"], ["forget", "--study", "1.3", *WHY, "--yes"]):
        done = command(*arguments)
        assert done.exit_code == 2
        assert "Put it back from its backup" in done.stderr


@pytest.mark.parametrize("name", ["forget", "rekey"])
def test_help_needs_no_configuration_and_has_an_example(name: str) -> None:
    done = CliRunner().invoke(app, [name, "--help"])
    assert done.exit_code == 0
    assert "Example:" in done.stdout
    assert f"fiona-ledger {name}" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"A", ["A"]),
        (b"A\n", ["A"]),
        (b"\nA\nB\n\n", ["A", "B"]),
        (b" A \n\tB\r\n", [" A ", "\tB\r"]),
        (b"A\n\nB", ["A", "", "B"]),
        ("山田\n".encode(), ["山田"]),
    ],
)
def test_patient_ids_are_taken_to_the_letter(content: bytes, expected: list[str]) -> None:
    assert patient_ids(content) == expected


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfeA", b"A\x00"])
def test_what_is_no_list_of_patient_ids_is_refused_without_showing_it(content: bytes) -> None:
    with pytest.raises(ConfigurationError, match=r"^Standard input") as caught:
        patient_ids(content)
    assert "A\x00" not in str(caught.value)


def test_what_the_senders_folders_hold_of_a_forgotten_study_is_counted_by_folder(
    command: Command, tmp_path: Path
) -> None:
    """Nobody was told of them, whose names hold the study and its pseudonym; no output may."""
    keys = ("queue", "done", "fail", "withdrawn")
    for key in keys:
        (tmp_path / key).mkdir()
        (tmp_path / key / "1.11_Heart Study_H-1_1.json").touch()
    for file in (
        f"done/1.1_{BRAIN}_H-0815_1.json_ok_20260302100500.log",
        f"done/1.1_{BRAIN}_H-0815_2.json_ok_20260302100500.log",
        f"fail/1.2_{HEART}_H-0815_1.json_fail.log",
        f"withdrawn/1.1_{HEART}_H-0815_1.json.2",
    ):
        (tmp_path / file).touch()
    configured = "".join(f'{key} = "{tmp_path / key}"\n' for key in keys)
    command.config.write_text(f"{command.config.read_text()}\n[sender]\n{configured}")
    (tmp_path / "queue" / f"1.2_{HEART}_by-a-person_9.json").touch()
    done = command("forget", "--patient-id-stdin", *WHY, "--yes", "--json", given=ADA.encode())
    assert [tuple(each.values()) for each in json.loads(done.stdout)["sender_files"]] == [
        (str(tmp_path / "done"), "1.1", 2),
        (str(tmp_path / "fail"), "1.2", 1),
        (str(tmp_path / "queue"), "1.2", 1),
        (str(tmp_path / "withdrawn"), "1.1", 1),
    ]
    assert "H-0815" not in done.output


def test_they_are_told_in_words_too(command: Command, tmp_path: Path) -> None:
    (tmp_path / "withdrawn").mkdir()
    (tmp_path / "withdrawn" / f"1.3_{HEART}_H-0815_1.json").touch()
    command.config.write_text(f'{command.config.read_text()}\n[sender]\nwithdrawn = "{tmp_path / "withdrawn"}"\n')
    done = command("forget", "--study", "1.3", *WHY, "--yes")
    assert f"{tmp_path / 'withdrawn'}: 1 file of study 1.3" in done.stdout.replace("\n", "")
    assert "H-0815" not in done.output
