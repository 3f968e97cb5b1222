"""`make audit`, with a pip-audit that answers what the real one does: it is installed by that command alone."""

import json
from pathlib import Path

import pytest

from bundle.audit import audit

ASKED = {"name": "urllib3", "version": "2.0.0", "vulns": []}
KNOWN = {
    "name": "requests",
    "version": "2.0.0",
    "vulns": [{"id": "PYSEC-2018-28", "fix_versions": ["2.20.0"], "aliases": [], "description": "Long."}],
}
SKIPPED = {"name": "alembic", "skip_reason": "Dependency not found on PyPI and could not be audited: alembic (1.20.0)"}


def answering(folder: Path, *packages: object) -> Path:
    return program(folder, f"cat <<'END'\n{json.dumps({'dependencies': packages, 'fixes': []})}\nEND")


def program(folder: Path, script: str) -> Path:
    path = folder / "pip-audit"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_nothing_known_of_all_that_was_asked_is_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(answering(tmp_path, ASKED)) == 0
    assert capsys.readouterr().out == "No vulnerability is known in the 1 packages of requirements.lock.\n"


def test_what_is_known_is_named_with_the_version_that_mends_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit(answering(tmp_path, ASKED, KNOWN, SKIPPED)) == 1
    told = capsys.readouterr()
    assert "requests 2.0.0: PYSEC-2018-28, mended in 2.20.0\n" in told.out
    assert "1 of 3 packages" in told.err


def test_what_could_not_be_asked_is_not_taken_for_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """pip-audit ends with 0 there."""
    assert audit(answering(tmp_path, ASKED, SKIPPED)) == 3
    assert "Nothing is known of those, good or bad" in capsys.readouterr().err


def test_a_database_that_is_not_reached_is_told_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(program(tmp_path, "printf 'Traceback ...\\nConnectionError: no route\\n' >&2; exit 1")) == 3
    told = capsys.readouterr().err
    assert "expected an answer about each package" in told
    assert "found none. ConnectionError: no route\n" in told
