"""The table of killed runs at the end of the tests' output, gathered from all workers."""

from typing import Any

import pytest

CASES: list[tuple[str, str, str]] = []
"""Scenario and step, where the run was killed, and what came of the run after it."""

_HANDED_OVER = "killed_runs"


def lines() -> list[str]:
    """The table, nothing where no such test has run."""
    if not CASES:
        return []
    cases = sorted(CASES)
    widths = [max(len(case[column]) for case in cases) for column in range(3)]
    title = f"Killed in the middle of a run, each followed by a normal run: {len(cases)}"
    rows = ["  ".join(cell.ljust(width) for cell, width in zip(case, widths, strict=True)) for case in cases]
    return ["", title, *(f"  {row.rstrip()}" for row in rows)]


# Hooks, made known by tests/conftest.py: with pytest-xdist, those of a folder below are not called where
# the output is written.


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker hands its cases over."""
    handed_over: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if handed_over is not None:
        handed_over[_HANDED_OVER] = CASES


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """The cases of a worker that has ended; one that died has handed nothing over."""
    handed_over: dict[str, Any] = getattr(node, "workeroutput", {})
    CASES.extend((scenario, place, outcome) for scenario, place, outcome in handed_over.get(_HANDED_OVER, []))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Shows the cases above pytest's own last lines."""
    for line in lines():
        terminalreporter.write_line(line)
