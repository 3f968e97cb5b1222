"""What is said of a study that REDCap held before this system, and of which no summary was ever read here."""

import pytest

from tests.adopt.commands import STUDY, Command


@pytest.mark.parametrize("asked", [("explain", STUDY), ("prove", STUDY), ("find", "--study", STUDY)])
def test_of_a_study_from_before_this_system_it_is_said_what_is_known(command: Command, asked: tuple[str, ...]) -> None:
    """It was said that no such study had been received, though `status` and reports name it."""
    done = command(*asked)
    said = " ".join(done.output.split())
    assert f"REDCap held study {STUDY} before this system, and no summary of it was ever read here" in said
    assert f"fiona-ledger audit request_of_others --study {STUDY}" in said
    assert done.exit_code == (0 if asked[0] == "find" else 2)


def test_once_its_files_come_again_it_is_explained(command: Command) -> None:
    command.site.series(STUDY, PatientID="4711-A")
    command("run", "--quiet")
    assert "REDCap held study" not in command("find", "--study", STUDY).output
    assert command("explain", STUDY).exit_code == 0
