"""REDCap leaves a study's record out of the very export by which a delivery reads it.

The record used to be taken for deleted: the series were written a second time, a corrected request stood beside the old
one that could still be sent.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from processors.demo.simulator import Fault
from processors.operations.replay import Scope
from processors.run import Report
from tests.flow.conftest import MakeSite
from tests.flow.harness import HEART, Asked, Site
from tests.operations.operator import amend_by_hand, replay_all


@pytest.fixture
def placed(site: Site) -> Site:
    return _placed(site)


def _placed(site: Site) -> Site:
    """A study of two series that was asked for by an entry."""
    site.entry(accession="ACC-1", subject="H-001")
    site.series("1.2.3", "1.2.3.1", AccessionNumber="ACC-1")
    site.series("1.2.3", "1.2.3.2", AccessionNumber="ACC-1")
    site.run()
    return site


@contextmanager
def overlooked(site: Site, project: str = "incoming") -> Iterator[None]:
    """Meanwhile all exports of the project lack the study."""
    site.simulator.inject(Fault(kind="missing_record", project=project, action="export", times=None))
    yield
    site.simulator.clear_faults()


def _warnings(report: Report) -> list[str]:
    """Those that the run gave about records that it missed."""
    assert report.delivered is not None
    return [
        warning
        for warning in (*report.warnings, *report.delivered.warnings)
        if "missing from REDCap's export" in warning
    ]


def _gone_without_a_trace(site: Site) -> None:
    del site.incoming.records["1.2.3"]
    site.incoming.log.clear()


def _sendable(site: Site) -> list[Asked]:
    return [row for row in site.transfers("1.2.3").values() if row.project and row.name]


def _series(site: Site) -> list[str]:
    return sorted(row["series_instance_uid"] for row in site.series_rows("1.2.3").values())


def test_a_correction_waits_until_the_record_is_seen(placed: Site) -> None:
    placed.series("1.2.3", "1.2.3.3", AccessionNumber="ACC-1")
    placed.entry(accession="ACC-1", subject="H-002")
    with overlooked(placed):
        report = placed.run(after=20)
    assert len(_warnings(report)) == 1
    assert placed.transfers("1.2.3") == {1: Asked(HEART, "H-001")}
    assert _series(placed) == ["1.2.3.1", "1.2.3.2"]
    assert _warnings(placed.run(after=20)) == []
    assert placed.transfers("1.2.3") == {1: Asked(HEART, "H-002")}
    assert _series(placed) == ["1.2.3.1", "1.2.3.2", "1.2.3.3"]
    assert placed.events("RowMissing") == []
    placed.assert_sound()


def test_a_correction_waits_where_the_transfers_are_in_a_project_of_their_own(make_site: MakeSite) -> None:
    site = _placed(make_site(separate_transfers=True))
    site.entry(accession="ACC-1", subject="H-002")
    with overlooked(site, "transfers"):
        report = site.run(after=20)
    assert len(_warnings(report)) == 1
    assert _sendable(site) == [Asked(HEART, "H-001")]
    site.run(after=20)
    assert site.transfers("1.2.3") == {1: Asked(HEART, "H-002")}
    assert site.events("RowMissing") == []
    site.assert_sound()


def test_what_was_retracted_is_ended_once_the_record_is_seen(placed: Site) -> None:
    with overlooked(placed):
        amend_by_hand(placed, "1.2.3")
        assert placed.events("TransferWithdrawn") == []
        assert _sendable(placed) == [Asked(HEART, "H-001")]
    placed.run()
    assert _sendable(placed) == []
    assert len(placed.events("TransferWithdrawn")) == 1


def test_a_replay_writes_nothing_a_second_time(placed: Site) -> None:
    with overlooked(placed):
        replay_all(placed, Scope(project=HEART))
    assert placed.transfers("1.2.3") == {1: Asked(HEART, "H-001")}
    assert _series(placed) == ["1.2.3.1", "1.2.3.2"]


def test_a_record_that_somebody_restored_is_doubted_though_its_deletion_is_in_the_log(placed: Site) -> None:
    kept = placed.incoming.records["1.2.3"]
    placed.person_deletes("1.2.3")
    placed.incoming.put([{"study_instance_uid": "1.2.3"}])
    placed.incoming.records["1.2.3"] = kept
    placed.grow("1.2.3")
    with overlooked(placed):
        placed.run()
    assert placed.events("RowMissing") == []
    placed.run()
    assert _series(placed) == ["1.2.3.1", "1.2.3.2"]
    assert placed.attention() == {}


@pytest.mark.parametrize("trace", ["no line in the log", "no right to read it", "no answer about it"])
def test_what_a_second_run_misses_as_well_is_gone(placed: Site, trace: str) -> None:
    if trace == "no line in the log":
        _gone_without_a_trace(placed)
    elif trace == "no right to read it":
        placed.incoming.revoke("logging")
        placed.person_deletes("1.2.3")
    else:
        placed.simulator.inject(Fault(kind="status", status=504, content="log", times=None))
        placed.person_deletes("1.2.3")
    placed.grow("1.2.3")
    assert len(_warnings(placed.run())) == 1
    assert placed.events("RowMissing") == []
    report = placed.run()
    assert _warnings(report) == []
    assert report.attention == {"row deleted or changed in REDCap": 1}
    assert "1.2.3" not in placed.incoming.records


def test_whoever_asks_for_what_is_gone_gets_it_back_by_the_second_run(placed: Site) -> None:
    _gone_without_a_trace(placed)
    placed.entry(accession="ACC-1", subject="H-002")
    placed.run()
    assert "1.2.3" not in placed.incoming.records
    placed.run()
    assert _sendable(placed) == [Asked(HEART, "H-002")]
    assert _series(placed) == ["1.2.3.1", "1.2.3.2"]
    placed.assert_sound()


def test_doubts_of_two_slips_far_apart_do_not_add_up(placed: Site) -> None:
    for _ in range(2):
        placed.grow("1.2.3", "1.2.3.1")
        with overlooked(placed):
            placed.run()
        placed.run()
    assert placed.events("RowMissing") == []
    assert placed.query("select count(*) from gateway.doubted_record") == [(0,)]


def test_a_slip_of_a_replay_does_not_confirm_one_that_comes_days_later(placed: Site) -> None:
    """Nothing was due, so that no run had looked at the record in between."""
    with overlooked(placed):
        replay_all(placed, Scope(project=HEART))
    placed.run(after=2 * 24 * 3_600)
    placed.entry(accession="ACC-1", subject="H-002")
    with overlooked(placed):
        report = placed.run()
    assert len(_warnings(report)) == 1
    assert _sendable(placed) == [Asked(HEART, "H-001")]
    placed.run()
    assert _sendable(placed) == [Asked(HEART, "H-002")]
    assert placed.events("RowMissing") == []


def test_the_log_is_asked_for_a_few_records_only(placed: Site) -> None:
    studies = [f"1.5.{number}" for number in range(20)]
    for study in studies:
        placed.series(study)
    placed.run()
    for study in studies:
        placed.person_deletes(study)
        placed.grow(study)
    placed.run()
    assert len([call for call in placed.calls if call.content == "log"]) == 10
    assert len(placed.events("RowMissing")) == 10
    placed.run()
    assert len(placed.events("RowMissing")) == 20
