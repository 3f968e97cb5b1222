"""The sender's folders: what is taken back from its queue, and what its folders tell."""

from pathlib import Path

import pytest

from processors.configuration import SenderSection
from tests.delivery.sender.conftest import STUDY
from tests.flow.harness import HEART, Asked, Site

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
    assert queued.transfers(STUDY) == {2: Asked(HEART, "H-002")}
    assert queued.attention() == {}
    assert names(folders.withdrawn) == [FILE]
    assert names(folders.queue) == ["1.9_Heart Study_H-001_1.json", "no request"]
    (recalled,) = queued.events("TransferRecalled")
    assert "H-001" not in str(recalled)


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
    assert queued.transfers(STUDY) == {2: Asked(HEART, "H-001")}
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
