"""How much CPU the program takes before it does anything."""

from __future__ import annotations

from tests.benchmarks.processes import PROGRAM, taken
from tests.benchmarks.rows import Row, at_most, in_turn, row


def run() -> list[Row]:
    """What was measured."""
    version, help_ = in_turn(
        lambda: 1000 * taken(PROGRAM, "--version").cpu_seconds, lambda: 1000 * taken(PROGRAM, "--help").cpu_seconds
    )
    return [
        row("start-up: fiona-ledger --version, CPU", version, "ms", "limit", 150, at_most(1)),
        row("start-up: fiona-ledger --help, CPU", help_, "ms", "limit", 300, at_most(1)),
    ]
