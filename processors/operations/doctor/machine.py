"""Looking at this machine as the account sees it that asks: folders, the key file and its copy, disks."""

import errno
import hmac
import os
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from ledger import erasures
from ledger.errors import KeyProblem
from ledger.key_file import read_master_key
from processors.configuration.own_files import require_foreign
from processors.configuration.settings import Configuration
from processors.delivery.sender.queue import unusable_folders
from processors.errors import ConfigurationError

from .facts import Disk, Folder, KeyCopy, MachineFacts, Told, Trouble

InWords = Callable[[Exception], str]
"""What an error comes to, in a message that shows nothing of anybody's."""

_READ: Final = os.R_OK | os.X_OK
_WRITTEN: Final = os.W_OK | os.X_OK
_T = TypeVar("_T")


def told(question: Callable[[], _T], in_words: InWords) -> Told[_T]:
    """What comes of the question, or what is told of its failure, whatever it is."""
    try:
        return question()
    except Exception as error:
        return Trouble(in_words(error))


def machine_facts(
    configuration: Configuration, file: Path, *, account: str, now: datetime, in_words: InWords
) -> MachineFacts:
    """What is found on this machine."""
    ledger, section = configuration.ledger, configuration.redcap_section
    copy = ledger.key_copy
    written = {"ledger.data_dir": _there(ledger.data_dir), "source.raw": configuration.source.raw}
    return MachineFacts(
        account=account,
        configuration=file,
        is_overheard=section is not None and section.is_overheard,
        folders=list(_folders(configuration)),
        key_file=ledger.key_file,
        key=_key_problem(ledger.key_file),
        forgotten=_journal_problem(ledger.key_file, in_words),
        key_copy_file=copy,
        key_copy=None if copy is None else told(lambda: _key_copy(ledger.key_file, copy, now), in_words),
        disks=[
            Disk(key, path, told(partial(_free, path), in_words))
            for key, path in written.items()
            if os.access(path, os.F_OK)
        ],
    )


def _folders(configuration: Configuration) -> Iterator[Folder]:
    yield _folder("source.raw", configuration.source.raw, "read", _READ)
    yield _folder("ledger.data_dir", _there(configuration.ledger.data_dir), "written", _WRITTEN)
    file, page = configuration.health.metrics_file, configuration.health.page
    if file is not None and (problem := _foreign_problem("health.metrics_file", file, configuration)):
        yield Folder("health.metrics_file", file, "foreign", problem)
    elif file is not None and file.is_dir():
        yield Folder("health.metrics_file", file, "replaced", os.strerror(errno.EISDIR))
    elif file is not None:
        yield _folder("health.metrics_file", file.parent, "written", _WRITTEN)
    if page is not None and (problem := _foreign_problem("health.page", page / "index.html", configuration)):
        yield Folder("health.page", page, "foreign", problem)
    elif page is not None:
        yield _folder("health.page", page, "written", _WRITTEN)
    sender, unusable = configuration.sender, unusable_folders(configuration.sender)
    for name in ("queue", "done", "fail", "withdrawn"):
        path = getattr(sender, name)
        if path is not None:
            needed = "written" if name in ("queue", "withdrawn") else "read"
            yield Folder(f"sender.{name}", path, needed, unusable.get(f"sender.{name}", "").removeprefix(f"{path}: "))


def _foreign_problem(key: str, path: Path, configuration: Configuration) -> str:
    """For what a run does not write there."""
    try:
        require_foreign(path, key, configuration)
    except ConfigurationError as exc:
        return str(exc)
    return ""


def _there(path: Path) -> Path:
    """The folder, or the nearest one above it that there is: it is made when it is needed."""
    return next((folder for folder in (path, *path.absolute().parents) if os.access(folder, os.F_OK)), path)


def _folder(key: str, path: Path, needed: str, mode: int) -> Folder:
    try:
        os.scandir(path).close()
    except OSError as exc:
        return Folder(key, path, needed, exc.strerror or type(exc).__name__)
    return Folder(key, path, needed, "" if os.access(path, mode) else f"it cannot be {needed} by this account")


def _key_problem(key_file: Path) -> Trouble | None:
    try:
        read_master_key(key_file)
    except KeyProblem as exc:
        if not isinstance(exc.__cause__, FileNotFoundError):
            return Trouble(str(exc))
        return Trouble(
            f"The master key file {key_file} is missing. Put it back from its copy; where there is no ledger yet, "
            "`fiona-ledger migrate` makes it."
        )
    return None


def _journal_problem(key_file: Path, in_words: InWords) -> Trouble | None:
    known = told(lambda: erasures.kept(key_file), in_words)
    return known if isinstance(known, Trouble) else None


def _key_copy(key_file: Path, copy: Path, now: datetime) -> KeyCopy:
    copied = datetime.fromtimestamp(copy.stat().st_mtime, now.tzinfo)
    return KeyCopy(
        age=now - copied,
        is_same=hmac.compare_digest(read_master_key(copy), read_master_key(key_file)),
        knows_the_forgotten=_is_as_new(erasures.journal(copy), erasures.journal(key_file)),
    )


def _is_as_new(copy: Path, original: Path) -> bool:
    """Whether nobody is in the original who is not in the copy: numbers are only ever added."""
    if not original.exists():
        return True
    return copy.exists() and copy.stat().st_size >= original.stat().st_size


def _free(path: Path) -> int:
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize
