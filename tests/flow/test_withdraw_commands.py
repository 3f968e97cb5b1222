"""`withdraw` and `done`, as an operator gives them."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from processors.cli.bootstrap import operator
from processors.cli.main import app
from tests.cli.conftest import configuration_of
from tests.flow.conftest import MakeSite
from tests.flow.harness import HEART, Site

STUDY = "1.2.3"
FROM_HEART = ("--project", HEART, "--reason", "form of 2 March, case 17")


class Command:
    """The commands against a site at which the study of patient 4711 was requested as H-001."""

    def __init__(self, site: Site, config: Path) -> None:
        self.site = site
        self.config = config

    def __call__(self, *arguments: str, given: str = "") -> Result:
        return CliRunner().invoke(app, ["--config", str(self.config), *arguments], input=given.encode())

    def data(self, *arguments: str, given: str = "") -> Any:
        return json.loads(self(*arguments, "--json", given=given).stdout)


@pytest.fixture
def command(make_site: MakeSite, tmp_path: Path) -> Command:
    site = make_site(with_withdrawals=True)
    site.clock.now = datetime.now().astimezone()  # the program goes by the machine's
    config = tmp_path / "fiona-ledger.toml"
    config.write_text(configuration_of(site))
    site.series(STUDY, PatientID="4711", AccessionNumber="A-1")
    site.entry(accession="A-1")
    site.run()
    site.sender_sends(STUDY, 1)
    site.run()
    return Command(site, config)


def test_whoever_withdraws_by_patient_id_leaves_a_task_until_it_is_done(command: Command) -> None:
    done = command("withdraw", *FROM_HEART, "--patient-id-stdin", given="4711\n")

    assert done.exit_code == 1, done.output
    assert f"study {STUDY}, project '{HEART}', instance 1: sent, under study UID 2.25.{STUDY}" in done.stdout
    assert "4711" not in done.output
    ((position,),) = command.site.query("select position from audit.task where open")
    assert f"[{position}]" in command("status").stdout
    seen_to = command("done", str(position), "--reason", "removed from the archive, ticket 12")
    assert (seen_to.exit_code, seen_to.stdout) == (0, f"Done: study {STUDY}, project '{HEART}'.\n")
    assert command.site.query("select done_reason from audit.task") == [("removed from the archive, ticket 12",)]
    assert "task" not in command.site.attention()


def test_what_is_told_of_a_sent_study_later_is_another_task_and_the_one_that_is_done_stays(command: Command) -> None:
    """Who had seen to it, and when, was gone from audit.task once the sender's fields in REDCap changed."""
    command("withdraw", *FROM_HEART, "--study", STUDY)
    tasks = "select position, since, instance, what, sent_at, mapped_uids, done_by, done_reason, open from audit.task"
    ((position, since, *told, _, _, _),) = command.site.query(tasks)
    command("done", str(position), "--reason", "removed, ticket 12")
    done = (position, since, *told, operator(), "removed, ticket 12", False)
    assert told == [1, "sent", "2026-03-02 08:55", [f"2.25.{STUDY}"]]
    assert command.site.query(tasks) == [done]
    place = {"redcap_repeat_instrument": "transfers", "redcap_repeat_instance": "1"}
    command.site.transfer_project.put([{"study_instance_uid": STUDY, "transfer_mapped_uid": "8.8.8", **place}])
    command.site.run()
    first, another = sorted(command.site.query(tasks))
    assert first == done
    assert (another[5], another[-1]) == ([f"2.25.{STUDY}", "8.8.8"], True)


def test_by_study_or_pseudonym_it_is_the_same(command: Command) -> None:
    told = command.data("withdraw", *FROM_HEART, "--study", STUDY)
    assert (told["studies"], len(told["ended"]), len(told["tasks"])) == ([STUDY], 1, 1)
    told = command.data("withdraw", *FROM_HEART, "--pseudonym-stdin", given="H-001")
    assert (told["studies"], told["ended"], len(told["tasks"])) == ([STUDY], [], 1)


def test_of_a_patient_who_is_not_known_yet_it_says_that_nothing_was_requested(command: Command) -> None:
    done = command("withdraw", "--all-projects", "--reason", "form of 2 March", "--patient-id-stdin", given="9999")

    assert done.exit_code == 0, done.output
    assert "What comes later is held" in done.stdout


def test_studies_that_were_said_to_be_theirs_are_named_and_what_stands_is_listed_until_acknowledged(
    command: Command,
) -> None:
    """It said that nothing was requested of that patient, and ended with 0."""
    later = "1.2.4"
    command.site.series(later, PatientID="4712")
    command.site.entry("2", study=later, subject="H-002")
    command.site.run()
    command.site.series(later, PatientID="9000")
    command.site.run()
    done = command("withdraw", *FROM_HEART, "--patient-id-stdin", given="4712")
    assert done.exit_code == 1, done.output
    assert later in done.stdout
    assert [word for word in ("Nothing was requested", "4712", "9000", "H-002") if word in done.output] == []
    assert command.data("withdraw", *FROM_HEART, "--patient-id-stdin", given="4712")["elsewhere"] == [later]
    assert command.site.attention()["participant withdrew"] == 1
    ((position,),) = command.site.query("select position from audit.attention where kind = 'participant withdrew'")
    assert "withdraw --study" in command("status").stdout
    assert command("acknowledge", str(position), "--reason", "somebody else, asked at the desk").exit_code == 0
    assert "participant withdrew" not in command.site.attention()


@pytest.mark.parametrize(
    ("arguments", "given", "told"),
    [
        (("--reason", "x", "--study", STUDY), "", "one of --project and --all-projects"),
        (("--project", HEART, "--all-projects", "--reason", "x", "--study", STUDY), "", "one of --project and"),
        (FROM_HEART, "", "one of --patient-id-stdin"),
        ((*FROM_HEART, "--study", STUDY, "--patient-id-stdin"), "4711", "one of --patient-id-stdin"),
        (("--all-projects", "--reason", "x", "--pseudonym-stdin"), "H-001", "expected --project as well"),
        (("--project", HEART, "--reason", " ", "--study", STUDY), "", "--reason"),
        (("--project", HEART, "--reason", "4711 asked", "--patient-id-stdin"), "4711", "in plain text for ever"),
        (("--project", HEART, "--reason", "4711 asked", "--study", STUDY), "", "in plain text for ever"),
        (("--project", "heart study", "--reason", "x", "--study", STUDY), "", "Names count to the letter"),
        ((*FROM_HEART, "--patient-id-stdin"), "", "expected one line, found none"),
        ((*FROM_HEART, "--patient-id-stdin"), " \n", "expected one line, found a blank one"),
        ((*FROM_HEART, "--pseudonym-stdin"), "\u200b\n", "expected one line, found a blank one"),
        ((*FROM_HEART, "--patient-id-stdin"), "n/a \n", "found a placeholder"),
        ((*FROM_HEART, "--patient-id-stdin"), "4711\n4712\n", "expected one line, found 2"),
        ((*FROM_HEART, "--study", "9.9"), "", "found none of study"),
    ],
)
def test_what_is_not_clear_is_refused_and_changes_nothing(
    command: Command, arguments: tuple[str, ...], given: str, told: str
) -> None:
    head = command.site.head()
    done = command("withdraw", *arguments, given=given)

    assert done.exit_code == 2
    assert told in " ".join(done.stderr.split())
    assert command.site.head() == head


@pytest.mark.parametrize("how", ["withdrawal removed", "withdrawal changed", "unusable withdrawal"])
def test_whoever_has_looked_into_an_entry_of_the_list_says_so(command: Command, how: str) -> None:
    listed = command.site.simulator.projects["withdrawals"]
    listed.put([{"record_id": "1", "wd_project": HEART if "unusable" not in how else "", "wd_subject": "H-002"}])
    command.site.run()
    if how == "withdrawal removed":
        listed.delete("1")
        command.site.run()
    elif how == "withdrawal changed":
        listed.put([{"record_id": "1", "wd_project": HEART, "wd_subject": "H-003"}])
    command.site.run()
    ((position,),) = command.site.query(f"select position from audit.attention where kind = '{how}'")
    done = command("done", str(position), "--reason", "a typing error")

    assert (done.exit_code, done.stderr) == (0, "")
    assert "record 1 of REDCap's list of withdrawals" in done.stdout
    assert command.site.query("select 1 from audit.attention where kind like '%withdrawal%'") == []
    command.site.assert_sound()


def test_what_is_no_task_cannot_be_done(command: Command) -> None:
    done = command("done", "3", "--reason", "x")

    assert done.exit_code == 2
    assert "no task that waits" in done.stderr
