"""The sender's folders: what is taken back from its queue, and what its folders tell."""

import os
import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from processors.configuration.settings import SenderSection
from tests.delivery.sender.conftest import STUDY
from tests.flow.harness import BRAIN, HEART, Asked, Site
from tests.operations.operator import replay_all

FILE = f"{STUDY}_{HEART}_H-001_1.json"


@pytest.fixture
def folders(tmp_path: Path) -> SenderSection:
    for name in ("queue", "done", "fail", "withdrawn"):
        (tmp_path / name).mkdir()
    return SenderSection(
        queue=tmp_path / "queue",
        done=tmp_path / "done",
        fail=tmp_path / "fail",
        withdrawn=tmp_path / "withdrawn",
    )


@pytest.fixture
def queued(site: Site, folders: SenderSection) -> Site:
    """A request that has stood for an hour, whose file waits in the sender's queue."""
    site.sender = folders
    site.entry(study=STUDY, subject="H-001")
    site.series(STUDY)
    site.run()
    queue = folders.queue
    assert queue is not None
    (queue / FILE).write_text("{}")
    (queue / "1.9_Heart Study_H-001_1.json").write_text("somebody else's")
    (queue / "no request").write_text("")
    site.clock.advance(3600)
    return site


def names(folder: Path | None) -> list[str]:
    assert folder is not None
    return sorted(path.name for path in folder.iterdir())


def test_a_request_taken_back_from_the_queue_is_withdrawn_and_another_placed(
    queued: Site, folders: SenderSection
) -> None:
    """Its row is not used again: a batch that had read the queue before still writes into it."""
    queued.entry(study=STUDY, subject="H-002")
    queued.run()
    assert queued.transfers(STUDY) == {1: Asked(HEART, ""), 2: Asked(HEART, "H-002")}
    assert queued.attention() == {}
    assert names(folders.withdrawn) == [FILE]
    assert names(folders.queue) == ["1.9_Heart Study_H-001_1.json", "no request"]
    (recalled,) = queued.events("TransferRecalled")
    assert "H-001" not in str(recalled)


def test_the_file_of_a_double_that_is_ended_is_taken_back(queued: Site, folders: SenderSection) -> None:
    """A deleted row was written again, and put back: its file was left, and the study was sent by both."""
    row = queued.transfer_rows(STUDY)[1]
    queued.person_deletes_transfer(STUDY, 1)
    replay_all(queued)
    place = {"study_instance_uid": STUDY, "redcap_repeat_instrument": "transfers", "redcap_repeat_instance": "1"}
    queued.transfer_project.put([{**place, **row}])
    again = FILE.replace("_1.json", "_2.json")
    assert folders.queue is not None
    (folders.queue / again).write_text("{}")
    queued.run()
    assert [instance for instance, asked in queued.transfers(STUDY).items() if asked.name] == [2]
    assert names(folders.withdrawn) == [FILE]
    assert again in names(folders.queue)


def test_nobody_s_request_gets_the_number_of_one_taken_back_while_a_batch_is_under_way(
    queued: Site, folders: SenderSection
) -> None:
    """The row was emptied, so gone to REDCap, and the sender told of H-001 in the row of a person's request."""
    queued.entry(study="1.2.9", subject="H-001")
    queued.run()
    assert names(folders.withdrawn) == [FILE]
    theirs = queued.person_requests(STUDY, BRAIN, "B-001")
    assert theirs == 2
    queued.sender_sends(STUDY, 1)
    assert queued.run().attention == {"sent after it was ended": 1}
    assert queued.transfer_rows(STUDY)[theirs].get("transfer_date") is None


def test_a_name_in_the_queue_that_is_no_text_is_somebody_else_s(queued: Site, folders: SenderSection) -> None:
    """Each run ended with 70."""
    assert folders.queue is not None
    strange = folders.queue / os.fsdecode(b"M\xfcller_1.json")
    strange.write_text("")
    queued.entry(study=STUDY, subject="H-002")
    queued.run()
    assert names(folders.withdrawn) == [FILE]
    assert strange.exists()


def test_a_pseudonym_too_long_for_a_file_s_name_is_no_fault_of_the_folder(queued: Site) -> None:
    queued.entry("2", study=STUDY, project=BRAIN, subject="B" * 240)
    queued.run()
    queued.remove_entry("2")
    for _ in range(3):
        assert not [warning for warning in queued.run().checked.warnings if "sender.queue" in warning]


def test_a_request_that_is_not_in_the_queue_any_more_may_have_been_sent(queued: Site, folders: SenderSection) -> None:
    assert folders.queue is not None
    (folders.queue / FILE).unlink()
    queued.entry(study=STUDY, subject="H-002")
    queued.run()
    assert queued.transfers(STUDY) == {1: Asked(HEART, ""), 2: Asked(HEART, "H-002")}
    assert queued.attention() == {"may have been sent": 1}


def test_what_the_folder_of_done_requests_tells_settles_it(queued: Site, folders: SenderSection) -> None:
    assert folders.queue is not None
    assert folders.done is not None
    (folders.queue / FILE).rename(folders.done / f"{FILE}_ok_20260302100500.log")
    queued.entry(study=STUDY, subject="H-002")
    queued.run()
    assert queued.attention() == {"sent after it was ended": 1}


def test_a_file_that_is_made_anew_from_the_old_row_is_taken_back_by_the_next_run(
    queued: Site, folders: SenderSection
) -> None:
    queued.entry(study=STUDY, subject="H-002")
    queued.run()
    assert folders.queue is not None
    (folders.queue / FILE).write_text("{}")
    queued.run()
    assert FILE not in names(folders.queue)


def test_the_file_of_a_request_in_force_stays_although_one_that_ended_has_its_name(
    queued: Site, folders: SenderSection
) -> None:
    queued.entry(study=STUDY, subject="H-002")
    queued.run()
    queued.entry(study=STUDY, subject="H-001")
    queued.run()
    assert queued.transfers(STUDY) == {1: Asked(HEART, ""), 2: Asked(HEART, "H-001")}
    assert folders.queue is not None
    wanted = FILE.replace("_1.json", "_2.json")
    (folders.queue / wanted).write_text("{}")
    queued.run()
    assert wanted in names(folders.queue)


@pytest.mark.parametrize("key", ["queue", "withdrawn"])
def test_a_folder_that_is_missing_is_told_and_stops_nothing(queued: Site, folders: SenderSection, key: str) -> None:
    queued.sender = folders.model_copy(update={key: Path("/nowhere")})
    queued.entry(study=STUDY, subject="H-002")
    report = queued.run()
    assert report.delivered is not None
    assert any(f"sender.{key}" in words for words in [*report.delivered.warnings, *report.checked.warnings])
    assert queued.attention() == {"may have been sent": 1}


def test_within_the_minute_a_file_is_taken_back_and_its_row_not_used_again(site: Site, folders: SenderSection) -> None:
    """The sender may look at any moment. The row used to be amended while the old pseudonym waited in the queue."""
    assert folders.queue is not None
    site.sender = folders
    site.entry(study=STUDY, subject="H-001")
    site.series(STUDY)
    site.run()
    (folders.queue / FILE).write_text("{}")
    site.entry(study=STUDY, subject="H-002")
    site.run(after=20)
    assert (names(folders.queue), names(folders.withdrawn)) == ([], [FILE])
    assert site.transfers(STUDY) == {1: Asked(HEART, ""), 2: Asked(HEART, "H-002")}


def test_what_was_carried_out_within_the_minute_is_told_to_be_sent_as_it_was(
    site: Site, folders: SenderSection
) -> None:
    assert folders.done is not None
    site.sender = folders
    site.entry(study=STUDY, subject="H-001")
    site.series(STUDY)
    site.run()
    (folders.done / f"{FILE}_ok_20260302090140.log").write_text("")
    site.entry(study=STUDY, subject="H-002")
    site.run(after=20)
    assert site.transfers(STUDY) == {1: Asked(HEART, ""), 2: Asked(HEART, "H-002")}
    assert site.attention() == {"sent after it was ended": 1}


def test_a_file_that_was_made_anew_does_not_hide_that_another_was_carried_out(
    queued: Site, folders: SenderSection
) -> None:
    """REDCap had not taken what the sender wrote: so it made another file, and the ledger said "unsent"."""
    assert folders.done is not None
    (folders.done / f"{FILE}_ok_20260302095500.log").write_text("")
    queued.entry(study=STUDY, subject="H-002")
    queued.run()
    assert FILE in names(folders.withdrawn)
    assert queued.attention() == {"sent after it was ended": 1}


def test_a_failure_of_before_tells_nothing_of_the_copy_that_the_sender_may_hold_now(
    queued: Site, folders: SenderSection
) -> None:
    assert folders.queue is not None
    assert folders.fail is not None
    (folders.queue / FILE).unlink()
    (folders.fail / f"{FILE}_fail.log").write_text("")
    queued.clock.now = datetime.now(UTC) + timedelta(minutes=1)  # times in folders are the system's
    queued.entry(study=STUDY, subject="H-002")
    queued.run()
    queued.run()
    assert queued.attention() == {"may have been sent": 1}


def test_what_was_taken_back_before_is_kept(queued: Site, folders: SenderSection) -> None:
    assert folders.withdrawn is not None
    (folders.withdrawn / FILE).write_text("earlier")
    queued.entry(study=STUDY, subject="H-002")
    queued.run()
    assert names(folders.withdrawn) == [FILE, f"{FILE}.2"]
    assert (folders.withdrawn / FILE).read_text() == "earlier"


@pytest.fixture
def elsewhere(folders: SenderSection) -> Iterator[Path]:
    """A folder on another file system."""
    memory = Path("/dev/shm")  # noqa: S108 - to have another file system
    assert folders.queue is not None
    if not memory.is_dir() or memory.stat().st_dev == folders.queue.stat().st_dev:
        pytest.skip("expected a file system beside that of the temporary folders, found none at /dev/shm")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@contextmanager
def disk_full_after(size: int) -> Iterator[None]:
    """No file can grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_is_taken_back_to_another_file_system(queued: Site, folders: SenderSection, elsewhere: Path) -> None:
    queued.sender = folders.model_copy(update={"withdrawn": elsewhere})
    queued.entry(study=STUDY, subject="H-002")
    queued.run()
    assert names(elsewhere) == [FILE]
    assert names(folders.queue) == ["1.9_Heart Study_H-001_1.json", "no request"]


def test_a_full_disk_for_what_is_withdrawn_leaves_it_beside_the_queue_and_out_of_the_senders_sight(
    queued: Site, folders: SenderSection, elsewhere: Path
) -> None:
    """It was neither in the queue any more nor told to be taken back, and half of it lay with what was withdrawn."""
    assert folders.queue is not None
    (folders.queue / FILE).write_text("{}" * 5_000)
    queued.sender = folders.model_copy(update={"withdrawn": elsewhere})
    queued.entry(study=STUDY, subject="H-002")
    with disk_full_after(4_096):
        report = queued.run()
    assert names(elsewhere) == []
    assert f"{FILE}.withdrawn" in names(folders.queue)
    assert queued.transfers(STUDY) == {1: Asked(HEART, ""), 2: Asked(HEART, "H-002")}
    assert "File too large" in str(report.as_data())


def test_a_folder_that_cannot_be_used_needs_a_person(queued: Site, folders: SenderSection) -> None:
    """The run ended with 0, while `status` said that somebody is needed."""
    assert folders.fail is not None
    folders.fail.rmdir()
    assert queued.run().attention == {"unusable folder of the sender": 1}
    folders.fail.mkdir()
    assert queued.run().attention == {}


def test_a_persons_file_stays_when_ours_that_asked_for_the_same_ends(site: Site, folders: SenderSection) -> None:
    """Each run took it away, so that what they wanted was never sent."""
    assert folders.queue is not None
    site.sender = folders
    site.series(STUDY)
    site.run()
    instance = site.person_requests(STUDY, HEART, "H-001")
    site.entry(study=STUDY, subject="H-001")
    site.run()
    (folders.queue / FILE).write_text("{}")
    site.remove_entry()
    site.run()
    site.run()
    assert (instance, site.transfers(STUDY)) == (1, {1: Asked(HEART, "H-001")})
    assert FILE in names(folders.queue)
