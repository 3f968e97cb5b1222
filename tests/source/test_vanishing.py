"""Studies that leave the disk and come back, and disks that leave with all of them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from processors.errors import ConfigurationError
from processors.gateway import Gateway
from processors.source.discover import Discovery, accept_place
from tests.conftest import SettableClock
from tests.source.receiver import Receiver, history, types

Find = Callable[..., Discovery]


def on_disk(gateway: Gateway) -> set[str]:
    with gateway.begin() as work:
        return set(work.execute(text("select study from gateway.study where on_disk")).scalars())


def remembered(gateway: Gateway) -> list[str]:
    with gateway.begin() as work:
        return list(work.execute(text("select study || '/' || name from gateway.file order by 1")).scalars())


def test_a_study_whose_folder_is_gone_has_vanished(gateway: Gateway, find: Find, receiver: Receiver) -> None:
    receiver.summary("1.1", "1.1.1")
    receiver.summary("1.2", "1.2.1")
    find()
    shutil.rmtree(receiver.raw / "1.1")
    assert find().vanished == 1
    assert find().vanished == 0
    assert history(gateway)[-1] == ("StudyVanished", {"StudyInstanceUID": "1.1"})
    assert on_disk(gateway) == {"1.2"}
    assert remembered(gateway) == ["1.2/1.2.1.json"]


def test_a_study_without_summaries_has_vanished(gateway: Gateway, find: Find, receiver: Receiver) -> None:
    file = receiver.summary("1.1", "1.1.1")
    find()
    receiver.remove(file)
    assert find().vanished == 1
    assert (find().listed, on_disk(gateway), remembered(gateway)) == (0, set(), [])


def test_a_study_that_has_lost_some_series_stays(gateway: Gateway, find: Find, receiver: Receiver) -> None:
    file = receiver.summary("1.1", "1.1.1")
    receiver.summary("1.1", "1.1.2")
    find()
    receiver.remove(file)
    assert find().vanished == 0
    assert remembered(gateway) == ["1.1/1.1.2.json"]
    assert types(gateway) == ["SeriesDiscovered", "SeriesDiscovered"]


def test_a_series_has_vanished_once_its_folder_has_come_to_rest(
    gateway: Gateway, find: Find, receiver: Receiver, clock: SettableClock
) -> None:
    """A folder that is being cleared loses its files one by one: that tells nothing of those that are still there."""
    file = receiver.summary("1.1", "1.1.1")
    receiver.summary("1.1", "1.1.2")
    find()
    receiver.remove(file)
    find()
    clock.advance(60)
    find()
    find()
    gone = {"StudyInstanceUID": "1.1", "SeriesInstanceUID": "1.1.1"}
    assert history(gateway)[2:] == [("SeriesVanished", gone)]
    receiver.summary("1.1", "1.1.1")
    find()
    assert history(gateway)[3:] == [("SeriesReturned", gone)]
    receiver.remove(file)
    clock.advance(60)
    find()
    receiver.summary("1.1", "1.1.1", NumFiles="7")
    find()
    assert types(gateway)[4:] == ["SeriesVanished", "SeriesReturned", "SeriesRevised"]


def test_a_study_that_comes_back_without_a_series_has_lost_it(
    gateway: Gateway, find: Find, receiver: Receiver, clock: SettableClock
) -> None:
    receiver.summary("1.1", "1.1.1")
    receiver.summary("1.1", "1.1.2")
    find()
    shutil.rmtree(receiver.raw / "1.1")
    find()
    receiver.summary("1.1", "1.1.2")
    clock.advance(60)
    find()
    assert types(gateway)[2:] == ["StudyVanished", "StudyReturned", "SeriesVanished"]


def test_a_series_that_is_broken_or_links_elsewhere_is_still_there(
    gateway: Gateway, find: Find, receiver: Receiver, clock: SettableClock
) -> None:
    receiver.summary("1.1", "1.1.1")
    receiver.summary("1.1", "1.1.2")
    find()
    receiver.file("1.1/1.1.1.json", b"[")
    clock.advance(120)
    find()
    assert types(gateway)[2:] == ["FileRejected"]


@pytest.mark.parametrize(("number", "expected"), [("1", []), ("2", ["SeriesRevised"])])
def test_a_study_comes_back_once_it_is_settled(
    gateway: Gateway, find: Find, receiver: Receiver, clock: SettableClock, number: str, expected: list[str]
) -> None:
    receiver.summary("1.1", "1.1.1", NumFiles="1")
    find()
    shutil.rmtree(receiver.raw / "1.1")
    find()
    receiver.summary("1.1", "1.1.1", NumFiles=number, age=0)
    assert find().returned == 0
    clock.advance(100)
    found = find()
    assert (found.returned, found.revised) == (1, len(expected))
    assert types(gateway) == ["SeriesDiscovered", "StudyVanished", "StudyReturned", *expected]
    assert on_disk(gateway) == {"1.1"}


def test_garbage_does_not_bring_a_study_back(find: Find, receiver: Receiver) -> None:
    file = receiver.summary("1.1", "1.1.1")
    find()
    receiver.remove(file)
    find()
    receiver.file("1.1/1.1.1.json", b"[")
    assert find().returned == 0
    receiver.summary("1.1", "1.1.1")
    found = find()
    assert (found.returned, found.resolved, found.discovered) == (1, 1, 0)


def test_rejections_go_with_their_folder(find: Find, receiver: Receiver) -> None:
    receiver.file("1.1/1.1.1.json", b"[")
    receiver.file("1.1/bad name.json", b"[")
    find()
    shutil.rmtree(receiver.raw / "1.1")
    found = find()
    assert (found.resolved, found.vanished) == (2, 0)


def test_a_folder_replaced_by_a_link_that_leads_out_has_vanished(
    gateway: Gateway, find: Find, receiver: Receiver, tmp_path: Path
) -> None:
    receiver.summary("1.1", "1.1.1")
    find()
    (receiver.raw / "1.1").rename(tmp_path / "archive")
    (receiver.raw / "1.1").symlink_to(tmp_path / "archive")
    found = find()
    assert (found.vanished, found.rejected) == (1, 1)
    assert (find().vanished, on_disk(gateway)) == (0, set())


def _studies(receiver: Receiver, count: int) -> None:
    for number in range(count):
        receiver.summary(f"1.{number}", "1")


def _unmount(receiver: Receiver) -> None:
    receiver.raw.rename(receiver.raw.with_name("mounted"))
    receiver.raw.mkdir()


def test_a_disk_that_is_not_mounted_is_no_loss_of_studies(
    gateway: Gateway, find: Find, receiver: Receiver, clock: SettableClock
) -> None:
    _studies(receiver, 10)
    find()
    _unmount(receiver)
    for _ in range(2):
        found = find()
        assert found.vanished == 0
        assert found.warning is not None
        assert "unmounted disk" in found.warning
        clock.advance(7200)
    receiver.raw.rmdir()
    receiver.raw.with_name("mounted").rename(receiver.raw)
    found = find()
    assert (found.warning, found.returned, found.read) == (None, 0, 0)
    assert len(on_disk(gateway)) == 10


def test_a_study_that_arrives_beside_the_loss_does_not_hide_it(find: Find, receiver: Receiver) -> None:
    _studies(receiver, 10)
    find()
    _unmount(receiver)
    receiver.summary("2.1", "1")
    found = find()
    assert (found.vanished, found.discovered) == (0, 1)
    assert found.warning is not None


@pytest.mark.parametrize("studies", [3, 10])
def test_a_study_received_onto_an_unmounted_disks_folder_does_not_make_the_others_vanish(
    gateway: Gateway, find: Find, receiver: Receiver, clock: SettableClock, studies: int
) -> None:
    """The second run used to record all of them as vanished: then all were no longer gone."""
    _studies(receiver, studies)
    find()
    _unmount(receiver)
    for number in range(3):
        receiver.summary(f"2.{number}", "1")
        found = find()
        assert (found.vanished, found.discovered) == (0, 1)
        assert "unmounted disk" in (found.warning or "")
        clock.advance(7200)
    shutil.rmtree(receiver.raw)
    receiver.raw.with_name("mounted").rename(receiver.raw)
    found = find()
    assert (found.warning, found.vanished, found.returned) == (None, 3, 0)
    assert len(on_disk(gateway)) == studies


def test_another_disk_with_some_of_the_studies_is_believed(find: Find, receiver: Receiver) -> None:
    _studies(receiver, 10)
    find()
    _unmount(receiver)
    shutil.copytree(receiver.raw.with_name("mounted") / "1.3", receiver.raw / "1.3")
    found = find()
    assert (found.vanished, found.warning) == (9, None)


def test_a_disk_that_was_replaced_for_good_is_said_to_be_and_then_believed(
    gateway: Gateway, find: Find, receiver: Receiver
) -> None:
    _studies(receiver, 10)
    find()
    with pytest.raises(ConfigurationError, match="There is nothing to settle"):
        accept_place(gateway, receiver.raw, by="admin", reason="a mistake")
    _unmount(receiver)
    receiver.summary("2.1", "1")
    assert find().warning is not None
    assert accept_place(gateway, receiver.raw, by="admin", reason="the array failed") == 11
    found = find()
    assert (found.vanished, found.warning) == (10, None)
    assert ("RawFolderReplaced", {"site": "main", "studies": 11, "by": "admin", "reason": "the array failed"}) in (
        history(gateway)
    )


@pytest.mark.parametrize(("studies", "removed"), [(9, 9), (11, 10)])
def test_losing_few_or_not_all_is_believed(find: Find, receiver: Receiver, studies: int, removed: int) -> None:
    _studies(receiver, studies)
    find()
    for number in range(removed):
        shutil.rmtree(receiver.raw / f"1.{number}")
    found = find()
    assert (found.vanished, found.warning) == (removed, None)


def test_a_full_pass_finds_lost_studies_without_any_memory(gateway: Gateway, find: Find, receiver: Receiver) -> None:
    _studies(receiver, 3)
    find()
    with gateway.begin() as work:
        for table in ("folder", "file", "full_pass"):
            work.execute(text(f"delete from gateway.{table}"))
    shutil.rmtree(receiver.raw / "1.1")
    found = find()
    assert (found.vanished, found.read, found.revised) == (1, 2, 0)
