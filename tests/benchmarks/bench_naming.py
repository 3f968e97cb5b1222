"""Drawing names in one process, against starting a generator process for each of them."""

from __future__ import annotations

import subprocess
import sys
from statistics import median
from time import perf_counter

from processors.naming import Urn, draw, parse
from tests.benchmarks.rows import Row

PATTERN = "P_[0-9]{8}"
IN_USE = 100_000
DRAWN = 100_000
PROCESSES = 10
REPETITIONS = 3


def names_per_second() -> float:
    """How many names a second are drawn beside as many that are in use, with all preparation counted."""
    used = draw(parse(PATTERN), (), IN_USE)
    begun = perf_counter()
    urn = Urn(parse(PATTERN), used)
    drawn = [urn.draw() for _ in range(DRAWN)]
    took = perf_counter() - begun
    if len({*used, *drawn}) != IN_USE + DRAWN:
        raise AssertionError(f"expected {IN_USE + DRAWN} different names, found a name twice")
    return DRAWN / took


def processes_per_second() -> float:
    """How many generator processes a second can be run, one after the other, each for one name."""
    command = [sys.executable, "-m", "processors.cli.gen_id", "-r", PATTERN]
    begun = perf_counter()
    for _ in range(PROCESSES):
        subprocess.run(command, check=True, capture_output=True)
    return PROCESSES / (perf_counter() - begun)


def run() -> list[Row]:
    """What was measured."""
    ours = median(names_per_second() for _ in range(REPETITIONS))
    peer = median(processes_per_second() for _ in range(REPETITIONS))
    what = f"draw {DRAWN:,} names of {PATTERN} with {IN_USE:,} in use, against a process per name"
    return [
        Row(
            what=what,
            ours=f"{ours:,.0f} names/s",
            peer=f"{peer:,.1f} names/s",
            ratio=f"{ours / peer:,.0f}",
            goal="50,000 names/s and ratio 100",
        )
    ]
