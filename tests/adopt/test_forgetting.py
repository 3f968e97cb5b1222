"""Somebody is forgotten whose studies REDCap held before this system: what is left there, and what may be recorded."""

import pytest

from tests.adopt.commands import STUDY, WITHOUT_REQUESTS, Command
from tests.flow.harness import HEART

SENT = "a pseudonym, requested by others and sent"
CAN_BE_SENT = "a pseudonym, requested by others, can be sent"
HASHES = "hashes of PatientID and PatientName"


@pytest.mark.parametrize("by", ["PatientID", "study"])
def test_records_and_rows_from_before_this_system_are_listed(command: Command, by: str) -> None:
    """It ended with 0, as if nothing were left, while a row could be sent."""
    code, left = command.forget(patient="4711-A") if by == "PatientID" else command.forget("--study", STUDY)
    assert left == [(STUDY, None, HASHES), (STUDY, 1, SENT), (STUDY, 2, CAN_BE_SENT)]
    assert code == 1


def test_where_nothing_was_requested_the_record_alone_is_left(command: Command) -> None:
    assert command.forget(patient="4712-B") == (0, [(WITHOUT_REQUESTS, None, HASHES)])


def test_rows_that_people_add_are_listed(command: Command) -> None:
    instance = command.site.person_requests(WITHOUT_REQUESTS, HEART, "H-002")
    command("run", "--quiet")
    code, left = command.forget(patient="4712-B")
    assert (code, left) == (1, [(WITHOUT_REQUESTS, None, HASHES), (WITHOUT_REQUESTS, instance, CAN_BE_SENT)])


def test_so_are_those_beside_requests_of_ours(command: Command) -> None:
    site = command.site
    site.series("1.2.9", PatientID="9000-D")
    site.entry(study="1.2.9", subject="H-009")
    command("run", "--quiet")
    instance = site.person_requests("1.2.9", HEART, "H-009", event="later")
    command("run", "--quiet")
    code, left = command.forget(patient="9000-D")
    assert code == 1
    assert [row for row in left if row[1] is not None] == [
        ("1.2.9", 1, "a pseudonym"),
        ("1.2.9", instance, CAN_BE_SENT),
    ]


@pytest.mark.parametrize("reason", ["case 4711-A", "4711-a withdrew", "asked(4711-A)", "case 17 of 4711-A, by phone"])
@pytest.mark.parametrize("whom", [("--study", STUDY), ("--patient-id-stdin",)])
def test_a_reason_that_names_whom_redcaps_hash_stands_for_is_refused(
    command: Command, reason: str, whom: tuple[str, ...]
) -> None:
    """With --study, the PatientID was kept in plain text for ever."""
    head = command.site.head()
    done = command("forget", *whom, "--reason", reason, "--yes", given="4711-A")
    assert (done.exit_code, command.site.head()) == (2, head)
    assert "--reason holds the PatientID" in " ".join(done.output.split())


def test_one_that_names_somebody_else_is_not(command: Command) -> None:
    done = command("forget", "--study", STUDY, "--reason", "case 4711, as 4712-B", "--yes")
    assert done.exit_code == 1
    assert command.site.count("SubjectForgotten") == 1
