"""`gen-id` as people run it: another process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

COMMAND = (sys.executable, "-m", "processors.cli.commands.gen_id")

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def gen_id() -> Run:
    """Run the command with these arguments and wait for it."""

    def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        command = [*COMMAND, *map(str, arguments)]
        kept = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8", "timeout": 60}
        return subprocess.run(command, check=False, **(kept | options))  # type: ignore[call-overload, no-any-return]

    return run
