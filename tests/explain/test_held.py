"""What is told of what is held agrees with what the next run does."""

import pytest

from processors.configuration.settings import IdentitySection
from processors.events.holds import WITHDREW
from processors.events.pseudonyms import StudyHeld
from tests.explain.conftest import Explained
from tests.flow.harness import HEART
from tests.operations.withdrawing import withdraws

STUDY, OTHER = "1.2.3", "1.2.4"


def said(explained: Explained, study: str = STUDY) -> str:
    return " ".join(explained.explain(study).verdict)


@pytest.fixture
def asked(explained: Explained) -> Explained:
    """Two studies of two patients, each placed."""
    site = explained.site
    for number, study in enumerate((STUDY, OTHER), start=1):
        site.series(study, PatientID=f"PID-{number}", PatientName="Doe^Jane")
        site.entry(study, study=study, subject=f"H-00{number}")
    site.run()
    return explained


def test_what_does_not_fit_is_held_and_not_requested_by_the_next_run(asked: Explained) -> None:
    asked.site.entry(STUDY, study=STUDY, subject="Doe")
    asked.site.run()
    assert "Held for Heart Study" in said(asked)
    assert "next run" not in said(asked)


def test_a_second_pseudonym_that_is_held_is_not_requested_by_the_next_run(asked: Explained) -> None:
    asked.site.identity = IdentitySection(split="hold")
    asked.site.series("1.2.5", PatientID="PID-1")
    asked.site.entry("1.2.5", study="1.2.5", subject="H-009")
    asked.site.run()
    assert "one patient, two pseudonyms" in said(asked, "1.2.5")
    assert "next run" not in said(asked, "1.2.5")


def test_a_shared_pseudonym_is_held_and_not_requested_by_the_next_run(asked: Explained) -> None:
    asked.site.entry(OTHER, study=OTHER, subject="H-001")
    asked.site.run()
    assert "two patients, one pseudonym" in said(asked, OTHER)
    assert "next run" not in said(asked, OTHER)


def test_what_a_closed_project_holds_goes_on_when_it_is_open(explained: Explained) -> None:
    site = explained.site
    site.list_project(HEART, active="0")
    site.series(STUDY, PatientID="PID-1")
    site.entry("1", study=STUDY, subject="H-001")
    site.run()
    assert "project is closed" in said(explained)
    assert "next run" not in said(explained)
    explained.site.identity = IdentitySection(naming="off")
    site.list_project(HEART, active="1")
    site.run()
    assert "Held" not in said(explained)


def test_who_withdrew_is_not_requested_by_the_next_run(asked: Explained) -> None:
    withdraws(asked.site, patient="PID-1")
    asked.site.run()
    assert "would be held for Heart Study" in said(asked)
    assert "next run" not in said(asked)
    assert not [row for row in asked.site.transfers(STUDY).values() if row.name]


def test_who_withdrew_is_to_be_given_up_only_where_something_is_held(asked: Explained) -> None:
    """`explain` advised to retract what had ended, which is an error."""
    withdraws(asked.site, patient="PID-1")
    asked.site.run()
    assert "Expected a request" in asked.command("retract", STUDY, "--project", HEART, "--reason", "x").err
    assert "retract" not in said(asked)
    assert "takes it off the list" not in said(asked)
    asked.site.entry(STUDY, study=STUDY, subject="H-009")
    asked.site.run()
    assert "It stays so. `fiona-ledger status` has the command that takes it off the list." in said(asked)
    assert f"retract {STUDY} --project 'Heart Study'" in asked.command("status").out


def test_what_nothing_holds_any_more_is_requested_by_the_next_run(asked: Explained) -> None:
    site = asked.site
    site.entry(STUDY, study=STUDY, subject="Doe")
    site.run()
    site.identity = IdentitySection(naming="off")
    assert "Nothing is in its way any more. The next run requests it for Heart Study" in said(asked)
    site.run()
    assert [row.name for row in site.transfers(STUDY).values() if row.name] == ["Doe"]


def test_no_id_is_awaited_for_who_withdrew(explained: Explained) -> None:
    explained.site.series(STUDY)
    explained.site.run()
    explained.append(StudyHeld(study=STUDY, project=HEART, reason=WITHDREW))
    assert "No ID is drawn for it in Heart Study: participant withdrew." in said(explained)
