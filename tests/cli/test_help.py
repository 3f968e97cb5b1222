"""What `-h` prints, of the programs and of each command."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import processors.cli.commands
from processors.cli.commands import COMMANDS
from processors.cli.main import app, load
from tests.cli.conftest import start
from tests.processes import ROOT

NAMES = [name for commands in COMMANDS.values() for name in commands]
OTHER_PROGRAMS = {"as_service", "populate_incoming", "populate_autoid", "gen_id"}
COLUMNS = 80


def help_of(*words: str) -> str:
    short, long = (CliRunner().invoke(app, [*words, option]) for option in ("-h", "--help"))
    assert short.exit_code == long.exit_code == 0
    assert short.stdout == long.stdout
    return short.stdout


def require_readable(text: str) -> None:
    """On a terminal of 80 columns, with flags that look as they are typed."""
    assert [line for line in text.splitlines() if len(line) > COLUMNS] == []
    assert "bool" not in text
    assert "-h, --help" in text


def test_every_file_is_a_command_of_the_registry_or_a_program_of_its_own() -> None:
    files = {path.stem for path in Path(processors.cli.commands.__file__).parent.glob("[!_]*.py")}
    assert files == {name.replace(" ", "_").replace("-", "_") for name in NAMES} | OTHER_PROGRAMS


def test_the_programs_help_lists_each_command_under_its_heading_in_one_line() -> None:
    text = help_of()
    require_readable(text)
    place, margin = 0, max(map(len, NAMES))
    for heading, commands in COMMANDS.items():
        place = text.index(f"\n{heading}:\n", place)
        for name, line in commands.items():
            assert f"\n  {name:{margin}}  {line}\n" in text[place:]


@pytest.mark.parametrize("name", NAMES)
def test_every_command_explains_itself(name: str) -> None:
    text = help_of(*name.split())
    require_readable(text)
    assert text.startswith(f"Usage: fiona-ledger {name} [OPTIONS]")


def test_a_group_lists_its_own_commands() -> None:
    text = help_of("rules")
    require_readable(text)
    assert f"\n  check  {COMMANDS['Rules and pseudonyms']['rules check']}\n" in text


@pytest.mark.parametrize(
    ("entry", "program", "option"),
    [("populate_incoming", "populateIncoming", "-h"), ("populate_autoid", "populateAutoID", "--help")],
)
def test_the_names_of_old_explain_themselves(entry: str, program: str, option: str) -> None:
    done = start(option, main=entry)
    assert (done.code, done.err) == (0, "")
    require_readable(done.out)
    assert done.out.startswith(f"Usage: {program} [OPTIONS]")


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_gen_id_explains_itself(option: str) -> None:
    command = [sys.executable, "-m", "processors.cli.commands.gen_id", option]
    require_readable(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


def test_what_is_misspelt_is_answered_with_what_was_meant() -> None:
    done = CliRunner().invoke(app, ["statsu"])
    assert done.exit_code == 2
    assert "'status'" in done.stderr


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_what_a_command_needs_is_not_loaded_for(option: str) -> None:
    """So that it answers at once."""
    code = (
        "import atexit, sys; from processors.cli.main import main; "
        "atexit.register(lambda: print(*{'sqlalchemy', 'pydantic', 'requests', 'rich'} & set(sys.modules))); main()"
    )
    done = subprocess.run([sys.executable, "-c", code, option], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == ""


def test_a_command_is_found_by_its_name() -> None:
    assert load("rules check").help.startswith("Look for routing rules")
