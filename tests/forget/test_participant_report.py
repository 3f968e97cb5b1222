"""What a person is told of the data about them: theirs alone, without a name, and that it was asked is recorded."""

import csv
import io

from tests.flow.harness import BRAIN, HEART
from tests.forget.test_commands import ADA, ADAS_NAME, Command, command

__all__ = ["command"]

ASK = ("report", "participant", "--patient-id-stdin")


def test_a_person_is_told_which_data_went_where_and_that_this_was_asked_is_recorded(command: Command) -> None:
    command.site.study("2.1", "19151210-EVE", PatientName="Other^Eve")
    command.site.run()
    told = command(*ASK, given=ADA.encode())
    assert (told.exit_code, told.stderr) == (0, "")
    assert all(said in told.stdout for said in ("1.1", "1.2", HEART, BRAIN, "routing rule 1", "not sent yet"))
    assert [said for said in (ADA, ADAS_NAME, "2.1", "Eve", "1.3") if f">{said}" in told.stdout] == []
    assert ADA not in told.stdout
    (event,) = command.site.events("ParticipantReported")
    assert event["studies"] == 2
    assert event["subjects"]
    assert f"stands in the ledger as event {command.site.head()}." in told.stdout
    rows = list(csv.DictReader(io.StringIO(command(*ASK, "--csv", given=ADA.encode()).stdout)))
    assert {(row["study"], row["project"]) for row in rows} >= {("1.2", HEART), ("1.1", BRAIN)}
    command.site.assert_sound()


def test_who_is_not_known_cannot_be_reported_and_nothing_is_recorded(command: Command) -> None:
    head = command.site.head()
    for given in (b"nobody-of-this-id", b"UNKNOWN", b""):
        told = command(*ASK, given=given)
        assert (told.exit_code, told.stdout) == (2, "")
    assert "--patient-id-stdin" in command("report", "participant").stderr
    assert command.site.head() == head
