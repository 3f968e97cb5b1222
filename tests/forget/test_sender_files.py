"""The sender's copies of what was requested of somebody who is forgotten: found again without the pseudonym."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from processors.configuration.settings import SenderSection
from processors.demo.sender import Sender
from tests.flow.harness import BRAIN, HEART, Asked
from tests.forget.sites import PrivateSite

ADA = "19151210-ADA"

Requested = Callable[[PrivateSite], str]


@pytest.fixture
def folders(tmp_path: Path) -> SenderSection:
    for name in ("queue", "done", "fail", "withdrawn"):
        (tmp_path / name).mkdir()
    return SenderSection(
        queue=tmp_path / "queue", done=tmp_path / "done", fail=tmp_path / "fail", withdrawn=tmp_path / "withdrawn"
    )


@pytest.fixture
def sender(site: PrivateSite, folders: SenderSection) -> Sender:
    site.sender = folders
    assert folders.queue is not None
    assert folders.done is not None
    assert folders.fail is not None
    return Sender(
        transfers=site.transfer_project,
        raw=site.receiver.raw,
        queue=folders.queue,
        done=folders.done,
        fail=folders.fail,
        clock=site.clock,
    )


def coupled(site: PrivateSite) -> str:
    """Ada's study was requested under a pseudonym of the coupling list an hour ago; gives the name of its file."""
    site.series("1.1", PatientID=ADA)
    site.entry("7", study="1.1", project=HEART, subject="H-0815")
    site.run()
    assert site.transfers("1.1") == {1: Asked(HEART, "H-0815")}
    site.clock.advance(3600)
    return f"1.1_{HEART}_H-0815_1.json"


def ruled(site: PrivateSite) -> str:
    """The same under the PatientID, of which no hash is kept."""
    site.rule(patient_id="19.*", project=BRAIN)
    site.series("1.1", PatientID=ADA)
    site.run()
    assert site.transfers("1.1") == {1: Asked(BRAIN, ADA)}
    site.clock.advance(3600)
    return f"1.1_{BRAIN}_{ADA}_1.json"


however_requested = pytest.mark.parametrize("requested", [coupled, ruled])


def names(folder: Path | None) -> list[str]:
    assert folder is not None
    return sorted(path.name for path in folder.iterdir())


def sends(sender: Sender) -> list[str]:
    """What is sent of what lies in the queue."""
    before = len(sender.sent)
    for _ in sender.anonymize_and_send():
        pass
    return [sent.request.file for sent in sender.sent[before:]]


@however_requested
def test_the_file_of_a_forgotten_patients_request_is_taken_back(
    site: PrivateSite, folders: SenderSection, sender: Sender, requested: Requested
) -> None:
    """Nobody could tell its name any more, so that it stayed and the study left the hospital."""
    file = requested(site)
    assert sender.create_transfer_requests() == [file]
    site.forget_patients(ADA)
    site.run()
    assert (names(folders.queue), names(folders.withdrawn), sends(sender)) == ([], [file], [])
    assert site.attention() == {}


@however_requested
def test_one_that_is_made_anew_while_the_record_is_locked_is_taken_back_by_each_run(
    site: PrivateSite, folders: SenderSection, sender: Sender, requested: Requested
) -> None:
    file = requested(site)
    site.incoming.lock("1.1")
    site.forget_patients(ADA)
    site.run()
    sender.create_transfer_requests()
    site.run()
    assert (names(folders.queue), names(folders.withdrawn)) == ([], [file])


@however_requested
def test_what_was_carried_out_before_it_was_ended_is_told_by_the_folder(
    site: PrivateSite, sender: Sender, requested: Requested
) -> None:
    """`may have been sent` stood until somebody acknowledged it."""
    requested(site)
    site.incoming.lock("1.1")  # REDCap takes nothing from the sender either
    sender.create_transfer_requests()
    site.forget_patients(ADA)
    assert len(sends(sender)) == 1
    site.incoming.unlock("1.1")
    site.run()
    assert site.attention() == {"sent after it was ended": 1}


@however_requested
def test_what_is_carried_out_after_it_was_ended_settles_it(
    site: PrivateSite, folders: SenderSection, sender: Sender, requested: Requested
) -> None:
    requested(site)
    sender.create_transfer_requests()
    assert folders.queue is not None
    (batch,) = folders.queue.iterdir()
    elsewhere = batch.rename(batch.with_suffix(".taken"))
    site.forget_patients(ADA)
    site.run()
    assert site.attention() == {"may have been sent": 1}
    assert folders.done is not None
    elsewhere.rename(folders.done / f"{batch.name}_ok_20260302100500.log")
    site.run()
    assert site.attention() == {"sent after it was ended": 1}


@however_requested
def test_nobody_elses_file_is_taken_for_it(site: PrivateSite, folders: SenderSection, requested: Requested) -> None:
    requested(site)
    ours = site.transfer_rows("1.1")[1]
    project, name, minute = (ours[f"transfer_{column}"] for column in ("project_name", "name", "requested_date"))
    row = {
        "study_instance_uid": "1.1",
        "redcap_repeat_instance": "1",
        "transfer_project_name": project,
        "transfer_event_name": "",
        "transfer_name": name,
        "transfer_requested_date": minute,
    }
    others = {
        f"1.1_{project}_{name}_2.json": row | {"redcap_repeat_instance": "2"},
        f"1.1_{project}_{name}_11.json": row | {"redcap_repeat_instance": "11"},
        f"1.10_{project}_{name}_1.json": row | {"study_instance_uid": "1.10"},
        f"1.1_{project}_Two_{name}_1.json": row | {"transfer_project_name": f"{project}_Two"},
        f"1.1_{project}_X-77_1.json": row | {"transfer_name": "X-77", "transfer_requested_date": "2026-03-01 07:30"},
        f"1.1_{project}_1.json": row,
    }
    assert folders.queue is not None
    for file, said in others.items():
        (folders.queue / file).write_text(json.dumps(said))
    (folders.queue / f"1.1_{project}_X-78_1.json").write_text("no row")
    (folders.queue / f"1.1_{project}_X-79_1.json").mkdir()
    site.sender = folders
    before = names(folders.queue)
    site.forget_patients(ADA)
    site.run()
    site.run()
    assert (names(folders.queue), names(folders.withdrawn)) == (before, [])


def test_a_file_of_a_person_who_asks_anew_in_the_same_instance_stays(
    site: PrivateSite, folders: SenderSection, sender: Sender
) -> None:
    ruled(site)
    site.forget_patients(ADA)
    site.run()
    site.person_requests("1.1", BRAIN, "B-1", instance=1)
    (file,) = sender.create_transfer_requests()
    site.run()
    assert (names(folders.queue), names(folders.withdrawn)) == ([file], [])


def test_a_request_made_anew_afterwards_keeps_its_file(
    site: PrivateSite, folders: SenderSection, sender: Sender
) -> None:
    coupled(site)
    site.forget_patients(ADA)
    site.run()
    site.entry("8", study="1.1", project=HEART, subject="H-0815")
    site.run()
    (file,) = sender.create_transfer_requests()
    site.run()
    assert names(folders.queue) == [file]
