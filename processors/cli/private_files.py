"""Files that appear whole, and that nobody else can read."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from processors.errors import ConfigurationError


@contextmanager
def written_privately(path: Path, option: str) -> Iterator[IO[bytes]]:
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
        raise ConfigurationError(f"{option} {path}: the file cannot be written: {exc.strerror}.") from exc
