"""The table of killed runs that is shown at the end of the tests."""

CASES: list[tuple[str, str, str]] = []
"""Scenario, where the run was killed, and what came of the run after it."""


def lines() -> list[str]:
    """The table, nothing where no such test has run."""
    if not CASES:
        return []
    widths = [max(len(case[column]) for case in CASES) for column in range(3)]
    title = f"Runs killed by SIGKILL, each followed by a normal run: {len(CASES)}"
    rows = ["  ".join(cell.ljust(width) for cell, width in zip(case, widths, strict=True)) for case in CASES]
    return ["", title, *(f"  {row.rstrip()}" for row in rows)]
