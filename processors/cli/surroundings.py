"""What a process finds around it, made such that nothing depends on it: its streams, its umask, its limits."""

import os
import resource
import sys
from typing import Final

_ENOUGH_FILES: Final = 1_024


def settle() -> None:
    """To be called once, before anything is opened."""
    _open_streams()
    # Cron and init scripts may leave it open: what is made here is nobody else's to write.
    os.umask(os.umask(0o022) | 0o022)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _ENOUGH_FILES:
        enough = _ENOUGH_FILES if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, enough), hard))


def _open_streams() -> None:
    """Opens those that whoever started this has closed: the next file opened would pass for standard output."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - until the process ends
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
