"""The stand-in does what the programs that send do: a test for each thing that is known of them."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from processors.demo.sender import MASKED, NOT_PSEUDONYMISED, NOT_SENT, Sender
from processors.demo.simulator import Project, standard_projects


class Hospital:
    """A sender, the project and the folders that it works on, and a clock that a test moves."""

    def __init__(self, folder: Path) -> None:
        self.now = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
        self.transfers: Project = standard_projects()["incoming"]
        self.raw = folder / "raw"
        self.raw.mkdir()
        self.sender = Sender(
            transfers=self.transfers,
            raw=self.raw,
            queue=folder / "queue",
            done=folder / "done",
            fail=folder / "fail",
            clock=lambda: self.now,
        )

    def later(self, minutes: int = 1) -> None:
        self.now += timedelta(minutes=minutes)

    def summary(self, study: str, series: str = "1", content: str = "{}") -> None:
        path = self.raw / study / f"{series}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
        os.utime(path, (self.now.timestamp(),) * 2)

    def write(self, study: str, instance: int = 1, **fields: str) -> None:
        place = {"redcap_repeat_instrument": "transfers", "redcap_repeat_instance": instance}
        prefixed = {f"transfer_{name}": value for name, value in fields.items()}
        self.transfers.put([{"study_instance_uid": study, **place, **prefixed}])

    def request(self, study: str, instance: int = 1, name: str = "P-001") -> None:
        """A study that has come, and a row that asks for it."""
        self.summary(study)
        self.write(study, instance, project_name="ALPHA", name=name, event_name="v1", requested_date="2026-03-02 10:00")

    def row(self, study: str, instance: int = 1) -> dict[str, str]:
        return next(
            {column: str(value) for column, value in row.items()}
            for row in self.transfers.rows()
            if row["study_instance_uid"] == study and row["redcap_repeat_instance"] == instance
        )

    def minute(self) -> list[str]:
        self.later()
        return self.sender.create_transfer_requests()

    def batch(self) -> list[str]:
        return [step.done for step in self.sender.anonymize_and_send()]

    def send(self, study: str, *ticks: str) -> dict[str, str]:
        """Requested, taken and tried: the row afterwards."""
        self.request(study)
        self.sender.ticks[study] = frozenset(ticks)
        self.minute()
        self.batch()
        return self.row(study)

    def names(self) -> list[str]:
        return [sent.request.name for sent in self.sender.sent]


@pytest.fixture
def hospital(tmp_path: Path) -> Hospital:
    return Hospital(tmp_path)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# createTransferRequests


def test_each_row_that_was_never_tried_gets_a_file_that_is_a_copy_of_it(hospital: Hospital) -> None:
    hospital.request("1.2")
    hospital.request("1.3", instance=4)
    assert hospital.minute() == ["1.2_ALPHA_P-001_1.json", "1.3_ALPHA_P-001_4.json"]
    copy = json.loads((hospital.sender.queue / "1.3_ALPHA_P-001_4.json").read_text())
    assert copy == hospital.row("1.3", 4)


def test_a_row_without_project_or_without_name_gets_no_file(hospital: Hospital) -> None:
    hospital.summary("1.2")
    hospital.write("1.2", 1, project_name="ALPHA")
    hospital.write("1.2", 2, name="P-001")
    assert hospital.minute() == []


def test_a_file_of_that_name_stands_as_it_is(hospital: Hospital) -> None:
    hospital.request("1.2")
    hospital.minute()
    hospital.write("1.2", event_name="v2")
    assert hospital.minute() == []
    hospital.batch()
    assert [sent.request.event_name for sent in hospital.sender.sent] == ["v1"]


def test_a_late_series_has_the_whole_study_sent_again_as_the_row_reads_then(hospital: Hospital) -> None:
    hospital.send("1.2")
    assert hospital.minute() == []
    hospital.later(5)
    hospital.summary("1.2", "2")
    hospital.write("1.2", name="P-002")
    assert hospital.minute() == ["1.2_ALPHA_P-002_1.json"]
    hospital.batch()
    assert hospital.names() == ["P-001", "P-002"]


def test_a_row_that_was_closed_is_not_sent_again(hospital: Hospital) -> None:
    hospital.send("1.2")
    hospital.later(5)
    hospital.summary("1.2", "2")
    hospital.write("1.2", name="")
    assert hospital.minute() == []


# anonymizeAndSend


def test_what_was_sent_is_told_in_its_row_and_its_file_is_done(hospital: Hospital) -> None:
    row = hospital.send("1.2")
    assert row["transfer_date"] == "2026-03-02 10:01"
    assert row["transfer_mapped_uid"].startswith("2.25.")
    assert row["transfer_error_message"] == ""
    assert [row[f"transfer_error___{code}"] for code in "123"] == ["0", "0", "0"]
    assert row["transfers_complete"] == "2"
    assert names_in(hospital.sender.queue) == []
    assert names_in(hospital.sender.done) == ["1.2_ALPHA_P-001_1.json_ok_20260302100100.log"]
    assert hospital.sender.sent[0].mapped_uids == (row["transfer_mapped_uid"],)


def test_several_mapped_uids_are_comma_separated(hospital: Hospital) -> None:
    hospital.sender.parts["1.2"] = 3
    assert hospital.send("1.2")["transfer_mapped_uid"].split(",") == list(hospital.sender.sent[0].mapped_uids)
    assert len(set(hospital.sender.sent[0].mapped_uids)) == 3


@pytest.mark.parametrize("code", [NOT_PSEUDONYMISED, NOT_SENT])
def test_a_failure_is_dated_too_and_tells_why_and_its_file_has_failed(hospital: Hospital, code: str) -> None:
    row = hospital.send("1.2", code)
    assert row["transfer_date"] == "2026-03-02 10:01"
    assert row[f"transfer_error___{code}"] == "1"
    assert json.loads(row["transfer_error_message"])
    assert row["transfers_complete"] == "1"
    assert names_in(hospital.sender.fail) == ["1.2_ALPHA_P-001_1.json_fail.log"]
    assert hospital.sender.sent == []


def test_what_failed_is_not_tried_again_by_itself_and_then_ends_as_it_ends(hospital: Hospital) -> None:
    hospital.send("1.2", NOT_SENT)
    assert hospital.minute() == []
    hospital.later(5)
    hospital.write("1.2", requested_date="2026-03-02 10:06")
    hospital.sender.ticks.clear()
    hospital.sender.resend_project()
    hospital.batch()
    row = hospital.row("1.2")
    assert (row["transfer_error___2"], row["transfer_error_message"], row["transfers_complete"]) == ("0", "", "2")


def test_masked_pixels_are_information_and_the_study_was_sent(hospital: Hospital) -> None:
    row = hospital.send("1.2", MASKED)
    assert (row["transfer_error___3"], row["transfer_error_message"], row["transfers_complete"]) == ("1", "", "2")
    assert hospital.names() == ["P-001"]
    assert len(names_in(hospital.sender.done)) == 1


def test_the_time_it_took_is_told_in_seconds(hospital: Hospital) -> None:
    hospital.request("1.2")
    hospital.minute()
    for step in hospital.sender.anonymize_and_send():
        if step.done == "tried":
            hospital.later(2)
    assert hospital.row("1.2")["transfer_active_proc_time"] == "120"
    assert hospital.row("1.2")["transfer_date"] == "2026-03-02 10:03"


def test_a_folder_that_is_gone_fails_without_a_word_and_the_next_minute_tries_anew(hospital: Hospital) -> None:
    hospital.request("1.2")
    hospital.sender.clear_old_files(capacity=0)
    before = hospital.transfers.rows()
    hospital.minute()
    assert hospital.batch() == ["read", "moved"]
    assert hospital.transfers.rows() == before
    assert names_in(hospital.sender.fail) == ["1.2_ALPHA_P-001_1.json_fail.log"]
    assert hospital.minute() == ["1.2_ALPHA_P-001_1.json"]


def test_the_newest_file_comes_first(hospital: Hospital) -> None:
    for study in ("1.1", "1.3", "1.2"):
        hospital.request(study)
        hospital.minute()
    hospital.batch()
    assert [sent.request.study for sent in hospital.sender.sent] == ["1.2", "1.3", "1.1"]


def test_a_batch_knows_only_what_lay_in_the_queue_at_its_start(hospital: Hospital) -> None:
    hospital.request("1.2")
    hospital.minute()
    batch = hospital.sender.anonymize_and_send()
    next(batch)
    hospital.request("1.3")
    hospital.minute()
    list(batch)
    assert names_in(hospital.sender.queue) == ["1.3_ALPHA_P-001_1.json"]


def test_batches_run_one_at_a_time(hospital: Hospital) -> None:
    hospital.request("1.2")
    hospital.minute()
    batch = hospital.sender.anonymize_and_send()
    next(batch)
    assert hospital.batch() == []
    list(batch)
    assert hospital.batch() == ["read"]


def test_what_was_corrected_after_it_was_read_is_sent_as_it_was_and_then_as_corrected(hospital: Hospital) -> None:
    hospital.request("1.2")
    hospital.minute()
    batch = hospital.sender.anonymize_and_send()
    next(batch)
    hospital.write("1.2", name="P-002")
    assert hospital.minute() == ["1.2_ALPHA_P-002_1.json"]
    list(batch)
    row = hospital.row("1.2")
    assert (row["transfer_name"], row["transfer_date"]) == ("P-002", "2026-03-02 10:02")
    hospital.batch()
    assert hospital.names() == ["P-001", "P-002"]


def test_it_writes_into_a_row_that_was_emptied_meanwhile(hospital: Hospital) -> None:
    hospital.request("1.2")
    hospital.minute()
    for step in hospital.sender.anonymize_and_send():
        if step.done == "tried":
            hospital.write("1.2", project_name="", name="", event_name="", requested_date="")
    row = hospital.row("1.2")
    assert (row["transfer_project_name"], row["transfer_date"]) == ("", "2026-03-02 10:01")


def test_a_file_that_was_taken_back_after_it_was_read_is_sent_all_the_same(hospital: Hospital) -> None:
    hospital.request("1.2")
    hospital.minute()
    for step in hospital.sender.anonymize_and_send():
        if step.done == "read":
            (hospital.sender.queue / "1.2_ALPHA_P-001_1.json").unlink()
    assert hospital.names() == ["P-001"]
    assert hospital.row("1.2")["transfer_date"] == "2026-03-02 10:01"
    assert names_in(hospital.sender.done) == []


def test_what_redcap_refuses_it_does_not_notice(hospital: Hospital) -> None:
    hospital.request("1.2")
    hospital.minute()
    hospital.transfers.lock("1.2")
    assert hospital.batch() == ["read", "tried", "written", "moved"]
    assert hospital.row("1.2")["transfer_date"] == ""
    assert len(names_in(hospital.sender.done)) == 1


@pytest.mark.parametrize(
    ("killed_after", "told", "sends"), [("read", "", 1), ("tried", "", 2), ("written", "2026-03-02 10:01", 2)]
)
def test_killed_in_the_middle_the_next_batch_takes_the_file_again(
    hospital: Hospital, killed_after: str, told: str, sends: int
) -> None:
    hospital.request("1.2")
    hospital.minute()
    batch = hospital.sender.anonymize_and_send()
    while next(batch).done != killed_after:
        pass
    batch.close()
    assert hospital.row("1.2")["transfer_date"] == told
    hospital.batch()
    assert hospital.names() == ["P-001"] * sends


# resendProject


def test_what_was_requested_after_it_was_tried_gets_a_file_again(hospital: Hospital) -> None:
    hospital.send("1.2")
    assert hospital.sender.resend_project() == []
    hospital.write("1.2", requested_date="2026-03-02 10:09")
    assert hospital.sender.resend_project("BETA") == []
    assert hospital.sender.resend_project("ALPHA") == ["1.2_ALPHA_P-001_1.json"]
    assert hospital.sender.resend_project() == []


def test_what_was_never_tried_is_left_to_the_next_minute(hospital: Hospital) -> None:
    hospital.request("1.2")
    assert hospital.sender.resend_project() == []


# clearOldFiles


def test_the_oldest_studies_go_until_a_fifth_of_the_disk_is_free(hospital: Hospital) -> None:
    for study in ("1.3", "1.1", "1.2"):
        hospital.later()
        hospital.summary(study, content="x" * 30)
    assert hospital.sender.clear_old_files(capacity=113) == []
    assert hospital.sender.clear_old_files(capacity=100) == ["1.3"]
    assert names_in(hospital.raw) == ["1.1", "1.2"]
