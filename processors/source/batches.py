"""Dividing the work: how much is read and held in memory before it is recorded."""

from collections.abc import Iterable, Iterator

from processors.source.changes import LOOK_AGAIN, FolderPlan
from processors.source.tree import FileEntry, Folder, Listing, Tree

BATCH = 5_000
MAX_BYTES = 64 * 1024**2


def listing_batches(tree: Tree, folders: Iterable[Folder]) -> Iterator[list[Listing]]:
    """The folders, looked into, in batches of about `BATCH` files."""
    batch: list[Listing] = []
    weight = 0
    for folder in folders:
        listing = tree.listing(folder)
        batch.append(listing)
        # A folder counts as well: many empty ones must not make one endless batch.
        weight += 1 + len(listing.entries)
        if weight >= BATCH:
            yield batch
            batch, weight = [], 0
    if batch:
        yield batch


def reading_batches(plans: Iterable[FolderPlan]) -> Iterator[list[FolderPlan]]:
    """The plans in batches of at most `BATCH` files and about `MAX_BYTES` to read."""
    batch: list[FolderPlan] = []
    files = size = 0
    for part in (part for plan in plans for part in _parts(plan)):
        part_size = _size(part.changed)
        if batch and (files + len(part.changed) > BATCH or size + part_size > MAX_BYTES):
            yield batch
            batch, files, size = [], 0, 0
        batch.append(part)
        files += len(part.changed)
        size += part_size
    if batch:
        yield batch


def _parts(plan: FolderPlan) -> Iterator[FolderPlan]:
    """The plan itself, or, where it is too much for one batch, parts of it.

    A part does not know whether the others could be read: such a folder is listed once more.
    """
    if len(plan.changed) <= BATCH and _size(plan.changed) <= MAX_BYTES:
        yield plan
        return
    part: list[FileEntry] = []
    size = 0
    for entry in plan.changed:
        if part and (len(part) == BATCH or size + entry.size > MAX_BYTES):
            yield plan._replace(changed=part, gone=(), last=False)
            part, size = [], 0
        part.append(entry)
        size += entry.size
    yield plan._replace(changed=part, mtime_ns=LOOK_AGAIN)


def _size(entries: Iterable[FileEntry]) -> int:
    return sum(entry.size for entry in entries)
