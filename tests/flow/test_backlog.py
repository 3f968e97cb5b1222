"""While much is to be written: what somebody waits for comes first, and what is new is seen in between."""

from datetime import timedelta

import pytest

from processors.run import Report, Rhythm
from tests.flow.conftest import MakeSite
from tests.flow.harness import HEART, Asked, Site, VisibleSteps, is_poll

A_PORTION = Rhythm(delivers_for=timedelta(0), looks_every=timedelta(0), idle_kept=timedelta(days=30))
"""Each run delivers one portion and leaves the rest to the next one."""

STUDIES = ("1.2.1", "1.2.2", "1.2.3", "1.2.4", "1.2.5")


@pytest.fixture
def backlog(make_site: MakeSite) -> Site:
    """Five studies that are to be written a study at a time, of which a rule asks for the first and the third."""
    site = make_site(batch_rows=2)
    site.rule(patient_id="PID-1")
    for study in STUDIES:
        site.series(
            study, PatientID="PID-1" if study in ("1.2.1", "1.2.3") else f"other-{study}", AccessionNumber=study
        )
    return site


def order(site: Site, type_: str) -> list[str]:
    """The studies, in the order in which so much of them was recorded."""
    return list(dict.fromkeys(event["study"] for event in site.events(type_)))


def left(report: Report) -> int:
    return 0 if report.delivered is None else report.delivered.rows_left


def test_what_is_requested_comes_first_and_the_newest_first_of_all(backlog: Site) -> None:
    backlog.run()
    assert order(backlog, "TransferPlaced") == ["1.2.3", "1.2.1"]
    assert order(backlog, "StudyDelivered") == ["1.2.3", "1.2.1", "1.2.5", "1.2.4", "1.2.2"]


def test_an_entry_that_is_saved_in_the_midst_of_a_backlog_is_placed_by_the_next_round(backlog: Site) -> None:
    """It waited for the whole backlog."""
    backlog.rhythm = A_PORTION
    first = backlog.run()
    assert left(first) > 0
    assert first.delivered is not None
    assert first.delivered.series + first.delivered.studies + first.delivered.transfers < 13
    backlog.entry(accession="1.2.2", subject="H-001")
    backlog.run()
    assert backlog.transfers("1.2.2") == {1: Asked(HEART, "H-001")}
    reports = [first]
    while left(reports[-1]):
        reports.append(backlog.run())
    assert len(reports) > 3
    assert sorted(order(backlog, "StudyDelivered")) == list(STUDIES)
    assert backlog.transfers("1.2.1") == backlog.transfers("1.2.3") == {1: Asked(HEART, "PID-1")}
    backlog.assert_sound()


def test_killed_in_the_midst_of_a_round_that_leaves_rows_the_next_ones_write_each_once(backlog: Site) -> None:
    backlog.rhythm = A_PORTION
    backlog.run()
    steps = VisibleSteps()
    backlog.run(steps)
    writing = steps.names.index(next(name for name in steps.names if name.startswith("Writing to REDCap")))
    for step in range(writing + 1, len(steps.names) + 1):
        backlog.run_killed_at(step, steps=VisibleSteps)
    while left(backlog.run()):
        pass
    for study in STUDIES:
        assert len(backlog.series_rows(study)) == 1
        assert len(backlog.transfers(study)) == (study in ("1.2.1", "1.2.3"))
    backlog.assert_sound()


def test_redcaps_log_is_asked_when_the_backlog_is_through(backlog: Site) -> None:
    """Before, it is full of our own lines."""
    backlog.rhythm = A_PORTION
    while left(backlog.run()):
        assert [call for call in backlog.calls if call.content == "log"] == []
    assert len([call for call in backlog.calls if call.content == "log"]) == 1


def test_rounds_within_a_minute_look_at_transfers_once(backlog: Site) -> None:
    backlog.rhythm = Rhythm(timedelta(hours=1), timedelta(minutes=1), timedelta(days=30))
    backlog.run()
    looks = []
    for _ in range(6):
        backlog.run(after=15)
        looks.append(len([call for call in backlog.calls if is_poll(call)]))
    assert looks == [0, 0, 0, 1, 0, 0]
