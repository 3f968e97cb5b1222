"""One record spoils REDCap's answer about a whole list: it is named, what it said stands, and all others are read."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from processors.demo.simulator import Fault, standard_projects
from processors.errors import Refused, ServiceError
from tests.conftest import SettableClock
from tests.flow.harness import HEART, Asked, Site
from tests.flow.unreadable import Spoiled


@pytest.fixture
def spoiled(database_url: str, key_file: Path, clock: SettableClock, tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        simulator = stack.enter_context(Spoiled(standard_projects(with_withdrawals=True)))
        simulator.settings = replace(simulator.settings, clock=clock)
        site = Site(folder=tmp_path, database_url=database_url, key_file=key_file, clock=clock, simulator=simulator)
        stack.callback(site.close)
        yield site
        site.assert_sound()


def spoil(site: Site, project: str, *records: str) -> None:
    assert isinstance(site.simulator, Spoiled)
    site.simulator.spoiled = frozenset((project, record) for record in records)


def entries(site: Site, number: int) -> None:
    for record in range(1, number + 1):
        site.entry(str(record), accession=f"ACC-{record}", subject=f"H-{record:03}")


def test_what_an_entry_said_stands_however_long_it_cannot_be_read(spoiled: Site) -> None:
    entries(spoiled, 3)
    spoiled.series("1.2.1", AccessionNumber="ACC-1")
    spoiled.run()
    spoil(spoiled, "coupling", "1", "2")
    for _ in range(3):
        spoiled.run()
    assert spoiled.events("CouplingEntryRemoved") == []
    assert len(spoiled.events("RecordUnreadable")) == 2
    assert spoiled.transfers("1.2.1") == {1: Asked(HEART, "H-001")}
    spoil(spoiled, "coupling")
    spoiled.series("1.2.2", AccessionNumber="ACC-2")
    spoiled.run()
    assert spoiled.transfers("1.2.2") == {1: Asked(HEART, "H-002")}


def test_a_rule_that_cannot_be_read_and_a_study_whose_transfers_cannot_end_no_run(spoiled: Site) -> None:
    spoiled.rule("1", patient_id="PID-1")
    spoiled.rule("2", called="OTHER", patient_id="PID-2")
    spoiled.series("1.2.1")
    spoiled.series("1.2.2", PatientID="X")
    spoiled.run()
    assert isinstance(spoiled.simulator, Spoiled)
    spoiled.simulator.spoiled = frozenset({("routing", "2"), ("incoming", "1.2.2")})
    spoiled.sender_sends("1.2.1", 1)
    spoiled.series("1.2.3")
    spoiled.run()
    assert spoiled.transfers("1.2.3") == {1: Asked(HEART, "PID-1")}
    assert len(spoiled.events("TransferSent")) == 1
    assert spoiled.attention() == {"unreadable record": 2}


def test_a_withdrawal_that_cannot_be_read_is_named_and_nobody_is_told_that_it_was_removed(spoiled: Site) -> None:
    """It was passed over without a word; one that had been read before was reported as removed."""
    entries(spoiled, 2)
    spoiled.series("1.2.1", AccessionNumber="ACC-1")
    spoiled.series("1.2.2", PatientID="X", AccessionNumber="ACC-2")
    for record in ("1", "2"):
        row = {"record_id": record, "wd_project": HEART, "wd_subject": f"H-00{record}"}
        spoiled.simulator.projects["withdrawals"].put([row])
    spoil(spoiled, "withdrawals", "2")
    spoiled.run()
    assert spoiled.attention() == {"unreadable record": 1, "participant withdrew": 1}
    spoil(spoiled, "withdrawals")
    spoiled.run()
    assert {event["record_id"] for event in spoiled.events("ParticipantWithdrew")} == {"1", "2"}
    spoil(spoiled, "withdrawals", "2")
    for _ in range(3):
        spoiled.run()
    assert spoiled.events("WithdrawalEntryRemoved") == []
    assert spoiled.attention() == {"unreadable record": 1, "participant withdrew": 1}


def test_a_list_of_which_nothing_can_be_read_ends_the_run(spoiled: Site) -> None:
    entries(spoiled, 60)
    spoil(spoiled, "coupling", *map(str, range(1, 61)))
    with pytest.raises(ServiceError, match="breaks off"):
        spoiled.run()
    assert spoiled.events("RecordUnreadable") == []


def test_an_incoming_of_several_events_is_refused_with_words(spoiled: Site) -> None:
    """Their rows were taken for one study's own."""
    spoiled.series("1.2.1")
    spoiled.run()
    spoiled.incoming.longitudinal = True
    spoiled.series("1.2.1", "1.2.1.2")
    with pytest.raises(Refused, match="expected a classic REDCap project, found a longitudinal one"):
        spoiled.run()


def test_blank_rows_for_instances_without_the_fields_asked_for_change_nothing(spoiled: Site) -> None:
    spoiled.simulator.inject(Fault(kind="blank_instances", times=None))
    entries(spoiled, 1)
    spoiled.series("1.2.1", AccessionNumber="ACC-1")
    spoiled.run()
    spoiled.series("1.2.1", "1.2.1.2", AccessionNumber="ACC-1")
    spoiled.run()
    assert spoiled.transfers("1.2.1") == {1: Asked(HEART, "H-001")}
    assert sorted(spoiled.series_rows("1.2.1")) == [1, 2]
    assert spoiled.attention() == {}
