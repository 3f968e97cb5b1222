"""Files that commands write for people."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ledger.errors import Misconfigured
from ledger.private_files import written_whole


@contextmanager
def written_privately(path: Path, option: str = "--output") -> Iterator[IO[bytes]]:
    """A file that appears under its name when it is whole, and is never readable to others."""
    try:
        with written_whole(path) as file:
            yield file
    except OSError as exc:
        raise Misconfigured(f"{option} {path}: the file cannot be written: {exc.strerror}.") from exc
