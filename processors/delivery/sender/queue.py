"""The sender's folders: requests taken back from its queue before it takes them, and what it has done with others.

The queue holds copies of rows, one file a request, named `<StudyUID>_<project>_<name>_<instance>.json`.
Names hold pseudonyms: none is shown or recorded. They are put together from our requests and compared whole, because
projects and pseudonyms may hold underscores. Where a pseudonym was forgotten, what stands in its place is compared by
the keyed hash of it that was recorded, or else, where it came from the PatientID or name, of which no hash is kept, the
file is read, which is a copy of the row. Only files of our own requests are touched.
"""

import errno
import itertools
import os
import shutil
import stat
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import orjson
from sqlalchemy import text

from processors.attention import Notice
from processors.clocks import is_due
from processors.configuration.settings import SenderSection
from processors.events.fact import Fact
from processors.events.transfers import TransferFailed, TransferRecalled, TransferSent
from processors.gateway import Gateway, Work
from processors.redcap.transfers import RECORD_ID
from processors.requests import MINUTE, TransferRequest
from processors.stored_requests import requests_at

_OK = "_ok_"
FOLDERS = ("queue", "done", "fail", "withdrawn")
_CHANGED = ("queue", "withdrawn")


class Filed(NamedTuple):
    """A file that was carried out or given up: when, and where it lies."""

    at: datetime
    path: Path


@dataclass(slots=True)
class Queue:
    """The folders as they are configured; `warnings` say, for a person, what could not be looked at.

    `name_fingerprint` gives the keyed hash of a project's pseudonym.
    """

    section: SenderSection
    name_fingerprint: Callable[[str, str], str | None]
    warnings: list[str] = field(default_factory=list)
    _done: dict[str, Path] | None = None

    def take_back(self, request: TransferRequest, *, wanted: Collection[str] = ()) -> bool:
        """Whether the request's file was in the queue, and is no longer. Files of the names `wanted` stay."""
        queue, withdrawn = self.section.queue, self.section.withdrawn
        if queue is None or withdrawn is None or request.instance is None:
            return False
        names = [file_name(request)]
        if request.pseudonym is None:
            names = self.of(request, {name: queue / name for name in self.names()})
        taken = [self._take(queue, name, withdrawn) for name in names if name not in wanted]
        return any(taken)

    def _take(self, queue: Path, name: str, withdrawn: Path) -> bool:
        if Path(name).name != name:
            return False  # a slash in a project or pseudonym would lead out of the folder
        try:
            if not stat.S_ISREG((queue / name).lstat().st_mode):
                return False
        except FileNotFoundError:
            return False
        except OSError as exc:
            if exc.errno != errno.ENAMETOOLONG:  # the sender could not write such a file either
                self._warn("sender.queue", queue, exc)
            return False
        return self._move(queue / name, _free(withdrawn / name))

    def _move(self, source: Path, target: Path) -> bool:
        """Takes the file away in one step, which the sender sees as done or not done; tells whether it is done."""
        try:
            source.rename(target)
        except OSError as exc:
            if exc.errno == errno.EXDEV:
                return self._move_elsewhere(source, target)
            self._warn("sender.withdrawn", target.parent, exc)
            return False
        return True

    def _move_elsewhere(self, source: Path, target: Path) -> bool:
        """Moves it to another file system: out of the sender's sight first, since it reads files ending in .json."""
        hidden = _free(source.with_name(f"{source.name}.withdrawn"))
        try:
            source.rename(hidden)
        except OSError as exc:
            self._warn("sender.queue", source.parent, exc)
            return False
        try:
            shutil.move(hidden, target)
        except OSError as exc:  # a full disk, say: it stays where it is, and the half of it that was copied goes
            target.unlink(missing_ok=True)
            self._warn("sender.withdrawn", target.parent, exc)
        return True

    def names(self) -> list[str]:
        """The names of the files that wait; none where the queue cannot be read."""
        return [entry.name for entry in self._entries("sender.queue", self.section.queue)]

    def of(self, request: TransferRequest, files: Mapping[str, Path]) -> list[str]:
        """Which of the files, by the names that they had in the queue, are the request's."""
        if request.pseudonym is not None:
            return [name for name in [file_name(request)] if name in files]
        before, after = f"{request.study}_{request.project}_", f"_{request.instance}.json"
        return [
            name
            for name, path in files.items()
            if name.startswith(before) and name.endswith(after)
            if self._is_forgotten_name(name[len(before) : -len(after)], request, path)
        ]

    def _is_forgotten_name(self, name: str, request: TransferRequest, path: Path) -> bool:
        if request.name_fingerprint is None:
            return _is_copy(path, request, name)
        return self.name_fingerprint(request.project, name) == request.name_fingerprint

    def has_carried_out(self, request: TransferRequest) -> bool:
        """Whether the request's file is among those that were carried out."""
        if self._done is None:
            entries = self._entries("sender.done", self.section.done)
            self._done = {entry.name.rpartition(_OK)[0]: Path(entry.path) for entry in entries}
        return request.instance is not None and bool(self.of(request, self._done))

    def done(self) -> dict[str, Filed]:
        """What was carried out, by the names that the files had in the queue; of several of a name, the newest."""
        return self._filed("sender.done", self.section.done, _OK)

    def failed(self) -> dict[str, Filed]:
        """What was given up, likewise."""
        return self._filed("sender.fail", self.section.fail, "_fail.log")

    def _filed(self, key: str, folder: Path | None, ending: str) -> dict[str, Filed]:
        filed: dict[str, Filed] = {}
        for entry in self._entries(key, folder):
            name, separator, _ = entry.name.rpartition(ending)
            if separator:
                try:
                    # Renaming into the folder is what changes this time; that of the content is when it was queued.
                    ended = datetime.fromtimestamp(entry.stat(follow_symlinks=False).st_ctime, UTC)
                except OSError:
                    continue  # it has been cleared away since
                found = Filed(ended, Path(entry.path))
                filed[name] = max(found, filed.get(name, found))
        return filed

    def _entries(self, key: str, folder: Path | None) -> Iterator[os.DirEntry[str]]:
        """The files in the folder; a name that is no text is none of ours."""
        if folder is None:
            return
        try:
            with os.scandir(folder) as entries:
                yield from (entry for entry in entries if _is_text(entry.name))
        except OSError as exc:
            self._warn(key, folder, exc)

    def _warn(self, key: str, folder: Path, exc: OSError) -> None:
        words = (
            f"{key}: expected a folder of the sender's that can be read and written, found {folder}: "
            f"{exc.strerror or type(exc).__name__}. Requests that may be in its hands are told as such."
        )
        if words not in self.warnings:
            self.warnings.append(words)


class Copies(NamedTuple):
    """So many files in a folder of the sender's are of the study, as their names begin, which hold a pseudonym."""

    folder: str
    study: str
    files: int


def copies_of(section: SenderSection, studies: Collection[str]) -> list[Copies]:
    """What the folders hold of these studies, whoever requested it: for a person, as none of it is deleted here."""
    found: Counter[tuple[str, str]] = Counter()
    for key in FOLDERS:
        folder = getattr(section, key)
        if folder is not None:
            with suppress(OSError):  # told by every run
                starts = (path.name.partition("_")[0] for path in folder.iterdir())
                found.update((str(folder), study) for study in starts if study in studies)
    return [Copies(*place, files) for place, files in sorted(found.items())]


def unusable_folders(section: SenderSection) -> dict[str, str]:
    """What is wrong with the folders that are configured, by key, as far as this account can tell."""
    found = {}
    for key in FOLDERS:
        folder = getattr(section, key)
        if folder is None:
            continue
        try:
            os.scandir(folder).close()
        except OSError as exc:
            found[f"sender.{key}"] = f"{folder}: {exc.strerror or type(exc).__name__}"
        else:
            if key in _CHANGED and not os.access(folder, os.W_OK | os.X_OK):
                found[f"sender.{key}"] = f"{folder}: files cannot be moved there"
    return found


def folder_notices(section: SenderSection) -> list[Notice]:
    """The folders that cannot be used, for a person: what is in the sender's hands is only guessed meanwhile."""
    advice = "Have the folder made, or its rights mended, or take it out of the configuration."
    return [
        Notice("unusable folder of the sender", None, None, None, key, details, advice)
        for key, details in unusable_folders(section).items()
    ]


def file_name(request: TransferRequest) -> str:
    """The name that the sender gives to the request's file."""
    return f"{request.study}_{request.project}_{(request.pseudonym or '').strip()}_{request.instance}.json"


def _is_copy(path: Path, request: TransferRequest, name: str) -> bool:
    """Whether the file is a copy of the row that asked for it under that name."""
    try:
        row = orjson.loads(path.read_bytes()) if stat.S_ISREG(path.lstat().st_mode) else None
    except (OSError, ValueError):  # gone since, or somebody else's, in a form of its own
        return False
    expected = {
        RECORD_ID: request.study,
        "redcap_repeat_instance": str(request.instance),
        "transfer_project_name": request.project,
        "transfer_event_name": request.event_name,
        "transfer_name": name,
        "transfer_requested_date": request.minute,
    }
    return isinstance(row, dict) and all(str(row.get(key, "")).strip() == said for key, said in expected.items())


def _is_text(name: str) -> bool:
    """Whether the file's name is UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _free(target: Path) -> Path:
    """The name, or the next one that nothing has: what was taken back before stays."""
    numbers = itertools.count(2)
    free = target
    while os.path.lexists(free):
        free = target.with_name(f"{target.name}.{next(numbers)}")
    return free


def recalled(queue: Queue, requests: Iterable[TransferRequest]) -> list[TransferRequest]:
    """The requests, those marked as recalled whose files were taken back, and those that the sender has carried out.

    However short a time it stood: the sender may look at any moment. A file may be there again, of one taken back
    before, or of one that failed or was sent, when a late series came.
    """
    return [_recalled(queue, request) if request.state == "ending" else request for request in requests]


def _recalled(queue: Queue, request: TransferRequest) -> TransferRequest:
    copies = _copies(request)
    back = {copy.instance for copy in copies if queue.take_back(copy)}
    return replace(
        request,
        recalled=request.recalled or (request.instance in back and not request.found),
        earlier=tuple(row._replace(recalled=row.recalled or row.instance in back) for row in request.earlier),
        taken=any(map(queue.has_carried_out, copies)),
    )


def _copies(request: TransferRequest) -> list[TransferRequest]:
    """The request as in each row of ours in which it stands or stood: the queue may hold a file of each."""
    return [replace(request, instance=instance) for instance in request.instances]


def recall_facts(before: Sequence[TransferRequest], after: Sequence[TransferRequest]) -> list[Fact]:
    """That the files of these requests were taken back."""
    return [
        _is_recalled(request, instance)
        for old, request in zip(before, after, strict=True)
        for instance in request.instances
        if request.was_recalled(instance) and not old.was_recalled(instance)
    ]


def _is_recalled(request: TransferRequest, instance: int) -> Fact:
    return TransferRecalled(study=request.study, project=request.project, request=request.position, instance=instance)


_PLACED = text("""
    select position from gateway.transfer
     where instance is not null and study = any(:studies)
""")
_POSSIBLY_SENT = text("""
    select request, at from gateway.outcome join gateway.study using (study)
     where ours and not acknowledged and state = 'possibly sent' and site = :site
""")


def look_after_sender(gateway: Gateway) -> list[str]:
    """Takes back files of ended requests and of rows in which others stood before, tells what was carried out, warns.

    The sender makes a request's file anew every minute, so that one may appear between our look at the
    queue and our import.
    """
    queue = Queue(gateway.sender, gateway.name_fingerprint)
    waiting = set(queue.names())
    if waiting:
        prefixes = {name[:end] for name in waiting for end, letter in enumerate(name) if letter == "_"}
        with gateway.begin() as work:
            known = requests_at(work, work.execute(_PLACED, {"studies": list(prefixes)}).scalars().all())
        # One in force may have the name of one that has ended: an entry was corrected and corrected back.
        wanted = {file_name(request) for request in known.values() if request.in_force}
        over = [
            copy
            for request in known.values()
            for copy in _copies(request)
            if not (request.in_force and copy.instance == request.instance)
        ]
        facts = [
            _is_recalled(copy, copy.instance or 0)
            for copy in over
            if queue.take_back(copy, wanted=wanted) and copy.in_force
        ]
        if facts:
            with gateway.begin() as work:
                work.record(facts)
    with gateway.begin() as work:
        watched = work.execute(_POSSIBLY_SENT, {"site": work.site}).all()
        if watched and (gateway.sender.done is not None or gateway.sender.fail is not None):
            work.record(_carried_out(work, queue, {row.request: row.at for row in watched}))
    patience = timedelta(hours=gateway.sender.patience_hours)
    now = gateway.clock()
    long_ago = sum(is_due(row.at, now, patience) for row in watched)
    if long_ago:
        queue.warnings.append(
            f"Of {long_ago} requests that may have been sent before they were replaced or withdrawn, the sender has "
            f"told nothing for more than {gateway.sender.patience_hours:g} hours. `fiona-ledger status` lists them as "
            "`may have been sent`: ask there, then acknowledge."
        )
    return queue.warnings


def _carried_out(work: Work, queue: Queue, watched: Mapping[int, datetime]) -> list[Fact]:
    """What the folders tell of these before REDCap does, or where the sender has written nothing there.

    Each with the moment since which it is watched: a failure before that was another copy's.
    """
    done, failed = queue.done(), queue.failed()
    facts: list[Fact] = []
    for request in requests_at(work, watched).values():
        sent, given_up = _ends(queue, request, done), _ends(queue, request, failed)
        facts += [_sent(request, instance, work.local(at)) for instance, at in sent.items()]
        # Of several copies, the others may still be sent.
        left = [instance for instance in request.instances if not request.was_recalled(instance)]
        left = left or list(request.instances)
        failures = [given_up[instance] for instance in left if instance in given_up]
        is_given_up = bool(left) and len(failures) == len(left) and min(failures) >= watched[request.position]
        if is_given_up and not sent:
            facts.append(_not_found(request, left[0], work.local(max(failures))))
    return facts


def _ends(queue: Queue, request: TransferRequest, filed: Mapping[str, Filed]) -> dict[int, datetime]:
    """When the files of the request were filed, the newest of each instance, by that."""
    paths = {name: each.path for name, each in filed.items()}
    named = {copy.instance or 0: queue.of(copy, paths) for copy in _copies(request)}
    return {instance: max(filed[name].at for name in names) for instance, names in named.items() if names}


def _sent(request: TransferRequest, instance: int, at: datetime) -> Fact:
    return TransferSent(
        study=request.study,
        project=request.project,
        event_name=request.event_name,
        request=request.position,
        instance=instance,
        sent_at=at.strftime(MINUTE),
    )


def _not_found(request: TransferRequest, instance: int, at: datetime) -> Fact:
    return TransferFailed(
        study=request.study,
        project=request.project,
        event_name=request.event_name,
        request=request.position,
        instance=instance,
        tried_at=at.strftime(MINUTE),
        errors=(),
        failure="not found on disk",
    )
