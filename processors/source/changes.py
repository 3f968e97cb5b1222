"""When a file is settled and is read, and what is recorded about it: decisions over plain values.

A folder is planned after it was listed (`plan`), and its findings are told once its files have been
read (`findings`); in between, nothing but the files themselves is looked at.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple

from processors.events.fact import Fact
from processors.events.series import (
    FileRejected,
    RejectionResolved,
    SeriesDiscovered,
    SeriesFact,
    SeriesReturned,
    SeriesRevised,
    SeriesVanished,
    StudyReturned,
    StudyVanished,
)
from processors.source.file_names import path_of
from processors.source.read import Bad, Kept, NotNow, Outcome
from processors.source.summary import Summary
from processors.source.tree import UNKNOWN, FileEntry, Folder, Listing

LOOK_AGAIN = 0
"""Remembered as the mtime of a folder that has to be listed again: it differs from every real one."""

_SECOND = 1_000_000_000
# Some file systems count time in steps of two seconds: a change within the step leaves the mtime.
_GRANULARITY = 2 * _SECOND

Files = Mapping[str, tuple[int, int, int]]
"""Files as last read: mtime, size and stamp by key."""


class Look(NamedTuple):
    """A file, or a folder, whose mtime lies ahead of our clock; `seen_ns` is when it was first seen as it is."""

    mtime_ns: int
    size: int
    seen_ns: int


Looks = Mapping[str, Look]
"""Looks of earlier runs, by key; the folder's own has the empty key."""

NO_LOOKS: Looks = MappingProxyType({})

Resolution = Literal["readable", "gone"]


class Times(NamedTuple):
    """When the scan began, and how old a file must be by then."""

    now_ns: int
    settle_ns: int


class FolderPlan(NamedTuple):
    """What is to be done about one folder.

    `changed` is to be read; `gone` are keys of remembered files that are no more. `vanished`: it
    holds no summary. `mtime_ns` is to be remembered when all of `changed` could be dealt with, and
    None is for a folder that is gone. Where a folder is dealt with in parts, only the `last`
    concludes it. `present` are the keys of all files in it, None where that cannot be told yet: a folder that
    has just changed is still being filled, or cleared. `looks` are those to be remembered in place of earlier ones,
    None where there are neither.
    """

    folder: Folder
    changed: Sequence[FileEntry]
    gone: Sequence[str]
    mtime_ns: int | None
    vanished: bool = False
    unsettled: int = 0
    last: bool = True
    present: Collection[str] | None = None
    looks: Looks | None = None


class Known(NamedTuple):
    """What the ledger says about the studies and files in question.

    Whether a study is on disk; the digest by path of a rejected file; the fingerprint by study and
    series; by study, whether each of its series was in the folder when that was last looked into.
    """

    on_disk: Mapping[str, bool]
    rejected: Mapping[str, str]
    fingerprints: Mapping[tuple[str, str], str]
    presence: Mapping[str, Mapping[str, bool]] = MappingProxyType({})


class Arrival(NamedTuple):
    """A series that is new, or says something else: a fact once it is known whom it is sealed for."""

    fact: type[SeriesFact]
    summary: Summary


class Finding(NamedTuple):
    """Facts, with what the scan cache may remember on their account; the two are stored together."""

    facts: Sequence[Fact | Arrival] = ()
    remember_file: tuple[str, str, int, int, int] | None = None  # folder, file, mtime, size, stamp
    forget_file: tuple[str, str] | None = None
    remember_folder: tuple[str, int] | None = None
    forget_folder: str | None = None
    remember_looks: tuple[str, Looks] | None = None


def plan(listing: Listing, remembered: Files, times: Times, looks: Looks = NO_LOOKS) -> FolderPlan | None:
    """What is to be done about a folder that was looked into; None is to leave it to the next run."""
    folder, entries, closed, swapped = listing
    if swapped:
        return None
    if closed is not None:
        # What is known of its files stands: they are out of sight, not gone.
        return FolderPlan(folder, [_itself(closed)], [], LOOK_AGAIN)
    if folder.problem is not None:
        return FolderPlan(
            folder, [_itself(folder.problem)], sorted(remembered.keys() - {""}), LOOK_AGAIN, vanished=True
        )
    now_looked = _looks([_of_folder(folder), *entries], looks, times)
    settled = [entry for entry in entries if is_settled(entry.mtime_ns, times, now_looked.get(entry.key))]
    changed = [entry for entry in settled if remembered.get(entry.key) != (entry.mtime_ns, entry.size, entry.stamp)]
    gone = sorted(remembered.keys() - {entry.key for entry in entries})
    is_complete = is_settled(folder.mtime_ns, times, now_looked.get(""))
    fit = (
        len(settled) == len(entries)
        and (is_complete or not gone or not entries)
        and (folder.mtime_ns <= times.now_ns - _GRANULARITY or (folder.mtime_ns > times.now_ns and is_complete))
        and all(entry.mtime_ns != UNKNOWN for entry in entries)
    )
    return FolderPlan(
        folder,
        changed,
        gone,
        max(folder.mtime_ns, LOOK_AGAIN) if fit else LOOK_AGAIN,
        vanished=not entries,
        unsettled=len(entries) - len(settled),
        present=frozenset(entry.key for entry in entries) if is_complete else None,
        looks=now_looked if now_looked or looks else None,
    )


def _looks(entries: Iterable[FileEntry], before: Looks, times: Times) -> Looks:
    """What is to be remembered of those whose mtime lies ahead: since when each has been as it is."""
    looked = {}
    for entry in entries:
        if entry.mtime_ns > times.now_ns:
            known = before.get(entry.key)
            is_same = known is not None and known[:2] == (entry.mtime_ns, entry.size) and known.seen_ns <= times.now_ns
            looked[entry.key] = known if known and is_same else Look(entry.mtime_ns, entry.size, times.now_ns)
    return looked


def _of_folder(folder: Folder) -> FileEntry:
    return FileEntry("", "", folder.mtime_ns, 0)


def plan_absent(key: str, remembered: Collection[str]) -> FolderPlan:
    """What is to be done about a folder that is gone."""
    return FolderPlan(Folder(key, key, UNKNOWN), [], sorted(remembered), None, vanished=True)


def is_quiet(plan: FolderPlan, remembered_mtime: int | None) -> bool:
    """Whether nothing has to be recorded or remembered."""
    return (
        not plan.changed
        and not plan.gone
        and plan.mtime_ns == remembered_mtime
        # What was wrong with a folder as a whole may be over without any file having changed.
        and remembered_mtime != LOOK_AGAIN
    )


def is_settled(mtime_ns: int, times: Times, look: Look | None = None) -> bool:
    """Whether a file is old enough not to be changing any more.

    One whose mtime lies ahead was written by a clock that is not ours: it must have been seen unchanged for as long.
    """
    return times.now_ns - (mtime_ns if look is None else look.seen_ns) >= times.settle_ns


def findings(plan: FolderPlan, outcomes: Sequence[Outcome], known: Known) -> Iterator[Finding]:
    """What to record and remember of a folder, given what came of each of its changed files."""
    key = plan.folder.key
    returning = known.on_disk.get(key) is False
    has_returned = False
    complete = True
    for entry, outcome in zip(plan.changed, outcomes, strict=True):
        if isinstance(outcome, NotNow):
            complete = False
        elif isinstance(outcome, Bad):
            complete = complete and not outcome.retry
            mtime_ns = UNKNOWN if outcome.retry else entry.mtime_ns
            yield Finding(_rejected(key, entry, outcome, known), (key, entry.key, mtime_ns, entry.size, entry.stamp))
        else:
            facts = _kept(key, entry, outcome, known, returning=returning)
            has_returned, returning = has_returned or returning, False
            yield Finding(facts, (key, entry.key, entry.mtime_ns, entry.size, entry.stamp))
    for name in plan.gone:
        how: Resolution = "gone" if name or plan.mtime_ns is None else "readable"
        yield Finding(_resolved(path_of(key, name), how, known), forget_file=(key, name))
    if plan.last:
        is_there = known.on_disk.get(key, False) or has_returned
        yield _conclusion(plan, known, complete=complete, is_there=is_there)


def _conclusion(plan: FolderPlan, known: Known, *, complete: bool, is_there: bool) -> Finding:
    key = plan.folder.key
    facts: list[Fact] = []
    if plan.vanished:
        facts += [StudyVanished(StudyInstanceUID=key)] if is_there else []
    elif plan.present is not None and is_there:
        facts += [
            SeriesVanished(StudyInstanceUID=key, SeriesInstanceUID=uid)
            for uid, is_there in sorted(known.presence.get(key, {}).items())
            if is_there and f"{uid}.json" not in plan.present
        ]
    if plan.mtime_ns is None:
        return Finding(facts, forget_folder=key)
    looks = None if plan.looks is None else (key, plan.looks)
    return Finding(facts, remember_folder=(key, plan.mtime_ns if complete else LOOK_AGAIN), remember_looks=looks)


def _kept(key: str, entry: FileEntry, kept: Kept, known: Known, *, returning: bool) -> list[Fact | Arrival]:
    facts: list[Fact | Arrival] = [*_resolved(path_of(key, entry.key), "readable", known)] if known.rejected else []
    summary, fingerprint = kept
    if returning:
        facts.append(StudyReturned(StudyInstanceUID=summary.study))
    if not known.presence.get(summary.study, {}).get(summary.series, True):
        facts.append(SeriesReturned(StudyInstanceUID=summary.study, SeriesInstanceUID=summary.series))
    before = known.fingerprints.get((summary.study, summary.series))
    if before != fingerprint:
        facts.append(Arrival(SeriesDiscovered if before is None else SeriesRevised, summary))
    return facts


def _rejected(key: str, entry: FileEntry, bad: Bad, known: Known) -> list[FileRejected]:
    path = path_of(key, entry.key)
    if known.rejected.get(path) == bad.digest:
        return []
    return [FileRejected(path=path, reason=bad.reason, digest=bad.digest)]


def _resolved(path: str, how: Resolution, known: Known) -> list[RejectionResolved]:
    return [RejectionResolved(path=path, how=how)] if path in known.rejected else []


def _itself(reason: str) -> FileEntry:
    return FileEntry("", "", UNKNOWN, 0, reason)
