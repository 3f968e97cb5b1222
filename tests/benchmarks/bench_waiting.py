"""What somebody waits for: from an entry of the coupling list that is saved to its request in REDCap, during a backlog.

REDCap takes so long for each call and each row as a real one does. It is a server in this process, which saves entries
while a run that stays (`run --every`) delivers, and sees the moment at which it has stored each request.
"""

from __future__ import annotations

import subprocess
import time
from threading import Lock
from typing import TYPE_CHECKING

from processors.demo.simulator import Simulator, standard_projects
from tests.benchmarks import tree
from tests.benchmarks.processes import PROGRAM, compiled
from tests.benchmarks.rows import Row, at_least, at_most, row, sized
from tests.benchmarks.site import Redcap, running_server, site

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from processors.demo.simulator.replies import Reply

SERIES = sized(100_000, least=20_000)
A_CALL, A_ROW = 0.02, 0.002
"""Seconds."""
EVERY = 5
ENTRIES = 20
SAVED_EVERY = 2.0
LONGEST_WAIT = 15
BUSY = 0.85
_PATIENCE_SECONDS = 1_800


class SlowRedcap(Simulator):
    """A REDCap that takes its time; `waits` are the seconds from each saved entry to its request."""

    def __init__(self) -> None:
        super().__init__(standard_projects())
        self.waits: list[float] = []
        self.imports = 0
        self.busy = 0.0
        self._saved: dict[bytes, float] = {}
        self._lock = Lock()

    def handle(self, address: str, body: bytes, content_type: str) -> Reply:
        """Answers one call when it has taken its time."""
        began = time.monotonic()
        reply = super().handle(address, body, content_type)
        call = self.calls[-1]
        time.sleep(max(0.0, A_CALL + A_ROW * call.rows - (time.monotonic() - began)))
        with self._lock:
            self.busy += time.monotonic() - began
            if call.action == "import":
                self.imports += 1
                for subject in [subject for subject in self._saved if subject in body]:
                    self.waits.append(time.monotonic() - self._saved.pop(subject))
        return reply

    def save_entry(self, number: int) -> None:
        """Somebody saves an entry for the study of that number."""
        subject = f"H-{number:06d}"
        entry = {
            "record_id": str(number + 1),
            "cl_accessionnumber": f"ACC{number:08d}",
            "cl_projectname": "Heart Study",
            "cl_subjectid": subject,
            "cl_date": "2026-03-01 08:00",
        }
        with self._lock:
            self._saved[subject.encode()] = time.monotonic()
        self.projects["coupling"].put([entry])


def run() -> list[Row]:
    """What was measured."""
    with running_server() as (server, folder):
        raw = folder / f"raw-{SERIES}"
        tree.lay_out(raw, SERIES)
        with SlowRedcap() as simulator:
            tokens = {name: simulator.projects[name].token for name in ("incoming", "coupling", "routing")}
            redcap = Redcap(url=simulator.url, tokens=tokens)
            with site(server, folder, raw=raw, redcap=redcap) as made:
                share = _deliver(made.config, simulator)
    slowest = sorted(simulator.waits)[-1 - ENTRIES // 20]
    what = f"from a saved entry to its request, while {SERIES:,} series are delivered, every {EVERY} s: 19 of 20 within"
    busy = f"that REDCap ({A_CALL * 1000:g} ms a call, {A_ROW * 1000:g} ms a row) is busy meanwhile"
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
            _until(lambda: simulator.imports > 0)
            began, busy = time.monotonic(), simulator.busy
            for number in range(ENTRIES):
                simulator.save_entry(number * (SERIES // tree.SERIES_A_STUDY) // ENTRIES)
                time.sleep(SAVED_EVERY)
            share = (simulator.busy - busy) / (time.monotonic() - began)
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
