"""Files that commands write for people."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ledger.errors import Misconfigured


@contextmanager
def written_privately(path: Path, option: str = "--output") -> Iterator[IO[bytes]]:
    """A file that appears under its name when it is whole, and is never readable to others."""
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
        aside = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as exc:
        raise Misconfigured(f"{option} {path}: the file cannot be written: {exc.strerror}.") from exc
