"""Files that appear under their name when they are whole, and are never readable to others."""

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def written_whole(path: Path) -> Iterator[IO[bytes]]:
    """A file of mode 0600, which takes the place of one of that name once it is durable. Raises `OSError`."""
    with made_whole(path) as aside, aside.open("wb") as file:
        yield file


@contextmanager
def made_whole(path: Path) -> Iterator[Path]:
    """The name of an empty file for others to write, which takes its place in the same way.

    Raises `OSError` where a device, a pipe, a socket or a link is of that name: none of them is what is meant to go.
    """
    if os.path.lexists(path) and not stat.S_ISREG(path.lstat().st_mode):
        raise FileExistsError(errno.EEXIST, "expected a regular file, or none, found something else of that name")
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    aside = Path(name)
    try:
        try:
            yield aside
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
