"""Studies by day, project, state and number, and how far each has come."""

from datetime import timedelta

import pytest

from processors.errors import ConfigurationError
from processors.explain.find import DELETED, UNDECIDED, Found, Sought, Stage, find
from processors.explain.search import named_study
from processors.gateway import patient_subject
from processors.operations.reports.project import project_report
from processors.operations.status import status
from processors.web.overview import overview, volume
from processors.web.project import project
from tests.explain.conftest import Explained
from tests.facts import a_series
from tests.flow.harness import BRAIN, HEART
from tests.operations.operator import amend_by_hand
from tests.operations.withdrawing import withdraws


@pytest.fixture
def three(explained: Explained) -> Explained:
    """One study was requested, one is in conflict, and nothing asks for the third, which came a day later."""
    site = explained.site
    site.rule("1", patient_id="PID-1")
    site.rule("2", patient_id="PID-2")
    site.rule("3", patient_name="Roe.*")
    site.series("1.1", PatientID="PID-1", AccessionNumber="A-1")
    site.series("1.2", PatientID="PID-2", PatientName="Roe^Jane", AccessionNumber="A-2")
    site.run()
    site.clock.advance(timedelta(days=1).total_seconds())
    site.series("1.3", PatientID="ELSE", AccessionNumber="A-1")
    site.run()
    return explained


def found(explained: Explained, **sought: object) -> list[Found]:
    with explained.opened() as work:
        return list(find(work, Sought(**sought)))  # type: ignore[arg-type]


def stages(explained: Explained, **sought: object) -> list[tuple[str, Stage]]:
    return [(each.study, each.stage) for each in found(explained, **sought)]


def test_all_studies_are_listed_the_newest_first(three: Explained) -> None:
    assert stages(three) == [("1.3", "nothing"), ("1.2", "conflict"), ("1.1", "placed")]
    newest = found(three)[0]
    assert (newest.project, newest.details, newest.series, newest.on_disk) == ("", "", 1, True)


@pytest.mark.parametrize(
    ("sought", "studies"),
    [
        ({"study": "1.2"}, ["1.2"]),
        ({"study": "9.9"}, []),
        ({"accession": " A-1 "}, ["1.3", "1.1"]),
        ({"accession": "A-9"}, []),
        ({"project": HEART}, ["1.2", "1.1"]),
        ({"project": BRAIN}, []),
        ({"stages": ("nothing", "placed")}, ["1.3", "1.1"]),
        ({"stages": ("held",)}, []),
    ],
)
def test_what_is_sought_is_found(three: Explained, sought: dict[str, object], studies: list[str]) -> None:
    assert [study for study, _ in stages(three, **sought)] == studies


def test_days_are_the_arrivals(three: Explained) -> None:
    later = three.site.clock() - timedelta(hours=12)
    assert [study for study, _ in stages(three, since=later)] == ["1.3"]
    assert [study for study, _ in stages(three, until=later)] == ["1.2", "1.1"]


def test_more_studies_than_are_read_at_once_are_all_listed(three: Explained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processors.explain.find._AT_ONCE", 1)
    assert [study for study, _ in stages(three)] == ["1.3", "1.2", "1.1"]


def test_what_became_of_a_request_is_its_state(three: Explained) -> None:
    site = three.site
    site.sender_sends("1.1", 1)
    site.run()
    assert stages(three, study="1.1") == [("1.1", "sent")]


def test_a_study_is_named_by_a_number_that_no_other_has(three: Explained) -> None:
    with three.opened() as work:
        named = [named_study(work, wanted) for wanted in ("A-2", " A-2 ", "1.1", "9.9")]
        with pytest.raises(ConfigurationError, match="2 studies have the accession number A-1"):
            named_study(work, "A-1")
    assert named == ["1.2", "1.2", "1.1", "9.9"]


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("A-1", "2 studies have the accession number A-1. Name one of them by its UID:\n  1.1 "),
        ("9.9", "No study in the ledger has the UID or accession number 9.9."),
    ],
)
@pytest.mark.parametrize("command", [("retract",), ("reassign", "--to-subject", "H-2")], ids=lambda words: words[0])
def test_of_no_study_is_it_said_that_nothing_is_in_force_unless_it_is_one(
    three: Explained, command: tuple[str, ...], named: str, told: str
) -> None:
    """Somebody who stops a wrong transfer is not told that there is none."""
    done = three.command(*command, named, "--project", "Heart Study", "--reason", "a mistake")
    assert (done.code, done.out) == (2, "")
    assert told in done.err
    assert "in force" not in done.err


def test_the_command_lists_them_and_tells_of_no_patient(three: Explained) -> None:
    done = three.command("find")
    assert (done.code, done.err) == (0, "")
    assert "    placed: Heart Study" in done.out
    assert "    nothing asks for it" in done.out
    assert "PID-" not in done.out
    assert "and more: --limit N" in three.command("find", "--limit", "1").out
    assert [each["study"] for each in three.command("find", "--state", "nothing", "--json").data] == ["1.3"]
    assert three.command("find", "--project", "None of that name").out == "No study is like that.\n"
    wrong = three.command("find", "--state", "gone")
    assert wrong.code == 2
    assert "expected one of nothing, held, conflict" in wrong.err


def test_a_study_of_two_patients_is_held_whatever_would_ask_for_it(explained: Explained) -> None:
    """It was told that nothing asks for it, and no search, count or page of a project knew of it."""
    site = explained.site
    site.rule("1", patient_id="PID-.")
    site.series("1.2", "1.2.1", PatientID="PID-1")
    site.series("1.2", "1.2.2", PatientID="PID-2")
    site.series("1.3", PatientID="PID-3")
    site.run()
    (held,) = found(explained, stages=("held",))
    assert (held.study, held.project, held.details) == ("1.2", "", "two patients in one study")
    assert stages(explained, project=HEART) == [("1.3", "placed")]
    with explained.opened() as work:
        gateway = work.gateway
        assert project(work, HEART).of_two_patients == 1
    assert status(gateway).held == {"two patients in one study": 1}
    shown = overview(gateway, status(gateway), volume(gateway))
    assert [each.state for each in shown.waiting] == ["in REDCap, to be sent", "held, of two patients"]
    assert [line.project for line in shown.projects] == [HEART]
    assert "    held (two patients in one study)\n" in explained.command("find", "--study", "1.2").out
    site.series("1.2", "1.2.2", PatientID="PID-1")
    site.run()
    assert stages(explained, study="1.2") == [("1.2", "placed")]


def test_of_a_study_that_no_run_has_decided_about_nobody_knows_what_asks_for_it(three: Explained) -> None:
    """It was told that nothing asks for it."""
    somebody = patient_subject("1.4", "PID-4")
    with three.opened() as work:
        work.record([work.seal(a_series("1.4", "1.4.1", PatientID="PID-4"), somebody)])
    (undecided,) = found(three, study="1.4")
    assert (undecided.stage, undecided.project, undecided.details) == ("waiting", "", UNDECIDED)
    assert f"    waiting ({UNDECIDED})\n" in three.command("find", "--study", "1.4").out
    assert stages(three, stages=("nothing",)) == [("1.3", "nothing")]


@pytest.fixture
def answered(explained: Explained) -> Explained:
    """An entry asks for what a person has requested already; the person's row is in instance 1."""
    site = explained.site
    site.series("1.1", PatientID="PID-1", AccessionNumber="A-1")
    site.run()
    site.person_requests("1.1", HEART, "H-001", instance=1)
    site.entry(accession="A-1", subject="H-001")
    site.run()
    return explained


THEIRS = "select instance, sends, sent_at, mapped_uids from audit.request_of_others"


def test_what_a_person_s_row_has_sent_is_told_of_it_when_our_request_that_it_answered_ends(answered: Explained) -> None:
    site = answered.site
    assert site.query(THEIRS) == []
    site.sender_sends("1.1", 1)
    site.run()
    amend_by_hand(site, "1.1")
    assert site.query(THEIRS) == [(1, 1, "2026-03-02 08:55", ["2.25.1.1"])]
    assert stages(answered) == [("1.1", "sent"), ("1.1", "sent")]
    assert [each.details for each in found(answered)] == ["requested by others", ""]
    withdraws(site, study="1.1")
    assert site.query("select instance, what from audit.task") == [(1, "sent")]


def test_a_person_s_row_that_is_gone_when_our_request_ends_asks_for_nothing(answered: Explained) -> None:
    site = answered.site
    site.person_deletes_transfer("1.1", 1)
    site.run()
    amend_by_hand(site, "1.1")
    withdraws(site, study="1.1")
    assert site.query(THEIRS) == []
    assert stages(answered) == [("1.1", "withdrawn")]
    assert site.query("select what from audit.task") == []


def test_a_person_s_row_that_was_changed_asks_for_what_it_says(answered: Explained) -> None:
    site = answered.site
    site.person_requests("1.1", BRAIN, "B-001", instance=1)
    site.run()
    assert [(each.project, each.stage, each.details) for each in found(answered)] == [
        (HEART, "missing", DELETED),
        (BRAIN, "placed", "requested by others"),
    ]


def test_an_edit_of_our_row_that_was_undone_asks_for_nothing(explained: Explained) -> None:
    """Ours for H-002 was found in it, and the row emptied as it said again what had ended."""
    site = explained.site
    site.series("1.1", PatientID="PID-1", AccessionNumber="A-1")
    site.entry(accession="A-1", subject="H-001")
    site.run()
    place = {"study_instance_uid": "1.1", "redcap_repeat_instrument": "transfers", "redcap_repeat_instance": "1"}
    site.transfer_project.put([place | {"transfer_name": "H-002"}])
    site.run()
    site.entry(accession="A-1", subject="H-002")
    site.run()
    site.transfer_project.put([place | {"transfer_name": "H-001"}])
    site.run()
    assert site.query(THEIRS) == []


# What was sent, and what became of it since


AGAIN = {"transfer_date": "2026-03-02 09:40", "transfer_error___1": "1"}
PLACE = {"study_instance_uid": "1.1", "redcap_repeat_instrument": "transfers", "redcap_repeat_instance": "1"}


@pytest.fixture
def sent(explained: Explained) -> Explained:
    """A rule's request was sent."""
    site = explained.site
    site.rule(patient_id="PID-1")
    site.series("1.1", PatientID="PID-1")
    site.run()
    site.sender_sends("1.1", 1)
    site.run()
    return explained


def outcomes(explained: Explained) -> list[tuple[str, int]]:
    """What the project's report tells of the requests, and how often each was sent."""
    with explained.opened() as work:
        return [(str(row[4]), int(row[5])) for row in project_report(work.connection, HEART).main.rows]


@pytest.mark.parametrize(
    ("since", "stage", "said", "outcome"),
    [
        (AGAIN, "failed", "sent before): Heart Study", "sent, and failed when it was sent again"),
        (
            {"transfer_date": ""},
            "placed",
            "placed (sent before): Heart Study",
            "sent, and to be sent again: the sender's date was taken away",
        ),
    ],
    ids=["a later attempt failed", "the date was taken away"],
)
def test_what_was_sent_is_found_as_such_whatever_has_become_of_it_since(
    sent: Explained, since: dict[str, str], stage: str, said: str, outcome: str
) -> None:
    sent.site.transfer_project.put([PLACE | since])
    sent.site.run()
    assert stages(sent, stages=("sent",)) == [("1.1", stage)]
    assert stages(sent, stages=(stage,)) == [("1.1", stage)]
    assert said in sent.command("find").out
    assert outcomes(sent) == [(outcome, 1)]


def test_what_was_sent_and_is_to_be_sent_again_is_counted_once(sent: Explained) -> None:
    sent.site.transfer_project.put([PLACE | {"transfer_date": ""}])
    sent.site.run()
    sending = status(sent.site.own_gateway()).sending
    assert (sending.sent, sending.unsent) == (1, 0)
    assert sending.oldest is not None


def test_an_attempt_that_fails_after_a_request_has_ended_changes_nothing_of_how_far_it_came(sent: Explained) -> None:
    amend_by_hand(sent.site, "1.1")
    assert stages(sent) == [("1.1", "sent")]
    sent.site.transfer_project.put([PLACE | AGAIN])
    sent.site.run()
    assert [(each.stage, each.details) for each in found(sent)] == [("sent", "")]
    assert outcomes(sent) == [("sent", 1)]
