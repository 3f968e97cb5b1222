"""Whatever lies in the raw folder, the run goes on, and says what it could not use."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from processors.errors import ConfigurationError, ServiceError
from processors.gateway import Gateway
from processors.source.discover import Discovery
from processors.source.summary import MAX_BYTES
from processors.source.tree import FileEntry, Folder, Listing, Tree
from tests.source.receiver import Receiver, history, types

Find = Callable[..., Discovery]


def rejected(gateway: Gateway) -> dict[str, str]:
    with gateway.begin() as work:
        rows = work.execute(text("select path, reason from gateway.rejected_file"))
        return {row.path: row.reason for row in rows}


def test_other_bad_content_is_recorded_anew(gateway: Gateway, find: Find, receiver: Receiver) -> None:
    receiver.file("1.1/1.1.1.json", b"[")
    find()
    receiver.file("1.1/1.1.1.json", b"")
    assert find().rejected == 1
    assert "empty" in rejected(gateway)["1.1/1.1.1.json"]


def test_a_huge_file_is_rejected_unread(gateway: Gateway, find: Find, receiver: Receiver) -> None:
    file = receiver.file("1.1/1.1.1.json", b"{")
    with file.open("r+b") as sparse:
        sparse.truncate(MAX_BYTES + 1)
    receiver.made(file)
    found = find()
    assert (found.rejected, found.read) == (1, 0)
    assert rejected(gateway) == {"1.1/1.1.1.json": "larger than 16 MiB"}


def test_a_rejected_file_that_is_removed_is_resolved(gateway: Gateway, find: Find, receiver: Receiver) -> None:
    file = receiver.file("1.1/1.1.1.json", b"[")
    receiver.summary("1.1", "1.1.2")
    find()
    receiver.remove(file)
    assert find().resolved == 1
    assert rejected(gateway) == {}
    assert history(gateway)[-1] == ("RejectionResolved", {"path": "1.1/1.1.1.json", "how": "gone"})


def _out(place: Path, aside: Path) -> None:
    aside.write_bytes(b'{"StudyInstanceUID": "1.1", "SeriesInstanceUID": "1.1.1"}')
    place.symlink_to(aside)


def _dangling(place: Path, aside: Path) -> None:
    place.symlink_to(aside)


def _loop(place: Path, _: Path) -> None:
    place.symlink_to(place)


def _folder(place: Path, _: Path) -> None:
    place.mkdir()


def _pipe(place: Path, _: Path) -> None:
    os.mkfifo(place)


def _to_folder(place: Path, _: Path) -> None:
    place.symlink_to(place.parent)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_out, "out of the raw folder"),
        (_dangling, "nowhere"),
        (_loop, "in a circle"),
        (_folder, "expected a file"),
        (_pipe, "expected a file"),
        (_to_folder, "expected a file"),
    ],
)
def test_what_is_no_file_of_the_tree_is_rejected(
    gateway: Gateway, find: Find, receiver: Receiver, tmp_path: Path, make: Callable[[Path, Path], None], words: str
) -> None:
    receiver.summary("1.1", "1.1.2")
    place = receiver.raw / "1.1" / "1.1.1.json"
    make(place, tmp_path / "aside")
    receiver.made(place)
    found = find()
    assert (found.rejected, found.discovered) == (1, 1)
    assert words in rejected(gateway)["1.1/1.1.1.json"]
    assert find().rejected == 0


def test_a_link_within_the_tree_is_followed(find: Find, receiver: Receiver) -> None:
    whole = receiver.summary("1.1", "1.1.1").read_bytes()
    receiver.remove(receiver.raw / "1.1" / "1.1.1.json")
    receiver.file(".store/inner", whole)
    place = receiver.raw / "1.1" / "1.1.1.json"
    place.symlink_to("../.store/inner")
    receiver.made(place)
    assert find().discovered == 1


def test_a_second_name_of_a_study_is_ignored(find: Find, receiver: Receiver) -> None:
    receiver.summary("1.1", "1.1.1")
    (receiver.raw / "1.2").symlink_to("1.1")
    found = find()
    assert (found.folders, found.discovered, found.rejected) == (1, 1, 0)


def test_a_study_folder_that_leads_out_is_rejected_until_it_is_mended(
    gateway: Gateway, find: Find, receiver: Receiver, tmp_path: Path
) -> None:
    outside = Receiver(tmp_path / "elsewhere", receiver.clock)
    outside.summary("1.1", "1.1.1")
    (receiver.raw / "1.1").symlink_to(outside.raw / "1.1")
    (receiver.raw / "1.2").symlink_to("1.2")
    assert find().rejected == 2
    assert rejected(gateway) == {
        "1.1": "a link that leads out of the raw folder",
        "1.2": "a link that leads in a circle",
    }
    assert find().rejected == 0
    (receiver.raw / "1.1").unlink()
    (receiver.raw / "1.2").unlink()
    receiver.summary("1.1", "1.1.1")
    find()
    assert rejected(gateway) == {}
    assert {(data["path"], data["how"]) for type_, data in history(gateway) if type_ == "RejectionResolved"} == {
        ("1.1", "readable"),
        ("1.2", "gone"),
    }


def test_what_is_not_a_summary_is_ignored(find: Find, receiver: Receiver) -> None:
    receiver.summary("1.1", "1.1.1")
    for path in ("1.1/notes.txt", "1.1/.hidden.json", "1.1/1.1.2.json.tmp", "1.1/json", "top.json", ".dot/1.json"):
        receiver.file(path, b"{")
    receiver.file("1.2.tmp/1.json", b"{")
    receiver.file("lost+found/1.json", b"{")
    found = find()
    assert (found.folders, found.read, found.rejected) == (1, 1, 0)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("1.1/a b.json", "1.1/a b.json"),
        ("Jörg/1.1.json", "Jörg/1.1.json"),
        (b"1.1/\xff\xfe.json", "1.1/\\xff\\xfe.json"),
        ("1.1/two\nlines.json", "1.1/two\\nlines.json"),
        ("1.1/" + "1" * 65 + ".json", "1.1/" + "1" * 65 + ".json"),
        ("1.1/' or 1=1;--.json", "1.1/' or 1=1;--.json"),
    ],
)
def test_a_malformed_name_is_rejected_and_shown_as_text(
    gateway: Gateway, find: Find, receiver: Receiver, path: str | bytes, shown: str
) -> None:
    file = receiver.file(path, b"{}")
    found = find()
    assert (found.rejected, found.read) == (1, 0)
    assert "malformed" in rejected(gateway)[shown]
    assert find().listed == 0
    receiver.remove(file)
    assert find().resolved == 1


def test_long_names_are_cut_and_stay_apart(gateway: Gateway, find: Find, receiver: Receiver) -> None:
    for end in "ab":
        receiver.file(b"\xff" * 200 + b"/" + b"\xfe" * 200 + end.encode() + b".json", b"{}")
    assert find().rejected == 2
    assert max(map(len, rejected(gateway))) <= 255
    assert len(rejected(gateway)) == 2


class Meddling(Tree):
    """A tree in which something happens to a file before it is opened."""

    def __init__(self, raw: Path, meddle: Callable[[str], None]) -> None:
        super().__init__(raw)
        self._meddle = meddle

    def open(self, folder: Folder, entry: FileEntry) -> int:
        self._meddle(entry.name)
        return super().open(folder, entry)


def test_a_file_that_vanishes_after_the_listing_is_simply_not_there(
    gateway: Gateway, find: Find, receiver: Receiver
) -> None:
    first, second = receiver.summary("1.1", "1.1.1"), receiver.summary("1.1", "1.1.2")

    def meddle(name: str) -> None:
        if name == first.name:
            first.unlink()
            receiver.age(first.parent, 30)

    found = find(opened=lambda raw: Meddling(raw, meddle))
    assert (found.discovered, found.rejected) == (1, 0)
    assert second.exists()
    assert find().rejected == 0
    assert types(gateway) == ["SeriesDiscovered"]


def test_a_file_that_changes_while_it_is_read_waits(find: Find, receiver: Receiver) -> None:
    file = receiver.summary("1.1", "1.1.1")
    found = find(opened=lambda raw: Meddling(raw, lambda _: receiver.in_place(file, b"{", age=0)))
    assert (found.unsettled, found.rejected, found.discovered) == (1, 0, 0)
    receiver.summary("1.1", "1.1.1")
    assert find().discovered == 1


def test_an_unreadable_file_is_tried_again_each_time(gateway: Gateway, find: Find, receiver: Receiver) -> None:
    receiver.summary("1.1", "1.1.1")

    def refuse(_: str) -> None:
        raise PermissionError(13, "Permission denied")

    for times in (1, 0):
        found = find(opened=lambda raw: Meddling(raw, refuse))
        assert (found.read, found.rejected) == (1, times)
    assert rejected(gateway) == {"1.1/1.1.1.json": "it cannot be read: Permission denied"}
    found = find()
    assert (found.resolved, found.discovered) == (1, 1)


class Closed(Tree):
    """A tree with a study folder that may not be listed."""

    def _enter(self, name: str) -> int:
        if name == "1.1":
            raise PermissionError(13, "Permission denied")
        return super()._enter(name)


def test_a_closed_folder_is_rejected_and_others_go_on(gateway: Gateway, find: Find, receiver: Receiver) -> None:
    receiver.summary("1.1", "1.1.1")
    find()
    receiver.summary("1.1", "1.1.2")
    receiver.summary("1.2", "1.2.1")
    for times in (1, 0):
        found = find(opened=Closed)
        assert (found.rejected, found.vanished) == (times, 0)
    assert rejected(gateway) == {"1.1": "it cannot be read: Permission denied"}
    found = find()
    assert (found.resolved, found.discovered, found.read) == (1, 1, 1)


class Swapped(Tree):
    """A tree in which every folder is gone once the scan is over."""

    def listing(self, folder: Folder) -> Listing:
        for file in Path(self._raw, folder.name).iterdir():
            file.unlink()
        Path(self._raw, folder.name).rmdir()
        return super().listing(folder)


def test_a_folder_that_vanishes_after_the_scan_is_left_to_the_next_run(
    gateway: Gateway, find: Find, receiver: Receiver
) -> None:
    receiver.summary("1.1", "1.1.1")
    assert find(opened=Swapped).rejected == 0
    assert types(gateway) == []


@pytest.mark.parametrize("make", ["nothing", "something else"])
def test_a_raw_folder_that_is_none_is_a_matter_of_configuration(
    gateway: Gateway, find: Find, receiver: Receiver, make: str
) -> None:
    receiver.raw.rmdir()
    if make == "something else":
        receiver.raw.write_bytes(b"")
    with pytest.raises(ConfigurationError, match=f"found {make}"):
        find()
    assert types(gateway) == []


class Failing(Tree):
    """A tree with a folder whose sectors are bad, on a disk that may be gone altogether."""

    disk_fails = False

    def _enter(self, name: str) -> int:  # noqa: ARG002 - fails for any
        if self.disk_fails:
            os.close(self._descriptor)
            self._descriptor = os.open("/dev/null", os.O_RDONLY)
        raise OSError(errno.EIO, "Input/output error")


class FailingAltogether(Failing):
    disk_fails = True


def test_a_bad_folder_is_rejected_but_a_failing_disk_ends_the_run(
    gateway: Gateway, find: Find, receiver: Receiver
) -> None:
    receiver.summary("1.1", "1.1.1")
    with pytest.raises(ServiceError, match="went away"):
        find(opened=FailingAltogether)
    assert types(gateway) == []
    assert find(opened=Failing).rejected == 1
    assert rejected(gateway) == {"1.1": "it cannot be read: Input/output error"}


class Broken(Tree):
    """A tree whose disk fails while the raw folder is listed."""

    def _folder(self, entry: "os.DirEntry[str]") -> Folder | None:  # noqa: ARG002 - fails for any
        raise PermissionError(13, "Permission denied")


def test_a_raw_folder_that_cannot_be_listed_records_nothing(gateway: Gateway, find: Find, receiver: Receiver) -> None:
    receiver.summary("1.1", "1.1.1")
    find()
    with pytest.raises(ServiceError, match="cannot be listed: Permission denied"):
        find(opened=Broken)
    assert types(gateway) == ["SeriesDiscovered"]
