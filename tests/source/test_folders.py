"""The shortcut past folders that have not changed, and the full pass that does not take it."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

import orjson
import pytest
from sqlalchemy import text

from processors.errors import ServiceError
from processors.gateway import Gateway, Work
from processors.source.batches import BATCH
from processors.source.discover import Discovery, discover
from processors.source.tree import FileEntry, Folder, Listing, Tree, stamp
from tests.conftest import SettableClock
from tests.source.receiver import Receiver

Find = Callable[..., Discovery]


class Counting(Tree):
    """A tree that notes which folders are listed."""

    def __init__(self, raw: Path, listed: list[str]) -> None:
        super().__init__(raw)
        self._listed = listed

    def listing(self, folder: Folder) -> Listing:
        self._listed.append(folder.name)
        return super().listing(folder)


def test_a_folder_that_has_not_changed_is_not_listed(find: Find, receiver: Receiver) -> None:
    receiver.summary("1.1", "1.1.1")
    receiver.summary("1.2", "1.2.1")
    listed: list[str] = []
    counting = partial(find, opened=lambda raw: Counting(raw, listed))
    counting()
    assert listed == ["1.1", "1.2"]
    listed.clear()
    assert counting().folders == 2
    assert listed == []
    receiver.summary("1.2", "1.2.2")
    assert (counting().read, listed) == (1, ["1.2"])


def test_an_idle_run_asks_the_database_once(gateway: Gateway, find: Find, receiver: Receiver) -> None:
    receiver.summary("1.1", "1.1.1")
    find()
    begun: list[int] = []

    class Watched(Gateway):
        @contextmanager
        def begin(self) -> Iterator[Work]:
            begun.append(1)
            with super().begin() as work:
                yield work

    watched = Watched(
        database=gateway.database, vault=gateway.vault, site=gateway.site, clock=gateway.clock, run=gateway.run
    )
    assert discover(watched, raw=receiver.raw, settle_seconds=60).listed == 0
    assert len(begun) == 1


def test_a_folder_is_listed_until_all_of_it_is_settled(find: Find, receiver: Receiver, clock: SettableClock) -> None:
    receiver.summary("1.1", "1.1.1")
    receiver.summary("1.1", "1.1.2", age=10)
    assert (find().listed, find().listed) == (1, 1)
    clock.advance(60)
    assert (find().discovered, find().listed) == (1, 0)


def test_a_folder_changed_within_two_seconds_of_the_scan_is_listed_again(find: Find, receiver: Receiver) -> None:
    receiver.summary("1.1", "1.1.1")
    receiver.age(receiver.raw / "1.1", 1)
    assert (find().listed, find().listed) == (1, 1)
    receiver.age(receiver.raw / "1.1", 3)
    assert (find().listed, find().listed) == (1, 0)


def test_a_full_pass_finds_what_was_edited_in_place(find: Find, receiver: Receiver, clock: SettableClock) -> None:
    file = receiver.summary("1.1", "1.1.1", NumFiles="1")
    assert find().full_pass
    receiver.in_place(file, orjson.dumps(orjson.loads(file.read_bytes()) | {"NumFiles": "2"}))
    clock.advance(3599)
    found = find()
    assert (found.full_pass, found.revised) == (False, 0)
    clock.advance(1)
    found = find()
    assert (found.full_pass, found.revised, found.read) == (True, 1, 1)
    assert not find().full_pass


def test_a_correction_that_sets_size_and_time_back_is_read_in_the_full_pass(
    find: Find, receiver: Receiver, clock: SettableClock
) -> None:
    file = receiver.summary("1.1", "1.1.1", PatientID="P1")
    find()
    before = file.stat().st_mtime_ns
    file.write_bytes(file.read_bytes().replace(b"P1", b"P2"))
    os.utime(file, ns=(before, before))
    clock.advance(3600)
    found = find()
    assert (found.full_pass, found.revised) == (True, 1)


def test_where_times_are_whole_seconds_it_is_told_by_the_file_that_took_its_place(tmp_path: Path) -> None:
    def stamped(name: str, seconds: int) -> int:
        (tmp_path / name).touch()
        status = (tmp_path / name).stat()
        return stamp(os.stat_result((*status[:9], seconds, *status[10:], 0.0, 0.0, 0.0, 0, 0, seconds * 10**9)[:19]))

    assert stamped("a", 7) != stamped("b", 7)


class Stale(Tree):
    """A network file system on which another client has just replaced something."""

    number = errno.ESTALE

    def open(self, _folder: Folder, _entry: FileEntry) -> int:
        raise OSError(self.number, os.strerror(self.number))


class Exhausted(Stale):
    """A process that may open no more files."""

    number = errno.EMFILE


def test_what_a_network_file_system_calls_stale_is_left_to_the_next_run(find: Find, receiver: Receiver) -> None:
    receiver.summary("1.1", "1.1.1")
    found = find(opened=Stale)
    assert (found.rejected, found.discovered) == (0, 0)
    assert find().discovered == 1


def test_too_many_open_files_end_the_run_and_are_told_of_no_file(find: Find, receiver: Receiver) -> None:
    """Each file used to be recorded as rejected, "Too many open files"."""
    receiver.summary("1.1", "1.1.1")
    with pytest.raises(ServiceError, match="Raise the limit of open files"):
        find(opened=Exhausted)
    assert find().discovered == 1


def test_what_a_network_file_system_hands_over_in_pieces_is_read_whole(
    find: Find, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.summary("1.1", "1.1.1", StudyDescription="x" * 5_000)
    whole = os.read
    monkeypatch.setattr(os, "read", lambda descriptor, size: whole(descriptor, min(size, 700)))
    assert find().discovered == 1


def test_a_clock_that_was_ahead_does_not_put_off_full_passes(
    find: Find, receiver: Receiver, clock: SettableClock
) -> None:
    receiver.summary("1.1", "1.1.1")
    clock.advance(10**8)
    find()
    clock.advance(-(10**8))
    assert find().full_pass


def test_a_full_pass_opens_nothing_that_has_not_changed(find: Find, receiver: Receiver) -> None:
    receiver.summary("1.1", "1.1.1")
    find()
    found = find(full_pass_after=timedelta(0))
    assert (found.full_pass, found.listed, found.read) == (True, 1, 0)


def test_a_full_pass_that_was_killed_does_not_count(find: Find, receiver: Receiver) -> None:
    receiver.summary("1.1", "1.1.1")

    def kill(_: int, __: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find(progress=kill)
    assert find().full_pass


def test_the_memory_says_what_was_seen(gateway: Gateway, find: Find, receiver: Receiver) -> None:
    file = receiver.summary("1.1", "1.1.1")
    find()
    with gateway.begin() as work:
        folder = work.execute(text("select mtime_ns from gateway.folder")).scalar_one()
        row = work.execute(text("select mtime_ns, size from gateway.file")).one()
    assert folder == file.parent.stat().st_mtime_ns
    assert (row.mtime_ns, row.size) == (file.stat().st_mtime_ns, file.stat().st_size)


def test_progress_tells_of_folders(find: Find, receiver: Receiver) -> None:
    for number in range(3):
        receiver.summary(f"1.{number}", "1")
    told: list[tuple[int, int]] = []
    find(progress=lambda done, total: told.append((done, total)))
    assert told == [(3, 3)]


def test_a_folder_larger_than_a_batch_is_taken_in_parts(find: Find, receiver: Receiver) -> None:
    for number in range(BATCH + 1):
        place = receiver.raw / "1.1" / f"{number}.json"
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(b'{"StudyInstanceUID":"1.1","SeriesInstanceUID":"%d"}' % number)
        receiver.age(place, 120)
    receiver.age(receiver.raw / "1.1", 30)
    assert find().discovered == BATCH + 1
    found = find()
    assert (found.listed, found.read) == (1, 0)
    assert find().listed == 0
