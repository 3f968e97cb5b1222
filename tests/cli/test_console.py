"""What people see where a terminal is narrow."""

from io import StringIO

import pytest

from processors.cli import console
from processors.cli.screen import Screen

COLUMNS = ("rule", "project", "PatientName", "comes to")
ROWS = (["1", "Heart failure cohort", "not matched", "near miss"], ["2", "Knee", "", "matches"])


@pytest.mark.parametrize(
    ("width", "told"),
    [
        (60, ["rule", "1", "2"]),
        (
            30,
            [
                "rule 1; project: Heart failure cohort; PatientName: not matched; comes to: near miss",
                "rule 2; project: Knee; comes to: matches",
            ],
        ),
    ],
)
def test_a_table_is_told_row_by_row_where_it_would_have_to_break_words(width: int, told: list[str]) -> None:
    printed = StringIO()
    console.print_table(Screen(width=width, file=printed), COLUMNS, ROWS)
    lines = [line.strip() for line in printed.getvalue().splitlines()]
    assert [line.split("  ")[0] for line in lines if line and set(line) != {"─"}] == told
