"""The raw folder as it lies on disk: its study folders, and the summaries in each.

Everything is opened by descriptors, folder by folder and without following links, so that nothing
that is swapped while we look leads out of the raw folder.
"""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from processors.bounds import nanoseconds
from processors.errors import ConfigurationError, ServiceError
from processors.source import summary
from processors.source.file_names import key_of

UNKNOWN = -1
"""The mtime of what could not be looked at: it differs from every real one, so it is tried again."""

MALFORMED_NAME = "the name of the file or of its folder is malformed: expected UIDs"
NOT_A_FILE = "expected a file, found something else"

_SUFFIX = ".json"
_SECOND = 1_000_000_000
# Made by file systems at the root of a disk, for their own use, and closed to others.
_NEVER_A_STUDY = frozenset({"lost+found"})
# Without O_NONBLOCK, a pipe put in a file's place would make us wait for its writer.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
# On a network file system, what was replaced by another client of it can be found stale.
_SWAPPED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE)
_OURS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_ENTER = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_DIRECTORY


class Folder(NamedTuple):
    """A study folder, or a link in its place that leads nowhere we go: `problem` says where.

    `key` is its name as text that can be shown and stored.
    """

    name: str
    key: str
    mtime_ns: int
    problem: str | None = None


class FileEntry(NamedTuple):
    """A summary file, or what stands in its place.

    `problem` says why it is rejected without being opened. `target` is set for a link that stays
    in the raw folder: where it leads, seen from there. `stamp` differs where anything of the file was
    changed, its times set back included. The entry with the empty key stands for the folder itself.
    """

    name: str
    key: str
    mtime_ns: int
    size: int
    problem: str | None = None
    target: str | None = None
    stamp: int = 0


class Listing(NamedTuple):
    """What a folder holds. `closed`: why that cannot be told; `swapped`: it was replaced since the scan."""

    folder: Folder
    entries: Sequence[FileEntry] = ()
    closed: str | None = None
    swapped: bool = False


class Tree:
    """The raw folder, open. Raises `ConfigurationError` or `ServiceError` where it cannot be opened.

    `place` is another where another disk lies in its place, or none, and only the folder to mount it on is seen.
    """

    def __init__(self, raw: Path) -> None:
        try:
            self._raw = os.path.realpath(raw, strict=True)
            self._descriptor = os.open(self._raw, _ENTER)
        except (FileNotFoundError, NotADirectoryError) as exc:
            instead = "nothing" if isinstance(exc, FileNotFoundError) else "something else"
            raise ConfigurationError(
                f"source.raw: expected a folder that holds one folder for each study, found {instead} at {raw}. Is its "
                "disk mounted?"
            ) from exc
        except OSError as exc:
            raise ServiceError(f"source.raw: the folder {raw} cannot be opened: {exc.strerror}.") from exc
        self._current: tuple[str, int] | None = None
        status = os.fstat(self._descriptor)
        self.place = f"{status.st_dev}:{status.st_ino}"

    def __enter__(self) -> "Tree":
        return self

    def __exit__(
        self, type_: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()
        os.close(self._descriptor)

    def folders(self) -> Iterator[Folder]:
        """Every study folder, in no order. Raises `ServiceError` where the raw folder cannot be listed."""
        try:
            with os.scandir(self._descriptor) as entries:
                for entry in entries:
                    name = entry.name
                    if name[0] == "." or name.endswith(".tmp") or name in _NEVER_A_STUDY:
                        continue
                    folder = self._folder(entry)
                    if folder is not None:
                        yield folder
        except OSError as exc:
            raise ServiceError(f"source.raw: the folder {self._raw} cannot be listed: {exc.strerror}.") from exc

    def listing(self, folder: Folder) -> Listing:
        """The summaries in a folder, by name. Raises `ServiceError` where the disk has failed as a whole."""
        if folder.problem is not None:
            return Listing(folder)
        try:
            return Listing(folder, sorted(self._entries(folder)))
        except OSError as exc:
            require_means(exc)
            if exc.errno in _SWAPPED:
                return Listing(folder, swapped=True)
            if not isinstance(exc, PermissionError):
                self._require_raw()
            return Listing(folder, closed=unreadable(exc))

    def open(self, folder: Folder, entry: FileEntry) -> int:
        """A descriptor of the file. Raises `OSError`."""
        if entry.target is None:
            return os.open(entry.name, _READ, dir_fd=self._enter(folder.name))
        *parents, name = entry.target.split("/")
        descriptor = os.dup(self._descriptor)
        try:
            for parent in parents:
                inner = os.open(parent, _ENTER, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
            return os.open(name, _READ, dir_fd=descriptor)
        finally:
            os.close(descriptor)

    def _folder(self, entry: "os.DirEntry[str]") -> Folder | None:
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return None
        except PermissionError:
            # Only the raw folder itself can be the cause: nothing in it is open to us.
            raise
        except OSError:
            return Folder(entry.name, key_of(entry.name), UNKNOWN)
        if stat.S_ISDIR(status.st_mode):
            return Folder(entry.name, key_of(entry.name), nanoseconds(status.st_mtime_ns))
        if stat.S_ISLNK(status.st_mode):
            # A link to a study in here would be the same study twice; what it leads to is looked at.
            _, problem = self._resolve(entry.name)
            if problem is not None:
                return Folder(entry.name, key_of(entry.name), 0, problem)
        return None

    def _entries(self, folder: Folder) -> Iterator[FileEntry]:
        is_study = summary.is_uid(folder.name)
        with os.scandir(self._enter(folder.name)) as entries:
            for entry in entries:
                if entry.name.endswith(_SUFFIX) and entry.name[0] != ".":
                    summary_file = self._entry(folder, entry, is_study=is_study)
                    if summary_file is not None:
                        yield summary_file

    def _entry(self, folder: Folder, entry: "os.DirEntry[str]", *, is_study: bool) -> FileEntry | None:
        name = entry.name
        is_named_well = summary.is_uid(name[: -len(_SUFFIX)])
        key = name if is_named_well else key_of(name)
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as exc:
            if exc.errno == errno.ESTALE:
                raise
            return FileEntry(name, key, UNKNOWN, 0, unreadable(exc))
        problem = None if is_named_well and is_study else MALFORMED_NAME
        if problem is None and stat.S_ISLNK(status.st_mode):
            return self._linked(folder, name, status)
        if problem is None and not stat.S_ISREG(status.st_mode):
            problem = NOT_A_FILE
        return FileEntry(name, key, nanoseconds(status.st_mtime_ns), status.st_size, problem, stamp=stamp(status))

    def _linked(self, folder: Folder, name: str, link: os.stat_result) -> FileEntry:
        target, problem = self._resolve(f"{folder.name}/{name}")
        if target is not None:
            try:
                status = os.stat(target, dir_fd=self._descriptor, follow_symlinks=False)
            except OSError as exc:
                problem = unreadable(exc)
            else:
                if stat.S_ISREG(status.st_mode):
                    mtime_ns = nanoseconds(status.st_mtime_ns)
                    return FileEntry(name, name, mtime_ns, status.st_size, None, target, stamp(status))
                problem = NOT_A_FILE
        return FileEntry(name, name, nanoseconds(link.st_mtime_ns), link.st_size, problem)

    def _resolve(self, path: str) -> tuple[str | None, str | None]:
        """Where a link leads, seen from the raw folder; or what is wrong with it."""
        try:
            real = os.path.realpath(f"{self._raw}/{path}", strict=True)
        except (FileNotFoundError, NotADirectoryError):
            return None, "a link that leads nowhere"
        except OSError as exc:
            return None, "a link that leads in a circle" if exc.errno == errno.ELOOP else unreadable(exc)
        inside = self._raw.rstrip("/") + "/"
        if not real.startswith(inside):
            return None, "a link that leads out of the raw folder"
        return real.removeprefix(inside), None

    def _require_raw(self) -> None:
        """Keeps a disk that fails under way from being taken for thousands of bad folders."""
        try:
            with os.scandir(self._descriptor) as entries:
                next(entries, None)
        except OSError as exc:
            raise ServiceError(f"source.raw: the folder {self._raw} went away: {exc.strerror}.") from exc

    def _enter(self, name: str) -> int:
        """The descriptor of a study folder, kept while its files are opened one after the other."""
        if self._current is None or self._current[0] != name:
            self._leave()
            self._current = (name, os.open(name, _ENTER, dir_fd=self._descriptor))
        return self._current[1]

    def _leave(self) -> None:
        if self._current is not None:
            os.close(self._current[1])
            self._current = None


def stamp(status: os.stat_result) -> int:
    """What differs once anything of the file was changed; where times are whole seconds, also for another file."""
    changed = nanoseconds(status.st_ctime_ns)
    return changed if changed % _SECOND else changed + status.st_ino % _SECOND


def is_gone(exc: OSError) -> bool:
    """Whether it says that what was listed is no longer there."""
    return exc.errno in (errno.ENOENT, errno.ESTALE)


def require_means(exc: OSError) -> None:
    """Raises `ServiceError` where it is for lack of means of ours, which says nothing about any file."""
    if exc.errno in _OURS:
        raise ServiceError(
            f"source.raw: no more files can be opened: {exc.strerror}. Raise the limit of open files of this program "
            "(`ulimit -n`, LimitNOFILE= of a systemd unit), or free memory."
        ) from exc


def unreadable(exc: OSError) -> str:
    """The reason for a rejection by the file system."""
    return f"it cannot be read: {exc.strerror or type(exc).__name__}"
