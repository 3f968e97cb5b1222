"""What the sender sees of a study on disk: it sends anew what is older than the study's newest summary.

The ledger knows a summary once it has settled and a run has read it; the sender takes it as soon as it is there.
"""

import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path


def newest_summary(raw: Path | None, study: str) -> datetime | None:
    """When the newest file in the study's folder was written; None where that is not to be seen from here."""
    if raw is None:
        return None
    newest = None
    with suppress(OSError), os.scandir(raw / study) as entries:
        for entry in entries:
            with suppress(OSError):
                modified = entry.stat().st_mtime
                newest = modified if newest is None else max(newest, modified)
    try:
        return None if newest is None else datetime.fromtimestamp(newest, UTC)
    except (ValueError, OverflowError, OSError):
        return None
