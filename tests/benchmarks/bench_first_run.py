"""The first run over a full tree, end to end, against scripts that read and send row by row; then all of it again.

Each has a REDCap of its own in another process. Whole processes are timed, from start to exit.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

from tests.benchmarks import tree
from tests.benchmarks.processes import PROGRAM, Took, taken
from tests.benchmarks.redcap import PROJECT
from tests.benchmarks.rows import REPETITIONS, Row, at_least, at_most, row, sized
from tests.benchmarks.site import redcap, running_server, site

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Server

SERIES = sized(100_000, least=8_000)
CALLS = 600 * SERIES / 100_000
FEW = max(800, SERIES // 10)
THINKS = 0.05
"""Seconds that a real REDCap takes for a call at the least. The simulator that answers at once measures itself:
storing the rows takes it longer than all else takes us."""


class Round(NamedTuple):
    """One first run, the replay after it, and what scripts took for the same tree."""

    ours: Took
    replay: Took
    scripts: Took


def run() -> list[Row]:
    """What was measured."""
    with running_server() as (server, folder):
        rounds = _rounds(server, folder, SERIES, thinks=0)
        real = _rounds(server, folder, FEW, thinks=THINKS)
    what = f"first run, {SERIES:,} series, whole process"
    scripts = "row by row as scripts do"
    return [
        row(what, *_rates(SERIES, rounds, scripts), at_least(5)),
        row(f"first run, {FEW:,} series, REDCap takes {THINKS} s a call", *_rates(FEW, real, scripts), at_least(5)),
        row(f"{what}: calls", [r.ours.data["calls"] for r in rounds], "calls", "limit", CALLS, at_most(1)),
        # To replay is to deliver all rows again: against the first run, which has to find and record them too.
        row(
            f"replay of one project, {SERIES:,} series, CPU",
            [r.replay.cpu_seconds for r in rounds],
            "s",
            "first run",
            [r.ours.cpu_seconds for r in rounds],
            at_most(1.5),
        ),
    ]


def _rates(series: int, rounds: list[Round], name: str) -> tuple[list[float], str, str, list[float]]:
    ours = [series / each.ours.seconds for each in rounds]
    return ours, "series/s", name, [series / each.scripts.seconds for each in rounds]


def _rounds(server: Server, folder: Path, series: int, *, thinks: float) -> list[Round]:
    raw = folder / f"raw-{series}"
    tree.lay_out(raw, series)
    return [Round(*_ours(server, folder, raw, thinks=thinks), _scripts(raw, thinks=thinks)) for _ in range(REPETITIONS)]


def _ours(server: Server, folder: Path, raw: Path, *, thinks: float) -> tuple[Took, Took]:
    with redcap(thinks=thinks) as simulator, site(server, folder, raw=raw, redcap=simulator) as fresh:
        first = fresh.run()
        return first, taken(PROGRAM, "--config", str(fresh.config), "replay", "--project", PROJECT, "--json")


def _scripts(raw: Path, *, thinks: float) -> Took:
    with redcap(thinks=thinks) as simulator:
        tokens = simulator.tokens
        module = (sys.executable, "-m", "tests.benchmarks.scripts")
        return taken(*module, str(raw), simulator.url, tokens["incoming"], tokens["routing"])
