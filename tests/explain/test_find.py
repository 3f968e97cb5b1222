"""Studies by day, project, state and number, and how far each has come."""

from datetime import timedelta

import pytest

from processors.errors import ConfigurationError
from processors.explain.find import UNDECIDED, Found, Sought, Stage, find
from processors.explain.search import named_study
from processors.gateway import patient_subject
from processors.operations.status import status
from processors.web.overview import overview, volume
from processors.web.project import project
from tests.explain.conftest import Explained
from tests.facts import a_series
from tests.flow.harness import BRAIN, HEART


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
