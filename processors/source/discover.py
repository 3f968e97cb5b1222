"""The work of a discovery: scan, list, read, record, in batches that can be killed anywhere."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from ledger import store
from ledger.batching import Progress, batches
from ledger.chain import microseconds
from processors.clocks import is_due
from processors.errors import ConfigurationError
from processors.events.operations import RawFolderReplaced
from processors.events.series import (
    FileRejected,
    RejectionResolved,
    SeriesDiscovered,
    SeriesRevised,
    StudyReturned,
    StudyVanished,
)
from processors.gateway import Gateway
from processors.source import changes, read, scan_cache
from processors.source.batches import BATCH, listing_batches, reading_batches
from processors.source.changes import FolderPlan, Times
from processors.source.read import NotNow
from processors.source.record import Recorder, with_fingerprints
from processors.source.scan_cache import Recalled
from processors.source.tree import Folder, Listing, Tree

SUSPICIOUS_LOSS = 10
"""From so many known studies on, all of them gone at once is taken for a disk that is not mounted."""


@dataclass(frozen=True, kw_only=True)
class Discovery:
    """What a run found, for the operator: counts of this run alone.

    `folders` are there, `listed` of them were looked into; `read` counts files opened, `unsettled`
    those left for a later run. The others count events.
    """

    folders: int
    listed: int
    read: int
    unsettled: int
    discovered: int
    revised: int
    rejected: int
    resolved: int
    vanished: int
    returned: int
    full_pass: bool
    warning: str | None


def discover(
    gateway: Gateway,
    *,
    raw: Path,
    settle_seconds: float,
    full_pass_after: timedelta = timedelta(hours=1),
    progress: Progress | None = None,
    opened: Callable[[Path], Tree] = Tree,
) -> Discovery:
    """Appends what has arrived, changed or gone below `raw` since the last time.

    `progress` is told of folders. Raises `ConfigurationError` or `ServiceError` where `raw` cannot
    be listed; nothing is recorded then.
    """
    with opened(raw) as tree:
        now = gateway.clock()
        times = Times(microseconds(now) * 1_000, int(settle_seconds * 1_000_000_000))
        with gateway.begin() as work:
            recalled = scan_cache.recall(work)
        full_pass = is_due(recalled.full_pass_at, now, full_pass_after)
        discovering = _Discovering(gateway, tree, times)
        absent = discovering.scan(recalled.folders, everything=full_pass)
        # Asked before anything is recorded: a study that has just arrived is no sign of the others.
        warning = discovering.suspicion(absent, recalled)
        discovering.look_into_folders(progress)
        if warning is None:
            discovering.take_leave(absent)
            if full_pass:
                with gateway.begin() as work:
                    scan_cache.store_full_pass(work, now)
    return discovering.report(full_pass=full_pass, warning=warning)


def accept_place(gateway: Gateway, raw: Path, *, by: str, reason: str) -> int:
    """Takes the raw folder for the right one where it lies now; gives how many studies another one is known to hold.

    The next run records those as vanished that are not here. Raises `ConfigurationError` where it lies where it did.
    """
    with Tree(raw) as tree, gateway.begin() as work:
        recalled = scan_cache.recall(work)
        if recalled.place in (None, tree.place):
            raise ConfigurationError(
                f"source.raw: expected {raw} on another disk than before, found it where earlier runs have found "
                "studies. There is nothing to settle."
            )
        _, known = scan_cache.on_disk(work, ())
        scan_cache.store_place(work, tree.place, None)
        work.record([RawFolderReplaced(site=work.site, studies=known, by=by, reason=reason)])
    return known


class _Discovering:
    """One discovery under way."""

    def __init__(self, gateway: Gateway, tree: Tree, times: Times) -> None:
        self._gateway = gateway
        self._tree = tree
        self._times = times
        self._recorder = Recorder(gateway)
        self._to_list: list[Folder] = []
        self._before: dict[str, int] = {}
        self._folders = self._read = self._unsettled = 0

    def scan(self, remembered: dict[str, int], *, everything: bool) -> set[str]:
        """Finds the folders to look into, and returns the keys of those that are gone.

        Takes from `remembered`, the mtimes as last listed, what is still there.
        """
        for folder in self._tree.folders():
            self._folders += 1
            before = remembered.pop(folder.key, None)
            if everything or before != folder.mtime_ns or before == changes.LOOK_AGAIN:
                self._to_list.append(folder)
                if before is not None:
                    self._before[folder.key] = before
        self._to_list.sort()
        absent = set(remembered)
        if everything:
            with self._gateway.begin() as work:
                absent |= scan_cache.unremembered_studies(work)
            absent.difference_update(folder.key for folder in self._to_list)
        return absent

    def suspicion(self, absent: set[str], recalled: Recalled) -> str | None:
        """A warning where so much is gone that it is more likely out of reach.

        What arrives on a disk on which none of the earlier studies is says nothing of those: the receiver writes
        into the empty folder on which their disk is not mounted.
        """
        moved = recalled.place not in (None, self._tree.place)
        if not absent and (recalled.place, recalled.doubted_at) == (self._tree.place, None):
            return None
        with self._gateway.begin() as work:
            gone, known = scan_cache.on_disk(work, absent, until=recalled.doubted_at if moved else None)
            if moved and 0 < known == gone:
                if recalled.doubted_at is None:
                    scan_cache.store_place(work, recalled.place or "", store.head(work.connection).position)
                return (
                    f"All {known} known studies are gone from the raw folder, which is not the folder, or not on the "
                    "disk, that it was. This looks like an unmounted disk: nothing is recorded as vanished until "
                    "some of them are there again. If the disk was replaced for good: `fiona-ledger new-disk`."
                )
            if (recalled.place, recalled.doubted_at) != (self._tree.place, None):
                scan_cache.store_place(work, self._tree.place, None)
        if gone < known or known < SUSPICIOUS_LOSS:
            return None
        return (
            f"All {known} known studies are gone from the raw folder at once. This looks like an unmounted "
            "disk, so nothing was recorded as vanished. If they were removed on purpose, the next study to "
            "arrive settles it."
        )

    def look_into_folders(self, progress: Progress | None) -> None:
        """Records what is new or changed in the folders found."""
        done = 0
        for listings in listing_batches(self._tree, self._to_list):
            for plans in reading_batches(self._plans(listings)):
                self._record(plans)
            done += len(listings)
            if progress is not None:
                progress(done, len(self._to_list))

    def take_leave(self, absent: set[str]) -> None:
        """Records the folders that are gone."""
        for keys in batches(sorted(absent), BATCH):
            with self._gateway.begin() as work:
                remembered, _ = scan_cache.files(work, keys)
            self._record([changes.plan_absent(key, remembered[key]) for key in keys])

    def report(self, *, full_pass: bool, warning: str | None) -> Discovery:
        """What was found."""
        counts = self._recorder.counts
        return Discovery(
            folders=self._folders,
            listed=len(self._to_list),
            read=self._read,
            unsettled=self._unsettled,
            discovered=counts[SeriesDiscovered],
            revised=counts[SeriesRevised],
            rejected=counts[FileRejected],
            resolved=counts[RejectionResolved],
            vanished=counts[StudyVanished],
            returned=counts[StudyReturned],
            full_pass=full_pass,
            warning=warning,
        )

    def _plans(self, listings: Sequence[Listing]) -> Iterator[FolderPlan]:
        """What is to be done about these folders, those left out about which nothing is."""
        with self._gateway.begin() as work:
            folders = [listing.folder.key for listing in listings]
            remembered, looks = scan_cache.files(work, folders)
        for listing in listings:
            key = listing.folder.key
            plan = changes.plan(listing, remembered[key], self._times, looks.get(key, changes.NO_LOOKS))
            if plan is not None:
                self._unsettled += plan.unsettled
                if not changes.is_quiet(plan, self._before.get(key)):
                    yield plan

    def _record(self, plans: Sequence[FolderPlan]) -> None:
        """Reads what these plans want read, and records what came of it."""
        fingerprint = self._gateway.vault.fingerprint
        outcomes = [
            [read.read(self._tree, plan.folder, entry, fingerprint) for entry in plan.changed] for plan in plans
        ]
        self._read += sum(read.is_opened(entry) for plan in plans for entry in plan.changed)
        self._unsettled += sum(outcome.count(NotNow.UNSETTLED) for outcome in outcomes)
        with self._gateway.begin() as work:
            known = scan_cache.known(work, [plan.folder.key for plan in plans])
            outcomes = [with_fingerprints(work, outcome, known.fingerprints) for outcome in outcomes]
        self._recorder.record(
            finding
            for plan, outcome in zip(plans, outcomes, strict=True)
            for finding in changes.findings(plan, outcome, known)
        )
