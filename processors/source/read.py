"""Reading one summary: what came of it, never an exception."""

import hashlib
import os
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from processors.bounds import nanoseconds
from processors.source import summary
from processors.source.tree import FileEntry, Folder, Tree, is_gone, require_means, unreadable

Fingerprint = Callable[[bytes], str]

TOO_LARGE = f"larger than {summary.MAX_BYTES // 1024**2} MiB"


class Kept(NamedTuple):
    """A usable summary; `fingerprint` is equal for equal content of one patient, as far as we keep it.

    It is blank as long as it is not asked for: only of a known series is it compared.
    """

    summary: summary.Summary
    fingerprint: str = ""


class Bad(NamedTuple):
    """Not a usable summary; `digest` is equal for equal content. `retry`: the next run may read it."""

    reason: str
    digest: str
    retry: bool = False


class NotNow(Enum):
    """The file is left for a later run."""

    UNSETTLED = "it changed while it was read"
    ABSENT = "it vanished since it was listed"


Outcome = Kept | Bad | NotNow


def is_opened(entry: FileEntry) -> bool:
    """Whether the entry is a file that `read` opens."""
    return entry.problem is None and entry.size <= summary.MAX_BYTES


def read(tree: Tree, folder: Folder, entry: FileEntry, fingerprint: Fingerprint) -> Outcome:
    """What a listed file turns out to be."""
    if entry.problem is not None:
        return Bad(entry.problem, fingerprint(entry.problem.encode()))
    if entry.size > summary.MAX_BYTES:
        return _unread(TOO_LARGE, entry, fingerprint, retry=False)
    try:
        content = _content(tree, folder, entry)
    except OSError as exc:
        require_means(exc)
        if is_gone(exc):
            return NotNow.ABSENT
        return _unread(unreadable(exc), entry, fingerprint, retry=True)
    if content is None:
        return NotNow.UNSETTLED
    try:
        parsed = summary.parse(content, study=folder.name, series=entry.key.removesuffix(".json"))
    except summary.Rejected as exc:
        return Bad(str(exc), fingerprint(hashlib.sha256(content).digest()))
    return Kept(parsed)


def _content(tree: Tree, folder: Folder, entry: FileEntry) -> bytes | None:
    """All of the file, or None where it is not the file that was listed, or changed meanwhile."""
    descriptor = tree.open(folder, entry)
    try:
        content = os.read(descriptor, entry.size + 1)
        while len(content) < entry.size:
            # Network file systems hand over less than they were asked for.
            more = os.read(descriptor, entry.size + 1 - len(content))
            if not more:
                break
            content += more
        status = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    same = nanoseconds(status.st_mtime_ns) == entry.mtime_ns and status.st_size == entry.size == len(content)
    return content if same else None


def _unread(reason: str, entry: FileEntry, fingerprint: Fingerprint, *, retry: bool) -> Bad:
    return Bad(reason, fingerprint(f"{reason} {entry.size} {entry.mtime_ns}".encode()), retry)
