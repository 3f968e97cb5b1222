"""`gen-id` as people run it: another process, which need not import everything anew."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from processors.cli.commands.gen_id import main
from tests.processes import run_command

COMMAND = (sys.executable, "-m", "processors.cli.commands.gen_id")

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def gen_id() -> Run:
    """Run the command with these arguments and wait for it; with options for its process, it is started by itself."""

    def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        command = [*COMMAND, *map(str, arguments)]
        if not options:
            done = run_command(main, list(map(str, arguments)), program="gen-id", environment=dict(os.environ))
            return subprocess.CompletedProcess(command, *done)
        kept = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8", "timeout": 60}
        return subprocess.run(command, check=False, **(kept | options))  # type: ignore[call-overload, no-any-return]

    return run
