"""What the program itself lives by: no file that a command writes may take its place."""

import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from ledger.erasures import journal
from ledger.heads import head_file
from ledger.key_file import next_key_file, site_key_file
from processors.configuration.settings import Configuration
from processors.errors import ConfigurationError

_ELSEWHERE = {"health.metrics_file", "health.page", "ledger.data_dir"}
"""What is written, and the folder of what is: a hardened unit may write backups nowhere else."""


def require_foreign(path: Path, option: str, configuration: Configuration) -> None:
    """Raises `ConfigurationError` where the file is one that the configuration names, or lies in such a folder.

    Whatever name leads to it: a link to the master key is often the only copy that somebody has made of it.
    """
    for what, own in _own(configuration):
        if _is_same(path, own) or Path(os.path.realpath(path)).is_relative_to(os.path.realpath(own)):
            raise ConfigurationError(
                f"{option} {path}: expected a file of its own to be written, found {what} ({own}), which the program "
                "lives by. Nothing was written: name another file."
            )


def _own(configuration: Configuration) -> Iterator[tuple[str, Path]]:
    if configuration.file is not None:
        yield "the configuration", configuration.file
    for key in (configuration.ledger.key_file, configuration.ledger.key_copy):
        if key is not None:
            yield "the master key", key
            for beside in (head_file(key), journal(key), next_key_file(key), site_key_file(key)):
                yield "what is kept beside the master key", beside
    data_dir = configuration.ledger.data_dir
    for own in [data_dir / "postgres", *data_dir.glob(".postgres.*")]:
        yield "the embedded PostgreSQL's data", own
    yield from _named(configuration)


def _named(section: BaseModel, above: str = "") -> Iterator[tuple[str, Path]]:
    """The files and folders that the configuration names, each with its key."""
    for name, field in type(section).model_fields.items():
        key, value = f"{above}{field.alias or name}", getattr(section, name)
        if isinstance(value, BaseModel):
            yield from _named(value, f"{key}.")
        elif isinstance(value, Path) and key not in _ELSEWHERE:
            yield key, value


def _is_same(path: Path, own: Path) -> bool:
    try:
        return path.samefile(own)
    except OSError:
        return False
