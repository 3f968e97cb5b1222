"""The first run over a full tree, end to end, against scripts that read and send row by row; and all of it again.

Each has a REDCap of its own in another process. First runs are timed as whole processes, from start to exit. A
replay is timed within this process, as is the delivery that it is held against, which has no command of its own.
"""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from processors.cli.bootstrap import opened_gateway, opened_redcap
from processors.delivery.deliver import deliver
from processors.operations.replay import Scope, replay
from processors.run import Report, Run
from tests.benchmarks import tree
from tests.benchmarks.processes import Took, taken
from tests.benchmarks.redcap import PROJECT, route
from tests.benchmarks.rows import REPETITIONS, Row, at_least, at_most, row, sized
from tests.benchmarks.site import redcap, running_server, site
from tests.benchmarks.slow_redcap import TAKES, SlowRedcap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.conftest import Server

SERIES = sized(100_000, least=8_000)
CALLS = 20 + 580 * SERIES / 100_000
FEW = max(800, SERIES // 10)
SOME = sized(10_000, least=4_000)
BUSY = 0.85
THINKS = 0.05
"""Seconds that a real REDCap takes for a call at the least. The simulator that answers at once measures itself:
storing the rows takes it longer than all else takes us."""


class Round(NamedTuple):
    """One first run, and what scripts took for the same tree."""

    ours: Took
    scripts: Took


class Effort(NamedTuple):
    """Seconds that something took, and of this process' CPU."""

    seconds: float
    cpu_seconds: float


def run() -> list[Row]:
    """What was measured."""
    with running_server() as (server, folder):
        rounds = _rounds(server, folder, SERIES, thinks=0)
        real = _rounds(server, folder, FEW, thinks=THINKS)
        busy = _busy_shares(server, folder)
        delivered, replayed = zip(*_replays(server, folder / f"raw-{SERIES}"), strict=True)
    what = f"first run, {SERIES:,} series, whole process"
    scripts = "row by row as scripts do"
    slow = f"first run, {SOME:,} series, REDCap takes {TAKES}: it works while rows are written"
    return [
        row(what, *_rates(SERIES, rounds, scripts), at_least(2)),
        row(f"first run, {FEW:,} series, REDCap takes {THINKS} s a call", *_rates(FEW, real, scripts), at_least(5)),
        row(slow, busy, "of the time", "all of it", 1.0, at_least(BUSY)),
        row(f"{what}: calls", [r.ours.data["calls"] for r in rounds], "calls", "limit", CALLS, at_most(1)),
        *(_replay_row(unit, place, replayed, delivered) for place, unit in enumerate(("wall clock", "CPU"))),
    ]


def _replay_row(clock: str, place: int, replayed: Sequence[Effort], delivered: Sequence[Effort]) -> Row:
    what = f"replay of one project, {SERIES:,} series, {clock}"
    limit = [each[place] for each in delivered]
    return row(what, [each[place] for each in replayed], "s", "delivering its rows", limit, at_most(1.5))


def _rates(series: int, rounds: list[Round], name: str) -> tuple[list[float], str, str, list[float]]:
    ours = [series / each.ours.seconds for each in rounds]
    return ours, "series/s", name, [series / each.scripts.seconds for each in rounds]


def _rounds(server: Server, folder: Path, series: int, *, thinks: float) -> list[Round]:
    raw = folder / f"raw-{series}"
    tree.lay_out(raw, series)
    return [Round(_ours(server, folder, raw, thinks=thinks), _scripts(raw, thinks=thinks)) for _ in range(REPETITIONS)]


def _ours(server: Server, folder: Path, raw: Path, *, thinks: float) -> Took:
    with redcap(thinks=thinks) as simulator, site(server, folder, raw=raw, redcap=simulator) as fresh:
        return fresh.run()


def _scripts(raw: Path, *, thinks: float) -> Took:
    with redcap(thinks=thinks) as simulator:
        tokens = simulator.tokens
        module = (sys.executable, "-m", "tests.benchmarks.scripts")
        return taken(*module, str(raw), simulator.url, tokens["incoming"], tokens["routing"])


def _busy_shares(server: Server, folder: Path) -> list[float]:
    """The share of the step that writes, its first and last look at the ledger included, in which REDCap works."""
    raw = folder / f"raw-{SOME}-slow"
    tree.lay_out(raw, SOME)
    return [_busy_share(server, folder, raw) for _ in range(REPETITIONS)]


def _busy_share(server: Server, folder: Path, raw: Path) -> float:
    with SlowRedcap() as simulator:
        route(simulator)
        with site(server, folder, raw=raw, redcap=simulator.reached()) as fresh:
            took = fresh.run()
        first, *_, last = simulator.imports
        busy = simulator.busy(first.began, last.ended)
        return busy / float(took.data["step_seconds"]["Writing to REDCap"])


def _replays(server: Server, raw: Path) -> Iterator[tuple[Effort, Effort]]:
    """What delivering all rows took, and replaying the project then, which writes the same ones again."""
    for _ in range(REPETITIONS):
        with redcap() as simulator, site(server, raw.parent, raw=raw, redcap=simulator) as fresh:
            yield _delivered_and_replayed(fresh.config)


def _delivered_and_replayed(config: Path) -> tuple[Effort, Effort]:
    with opened_gateway(config) as (configuration, gateway), opened_redcap(configuration, gateway) as client:
        run = Run(gateway, client, configuration, Report(), _unwatched)
        run.decide_incoming()
        rows = configuration.redcap.batch_rows
        delivered = _effort(lambda: deliver(gateway, client, batch_rows=rows))
        scope = Scope(project=PROJECT)
        return delivered, _effort(lambda: replay(run, scope, by="benchmark"))


def _unwatched(_: str) -> AbstractContextManager[None]:
    return nullcontext()


def _effort(work: Callable[[], object]) -> Effort:
    begun, cpu = perf_counter(), os.times()
    work()
    ended = os.times()
    return Effort(perf_counter() - begun, ended.user + ended.system - cpu.user - cpu.system)
