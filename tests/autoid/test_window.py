"""The window within which a study must have arrived counts time in which its ID could have been given."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.autoid.window import Outage, reach
from processors.errors import ServiceError
from processors.operations.adopt.adopt import adopt
from processors.run import Report, Run
from tests.autoid.conftest import MakeSite
from tests.autoid.sites import AETITLE, AutoidSite
from tests.flow.harness import Steps

NOW = datetime(2026, 3, 2, tzinfo=UTC)
DAY = timedelta(days=1)
WINDOW = 14 * DAY


def ago(began: float, ended: float) -> Outage:
    return Outage(NOW - began * DAY, NOW - ended * DAY)


@pytest.mark.parametrize(
    ("outages", "days"),
    [
        ([], 14),
        ([ago(20, 0)], 34),
        ([ago(5, 3)], 16),
        ([ago(17, 13)], 18),
        ([ago(30, 15)], 14),
        ([ago(30, 15), ago(4, 2)], 31),
    ],
)
def test_the_window_reaches_back_by_the_outages_within_it(outages: list[Outage], days: float) -> None:
    assert reach(NOW, WINDOW, outages) == NOW - days * DAY


@given(st.lists(st.integers(1, 60), min_size=0, max_size=12).map(sorted))
def test_between_its_beginning_and_now_lies_the_window_without_outages(marks: list[int]) -> None:
    outages = [ago(began, ended) for ended, began in zip(marks[::2], marks[1::2], strict=False) if began > ended]
    since = reach(NOW, WINDOW, outages)
    lost = sum((each.ended - max(each.began, since) for each in outages if each.ended > since), timedelta(0))
    assert NOW - since - lost == WINDOW


def test_after_an_outage_of_redcap_longer_than_the_window_studies_get_their_ids(site: AutoidSite) -> None:
    site.run()
    site.study("1.2.1", "PID-1")
    shut_out = replace(site.machine, tokens=site.machine.tokens | {"routing": "0" * 32})
    with pytest.raises(ServiceError):
        shut_out.run()
    assert site.query("select count(*) from gateway.study") == [(1,)]
    site.clock.advance(20 * 86_400)
    site.run()
    assert site.requested("1.2.1") == site.id_of("PID-1")


def test_what_had_been_too_old_before_the_outage_stays_so(site: AutoidSite) -> None:
    site.remove_project()
    site.study("1.2.1", "PID-1")
    site.run()
    site.days_go_by(14.1)
    site.project()
    site.clock.advance(20 * 86_400)
    site.run()
    assert site.transfers("1.2.1") == {}


@pytest.fixture
def entered(make_site: MakeSite) -> AutoidSite:
    """A study that the scripts entered months ago, still on disk, and one of yesterday."""
    site = make_site()
    site.project()
    for study, arrived in (("1.2.1", "2025-11-03 04:05"), ("1.2.2", "2026-03-01 04:05"), ("1.2.3", "")):
        site.incoming.put([{"study_instance_uid": study, "study_arrival_date": arrived}])
        site.study(study, f"PID-{study}", called=AETITLE)
    return site


def test_moving_in_gives_no_id_to_a_study_that_arrived_long_ago(entered: AutoidSite) -> None:
    site = entered
    with site.machine.gateway() as gateway, site.machine.redcap() as redcap:
        gateway.catch_up()
        adopt(Run(gateway, redcap, site.machine._configuration(), Report(), Steps().announce), by="admin")
    site.run()
    assert [bool(site.transfers(study)) for study in ("1.2.1", "1.2.2", "1.2.3")] == [False, True, False]
    assert site.study_row("1.2.1")["study_arrival_date"] == "2025-11-03 04:05"
    site.run(all_of="Heart Study")
    assert site.transfers("1.2.1") != {}


def test_nor_does_a_ledger_that_was_restored_from_a_backup(entered: AutoidSite) -> None:
    """What REDCap holds of a study is noticed when its row is to be written, and its arrival date stays."""
    entered.run()
    assert [bool(entered.transfers(study)) for study in ("1.2.1", "1.2.2")] == [False, True]
    assert entered.study_row("1.2.1")["study_arrival_date"] == "2025-11-03 04:05"
    entered.assert_sound()
