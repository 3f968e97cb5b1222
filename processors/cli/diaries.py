"""The diary of a configuration's runs, as commands read it: what the ledger cannot tell."""

import os
from pathlib import Path

from processors.configuration.file import find
from processors.errors import ConfigurationError
from processors.operations import diary
from processors.operations.diary import Diary
from processors.operations.health import Unrecorded


def diary_file(config: Path | None) -> Path | None:
    """Where the diary lies; None where there is no configuration, and so nothing that runs."""
    try:
        return diary.diary_file(find(config, os.environ))
    except ConfigurationError:
        return None


def read_diary(config: Path | None) -> Diary:
    """The diary, empty where there is none."""
    file = diary_file(config)
    return Diary() if file is None else diary.read(file)


def unrecorded_run(config: Path | None) -> Unrecorded | None:
    """The run that ended before the ledger could tell of it, if the newest did."""
    outage = read_diary(config).unrecorded
    if outage is None:
        return None
    return Unrecorded(outage.since, outage.at, outage.exit_code, outage.error)
