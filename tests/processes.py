"""Processes forked from one that has imported all that the program and its tests need, and has no threads.

A command started the usual way spends a second on imports, and there are hundreds of them. Forked, each is a
process all the same, with descriptors and an environment of its own, to be killed like one.
"""

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.context import ForkServerContext
from pathlib import Path

from processors.cli.commands import COMMANDS

ROOT = Path(__file__).parents[1]

_TIME_LIMIT = 120
_IMPORTED_LATE = ["sqlalchemy.dialects.postgresql.psycopg"]
"""What the program imports only when it connects."""

_COMMANDS = [name.replace(" ", "_").replace("-", "_") for names in COMMANDS.values() for name in names]


def context() -> ForkServerContext:
    """For processes to be forked."""
    made = multiprocessing.get_context("forkserver")
    commands = [f"processors.cli.commands.{name}" for name in _COMMANDS]
    made.set_forkserver_preload(["tests.flow.child", "tests.ledger.processes", *_IMPORTED_LATE, *commands])
    return made


def run_command(
    entry_point: Callable[[], None], arguments: Sequence[str], *, program: str, environment: Mapping[str, str]
) -> tuple[int, str, str]:
    """Runs an entry point to its end: its exit code, and what it wrote to either output."""
    with tempfile.TemporaryDirectory() as folder:
        outputs = Path(folder) / "out", Path(folder) / "err"
        argv = [program, *arguments]
        process = context().Process(target=_command, args=(entry_point, argv, environment, outputs))
        process.start()
        process.join(_TIME_LIMIT)
        assert process.exitcode is not None, f"{arguments} did not end within {_TIME_LIMIT} s"
        out, err = (path.read_text("utf-8") for path in outputs)
        return process.exitcode, out, err


def _command(
    entry_point: Callable[[], None], argv: list[str], environment: Mapping[str, str], outputs: tuple[Path, Path]
) -> None:
    for path, number in zip(outputs, (1, 2), strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    sys.argv = argv
    entry_point()
