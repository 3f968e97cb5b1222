"""docs/threats.md tells what attackers can do; each of its lines names tests of this folder."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
LINES = [
    line
    for line in (TESTS.parent / "docs" / "threats.md").read_text("utf-8").splitlines()
    if line.startswith("|") and not line.startswith(("| attempt", "|---"))
]


@pytest.mark.parametrize("line", LINES)
def test_each_line_is_held_by_tests_that_there_are(line: str) -> None:
    held_by = re.findall(r"`([\w/]+\.py)::(test_\w+)`", line)
    assert held_by
    for file, name in held_by:
        assert file.startswith("security/")
        assert f"\ndef {name}(" in (TESTS / file).read_text("utf-8")
