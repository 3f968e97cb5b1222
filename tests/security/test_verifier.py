"""What is verified cannot forge what is said of it."""

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from ledger import chain
from ledger.database import Database
from tests.ledger.samples import append, fact
from tests.verification.program import Program
from tests.verification.tampering import rewrite

HOSTILE = "study/1\x1b[2J\x1b[1;1H\nThe ledger verifies.\u202e\u2066\x9b2K\r"
FORBIDDEN = ("\x1b", "\u202e", "\u2066", "\x9b", "\r", "\nThe ledger verifies")


def test_a_stream_that_steers_terminals_is_told_harmlessly(database: Database, program: Program) -> None:
    append(database, fact(HOSTILE), fact(HOSTILE))
    rewrite(database, "update ledger.event set version = 5 where position = 2")
    ended = program("verify")
    assert (ended.code, ended.out) == (4, "")
    assert "position 2 is version 5 of stream" in ended.err
    assert not any(forbidden in ended.err for forbidden in FORBIDDEN)


def test_names_of_what_somebody_has_made_in_the_database_are_told_harmlessly(
    database: Database, program: Program
) -> None:
    name = HOSTILE.replace("study/1", "mine")
    with database.begin() as connection:
        connection.exec_driver_sql(
            f'create trigger "{name}" before insert on gateway.study execute function ledger.refuse_change()'
        )
        connection.execute(text("grant select on gateway.study to public"))
    ended = program("verify")
    assert ended.code == 4
    assert not any(forbidden in ended.out + ended.err for forbidden in FORBIDDEN)


@pytest.mark.parametrize("line", [f'{{"format": "{HOSTILE!r}"}}', HOSTILE, f'{{"{HOSTILE}": 1}}'])
def test_the_standalone_verifier_prints_nothing_that_an_export_says_as_it_is(tmp_path: Path, line: str) -> None:
    export = tmp_path / f"export{chr(0x202E)}.jsonl"
    export.write_text(line + "\n")
    ended = subprocess.run(
        [sys.executable, chain.__file__, str(export), "--head", HOSTILE], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert not any(forbidden in ended.stdout + ended.stderr for forbidden in FORBIDDEN)
