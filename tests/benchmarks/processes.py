"""Whole processes, from start to exit, with what they took."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import orjson

PROGRAM = str(Path(sys.executable).parent / "fiona-ledger")
_STOPWATCH = str(Path(__file__).with_name("stopwatch.py"))
_ATTENTION = 1


def compiled() -> dict[str, str]:
    """The environment, in which Python keeps what it has compiled: as it does of what is installed."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


class Took(NamedTuple):
    """What a process took: wall clock, CPU and peak of memory; and what it printed."""

    seconds: float
    cpu_seconds: float
    peak_mib: float
    out: bytes

    @property
    def data(self) -> Any:
        """What it printed with --json."""
        return orjson.loads(self.out)


def taken(*command: str) -> Took:
    """Runs the command to its end. Raises `RuntimeError` where it fails."""
    with tempfile.NamedTemporaryFile() as told, tempfile.TemporaryFile() as out:
        # -S -I: nothing is loaded that the stopwatch does not need.
        done = subprocess.run(
            [sys.executable, "-S", "-I", _STOPWATCH, told.name, *command],
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            check=True,
            env=compiled(),
        )
        code, seconds, cpu_seconds, peak_kib = orjson.loads(Path(told.name).read_bytes())
        if code != 0 and (command[0], code) != (PROGRAM, _ATTENTION):
            raise RuntimeError(f"{' '.join(command)} ended with {code}: {done.stderr}")
        out.seek(0)
        return Took(seconds, cpu_seconds, peak_kib / 1024, out.read())
