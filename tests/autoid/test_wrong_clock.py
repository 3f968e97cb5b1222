"""What one run with a wrong clock has stored puts nothing off for a year: times ahead of now say nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from tests.autoid.sites import EXHAUSTED, AutoidSite
from tests.flow.harness import BRAIN, HEART

YEAR = timedelta(days=365)


@contextmanager
def wrong_clock(site: AutoidSite, ahead: timedelta = YEAR) -> Iterator[None]:
    """Meanwhile the clock is wrong, and nobody has noticed."""
    right = site.clock.now
    site.clock.now = right + ahead
    yield
    site.clock.now = right


def test_a_persons_new_id_is_not_drawn_again(site: AutoidSite) -> None:
    """The search for IDs of others used to begin where the last one ended: a year ahead. Two patients shared one."""
    site.project(pattern="H-[12]")
    site.study("1.2.1", "PID-1")
    with wrong_clock(site):
        site.run()
    (drawn,) = [row.name for row in site.transfers("1.2.1").values()]
    other = {"H-1": "H-2", "H-2": "H-1"}[drawn]
    site.simulator.clear_faults()
    site.incoming.put([{"study_instance_uid": "9.9"}])
    site.person_requests("9.9", HEART, other)
    site.study("1.2.2", "PID-2")
    site.run()
    assert (site.transfers("1.2.2"), site.held()) == ({}, {"1.2.2": EXHAUSTED})


@pytest.mark.parametrize("ahead", [YEAR, -timedelta(days=30)])
def test_refused_rows_are_tried_again(site: AutoidSite, ahead: timedelta) -> None:
    site.series("1.2.1")
    site.series("1.2.2")
    site.run()
    site.incoming.lock("1.2.1")
    site.grow("1.2.1")
    with wrong_clock(site, ahead):
        site.run()
        site.run()  # a file that lies ahead is read once it has stayed as it is
    assert site.attention()["refused row"] == 1
    site.incoming.unlock("1.2.1")
    site.clock.advance(3_700)
    site.run()
    assert site.attention()["refused row"] == 0


@pytest.mark.parametrize(("table", "column"), [("full_pass", "at"), ("held_retry", "at"), ("look", "long_look_at")])
def test_what_each_run_goes_by_is_set_right_by_the_next(site: AutoidSite, table: str, column: str) -> None:
    site.study("1.2.1", None)
    with wrong_clock(site):
        site.run()
    site.run()
    assert site.query(f"select {column} from gateway.{table}") == [(site.clock.now,)]


def test_what_is_not_sent_for_a_day_is_told(site: AutoidSite) -> None:
    """Times that lay ahead used to mute the alarm until they had come."""
    site.rule(project=BRAIN, patient_id="PID-1$")
    with wrong_clock(site):
        site.run()
    site.series("1.2.1")
    with wrong_clock(site):
        site.run()
    site.run()
    assert site.attention()["not sent for a day"] == 1
