"""Somebody is forgotten whose studies REDCap held before this system: what is left there, and what may be recorded."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from processors.cli.main import app
from processors.redcap.incoming import hashed
from tests.adopt.sites import AdoptingSite
from tests.conftest import SettableClock
from tests.flow.harness import HEART, standard_simulator

STUDY, WITHOUT_REQUESTS, OF_ANOTHER = "1.2.1", "1.2.2", "1.2.3"
SENT = "a pseudonym, requested by others and sent"
CAN_BE_SENT = "a pseudonym, requested by others, can be sent"
HASHES = "hashes of PatientID and PatientName"


class Command:
    """The commands against a site that adopts what the scripts wrote of patients 4711-A, 4712-B and 4713-C."""

    def __init__(self, site: AdoptingSite, config: Path) -> None:
        self.site = site
        self.config = config

    def __call__(self, *arguments: str, given: str = "") -> Result:
        return CliRunner().invoke(app, ["--config", str(self.config), *arguments], input=given.encode())

    def forget(self, *arguments: str, patient: str = "") -> tuple[int, list[Any]]:
        """The exit code, and what is left in REDCap."""
        given = ["--patient-id-stdin"] * bool(patient)
        done = self("forget", *arguments, *given, "--reason", "case 17", "--yes", "--json", given=patient)
        left = json.loads(done.stdout)["redcap"]
        return done.exit_code, [(row["record_id"], row["instance"], row["holds"]) for row in left]


@pytest.fixture
def command(database_url: str, key_file: Path, clock: SettableClock, tmp_path: Path) -> Iterator[Command]:
    with ExitStack() as stack:
        redcap = stack.enter_context(standard_simulator(clock, with_withdrawals=True))
        site = AdoptingSite(
            folder=tmp_path, database_url=database_url, key_file=key_file, clock=clock, simulator=redcap
        )
        stack.callback(site.close)
        for study, patient in ((STUDY, "4711-A"), (WITHOUT_REQUESTS, "4712-B"), (OF_ANOTHER, "4713-C")):
            site.scripts_wrote(study, study_patient_id=hashed(patient))
        site.scripts_requested(STUDY, "H-001", sent=True)
        site.scripts_requested(STUDY, "H-001", event="later")
        site.scripts_requested(OF_ANOTHER, "H-003", sent=True)
        site.adopt()
        site.clock.now = datetime.now().astimezone()  # the program goes by the machine's
        tokens = "\n".join(f'{name} = "{token}"' for name, token in site.tokens.items())
        config = tmp_path / "fiona-ledger.toml"
        config.write_text(f"""
[ledger]
url = "{site.database_url}"
key_file = "{site.key_file}"
[source]
raw = "{site.receiver.raw}"
[redcap]
url = "{site.simulator.url}"
[redcap.tokens]
{tokens}
""")
        yield Command(site, config)


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
