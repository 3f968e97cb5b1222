"""What somebody waits for: from an entry of the coupling list that is saved to its request in REDCap, during a backlog.

REDCap takes so long for each call and each row as a real one does. It is a server in this process, which saves entries
while a run that stays (`run --every`) delivers, and sees the moment at which it has stored each request.
"""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

from tests.benchmarks import tree
from tests.benchmarks.processes import PROGRAM, compiled
from tests.benchmarks.rows import Row, at_least, at_most, row, sized
from tests.benchmarks.site import running_server, site
from tests.benchmarks.slow_redcap import TAKES, SlowRedcap

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SERIES = sized(100_000, least=20_000)
EVERY = 5
ENTRIES = 20
SAVED_EVERY = 2.0
LONGEST_WAIT = 15
BUSY = 0.85
_PATIENCE_SECONDS = 1_800


def run() -> list[Row]:
    """What was measured."""
    with running_server() as (server, folder):
        raw = folder / f"raw-{SERIES}"
        tree.lay_out(raw, SERIES)
        with SlowRedcap() as simulator, site(server, folder, raw=raw, redcap=simulator.reached()) as made:
            share = _deliver(made.config, simulator)
    slowest = sorted(simulator.waits)[-1 - ENTRIES // 20]
    what = f"from a saved entry to its request, while {SERIES:,} series are delivered, every {EVERY} s: 19 of 20 within"
    busy = f"that REDCap ({TAKES}) is busy meanwhile, looks at what is new included"
    return [
        row(what, [slowest], "s", "limit", LONGEST_WAIT, at_most(1)),
        row(busy, [share], "of the time", "all of it", 1.0, at_least(BUSY)),
    ]


def _deliver(config: Path, simulator: SlowRedcap) -> float:
    """Saves entries while the backlog is delivered; the share of the time in which REDCap works."""
    with subprocess.Popen(
        [PROGRAM, "--config", str(config), "run", "--every", str(EVERY)], stdout=subprocess.DEVNULL, env=compiled()
    ) as process:
        try:
            _until(lambda: bool(simulator.imports))
            began = time.monotonic()
            for number in range(ENTRIES):
                simulator.save_entry(number * (SERIES // tree.SERIES_A_STUDY) // ENTRIES)
                time.sleep(SAVED_EVERY)
            ended = time.monotonic()
            share = simulator.busy(began, ended) / (ended - began)
            _until(lambda: len(simulator.waits) == ENTRIES)
        finally:
            process.terminate()
    return share


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"expected the delivery to go on, found it at rest for {_PATIENCE_SECONDS} s")
        time.sleep(0.05)
