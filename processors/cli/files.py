"""Files that commands write for people."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ledger.errors import Misconfigured
from ledger.private_files import made_whole, written_whole


@contextmanager
def written_privately(path: Path, option: str = "--output") -> Iterator[IO[bytes]]:
    """A file that appears under its name when it is whole, and is never readable to others."""
    with _told(path, option), written_whole(path) as file:
        yield file


@contextmanager
def made_privately(path: Path, option: str) -> Iterator[Path]:
    """The name of an empty file for others to write, which takes its place in the same way."""
    with _told(path, option), made_whole(path) as aside:
        yield aside


@contextmanager
def _told(path: Path, option: str) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise Misconfigured(f"{option} {path}: the file cannot be written: {exc.strerror}.") from exc
