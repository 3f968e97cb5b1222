"""Lines for cron's mail, a log file and systemd's journal, in the format of the logs that the scripts wrote."""

import os
import sys
from collections.abc import Mapping
from datetime import datetime
from enum import IntEnum
from typing import TextIO

from processors.cli.harmless import on_a_line


class Level(IntEnum):
    """How urgent a line is, as syslog and the journal count it."""

    ERROR = 3
    WARNING = 4
    INFO = 6


def write(words: str, level: Level, now: datetime, environment: Mapping[str, str] = os.environ) -> None:
    """Writes a line, errors where errors go; before it stands its level where the journal reads it off."""
    stream = sys.stderr if level is Level.ERROR else sys.stdout
    urgency = f"<{level:d}>" if is_journal(stream, environment) else ""
    stream.write(f"{urgency}{now:%Y-%m-%d %H:%M:%S.%f}: [fiona-ledger] {on_a_line(words)}\n")


def is_journal(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the stream leads to the journal that systemd names; what it starts inherits the name, piped or not."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environment.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
