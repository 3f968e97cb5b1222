"""Drawing names in one process, against starting a generator process for each of them."""

from __future__ import annotations

import subprocess
import sys
from time import perf_counter

from processors.naming import Sampler, draw, parse
from tests.benchmarks.rows import Row, at_least, in_turn, row

PATTERN = "P_[0-9]{8}"
IN_USE = 100_000
DRAWN = 100_000
PROCESSES = 10


def names_per_second() -> float:
    """How many names a second are drawn beside as many that are in use, with all preparation counted."""
    used = draw(parse(PATTERN), (), IN_USE)
    begun = perf_counter()
    sampler = Sampler(parse(PATTERN), used)
    drawn = [sampler.draw() for _ in range(DRAWN)]
    took = perf_counter() - begun
    if len({*used, *drawn}) != IN_USE + DRAWN:
        raise AssertionError(f"expected {IN_USE + DRAWN} different names, found a name twice")
    return DRAWN / took


def processes_per_second() -> float:
    """How many generator processes a second can be run, one after the other, each for one name."""
    command = [sys.executable, "-m", "processors.cli.commands.gen_id", "-r", PATTERN]
    begun = perf_counter()
    for _ in range(PROCESSES):
        subprocess.run(command, check=True, capture_output=True)
    return PROCESSES / (perf_counter() - begun)


def run() -> list[Row]:
    """What was measured."""
    ours, peer = in_turn(names_per_second, processes_per_second)
    what = f"draw {DRAWN:,} names of {PATTERN}, {IN_USE:,} in use"
    return [row(what, ours, "names/s", "a process per name", peer, at_least(100))]
