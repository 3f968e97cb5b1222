"""Files that commands write for people."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ledger.errors import Misconfigured
from ledger.private_files import made_whole, written_whole
from processors.configuration.own_files import require_foreign
from processors.configuration.settings import Configuration


@contextmanager
def written_privately(path: Path, configuration: Configuration, option: str = "--output") -> Iterator[IO[bytes]]:
    """A file that appears under its name when it is whole, and is never readable to others.

    Raises `ConfigurationError` where it would take the place of what the program lives by.
    """
    require_foreign(path, option, configuration)
    with _told(path, option), written_whole(path) as file:
        yield file


@contextmanager
def made_privately(path: Path, configuration: Configuration, option: str) -> Iterator[Path]:
    """The name of an empty file for others to write, which takes its place in the same way."""
    require_foreign(path, option, configuration)
    with _told(path, option), made_whole(path) as aside:
        yield aside


@contextmanager
def written_where_none_is(path: Path) -> Iterator[IO[bytes]]:
    """The same for a file that is known not to be there."""
    with _told(path, "--output"), written_whole(path) as file:
        yield file


@contextmanager
def _told(path: Path, option: str) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise Misconfigured(f"{option} {path}: the file cannot be written: {exc.strerror}.") from exc
