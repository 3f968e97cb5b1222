"""A run that stays (`run --every`), with what its rounds cost: its own CPU, and that of PostgreSQL's processes."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.benchmarks.processes import PROGRAM, compiled

if TYPE_CHECKING:
    from tests.benchmarks.site import Site

WARM = 70
"""A second each: by then it has looked at transfers again, as it does once a minute."""

ROUNDS = 60
_TICKS = os.sysconf("SC_CLK_TCK")
_PATIENCE_SECONDS = 600


class Stayed(NamedTuple):
    """What a round cost, and the memory of the process before and after so many of them."""

    rounds: int
    cpu_seconds: float
    mib_before: float
    mib: float


def measured(site: Site, server_folder: Path) -> Stayed:
    """Rounds in which nothing has happened, a second each, on a server that does nothing else."""
    postmaster = int((server_folder / "postgres" / "postgres" / "postmaster.pid").read_text().splitlines()[0])
    command = [PROGRAM, "--config", str(site.config), "run", "--every", "1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=compiled()) as process:
        try:
            before = _await(site, _rounds(site) + WARM)
            cpu_before, mib_before = _cpu(process.pid, postmaster), _mib(process.pid)
            after = _await(site, before + ROUNDS)
            cpu, mib = _cpu(process.pid, postmaster), _mib(process.pid)
        finally:
            process.terminate()
    return Stayed(after - before, (cpu - cpu_before) / (after - before), mib_before, mib)


def _rounds(site: Site) -> int:
    with site.database.begin() as connection:
        done: int = connection.exec_driver_sql(
            "select count(*) from gateway.run where finished_at is not null"
        ).scalar_one()
    return done


def _await(site: Site, rounds: int) -> int:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (done := _rounds(site)) < rounds:
        if time.monotonic() > deadline:
            raise RuntimeError(f"expected {rounds} rounds, found {done} after {_PATIENCE_SECONDS} s")
        time.sleep(0.5)
    return done


def _cpu(process: int, postmaster: int) -> float:
    """Seconds of the process and of the server: its processes, and those that have ended."""
    fields = [field for pid in _family(postmaster) if (field := _stat(pid))]
    ended = _stat(postmaster)[13:15]
    return sum(map(int, [*_stat(process)[11:13], *ended, *(tick for of in fields for tick in of[11:13])])) / _TICKS


def _family(postmaster: int) -> list[int]:
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    return [postmaster, *(pid for pid in pids if (fields := _stat(pid)) and int(fields[1]) == postmaster)]


def _stat(pid: int) -> list[str]:
    """The fields of proc(5) from the state on; none where the process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _mib(pid: int) -> float:
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024
