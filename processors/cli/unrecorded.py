"""The run of which the ledger cannot tell, as the diary does."""

from pathlib import Path

from processors.cli.diaries import diary_file
from processors.operations import diary
from processors.operations.health import Unrecorded


def unrecorded_run(config: Path | None) -> Unrecorded | None:
    """The run that ended before the ledger could tell of it, if the newest did."""
    file = diary_file(config)
    outage = None if file is None else diary.read(file).unrecorded
    if outage is None:
        return None
    return Unrecorded(outage.since, outage.at, outage.exit_code, outage.error)
