"""How long a project's IDs last."""

import re
import sys
from datetime import UTC, date, datetime, timedelta
from itertools import product

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from processors.autoid.forecast import Forecast, forecasts, runs_out
from processors.events.pseudonyms import IdAdopted
from processors.operations.metrics import registry
from processors.operations.status import status
from processors.routing.patient_keys import link_subject
from processors.run import Report
from tests.autoid.drawn import identified
from tests.autoid.sites import EXHAUSTED, AutoidSite
from tests.flow.harness import HEART
from tests.operations.withdrawing import withdraws

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def ago(*days: float) -> list[datetime]:
    return [NOW - timedelta(days=each) for each in days]


def test_ten_a_day_use_up_a_hundred_in_ten_days() -> None:
    assert runs_out(ago(*[number / 10 for number in range(1, 31)]), 100, NOW) == date(2026, 3, 12)


def test_one_in_thirty_days_uses_up_two_in_sixty() -> None:
    assert runs_out(ago(30), 2, NOW) == date(2026, 5, 1)


def test_a_first_day_counts_as_a_whole_one() -> None:
    assert runs_out(ago(0, 0.01, 0.02, 0.03), 8, NOW) == date(2026, 3, 4)


def test_what_was_drawn_longer_ago_than_ninety_days_is_no_pace() -> None:
    assert runs_out(ago(91, 400), 8, NOW) is None
    assert runs_out(ago(400, 10), 3, NOW) == date(2026, 4, 1)


def test_none_left_is_today() -> None:
    assert runs_out(ago(10), 0, NOW) == NOW.date()


def test_a_day_beyond_the_calendar_is_not_told() -> None:
    assert runs_out(ago(10), 10**30, NOW) is None
    assert runs_out(ago(10), 10**400, NOW) is None


@given(st.lists(st.floats(-5, 200), max_size=20), st.integers(0, 10**40))
def test_ids_never_run_out_in_the_past(days: list[float], left: int) -> None:
    found = runs_out(ago(*days), left, NOW)
    assert found is None or found >= NOW.date()


def forecast(site: AutoidSite) -> list[Forecast]:
    with site.machine.gateway() as gateway, gateway.begin() as work:
        return forecasts(work, site.clock())


def test_a_project_is_shown_with_its_ids_in_use_and_left(site: AutoidSite) -> None:
    site.project(pattern="H-[0-9]{2}")
    site.give("1", "OLD", "H-05")
    site.give("2", "OLDER", "of an earlier pattern")
    site.person_requests("9.9.9", HEART, "H-07")
    for number in range(4):
        site.study(f"1.2.{number}", f"PID-{number}")
    site.run()
    site.clock.advance(2 * 86_400)
    # Seven in use, of which six are the pattern's; four drawn within two days leave 94 for 47 days.
    assert forecast(site) == [
        Forecast(project=HEART, record="1", pattern="H-[0-9]{2}", in_use=7, left=94, runs_out=date(2026, 4, 20))
    ]


def test_where_no_id_has_been_drawn_no_day_is_told(site: AutoidSite) -> None:
    site.run()
    assert forecast(site) == [
        Forecast(project=HEART, record="1", pattern="H-[0-9]{4}", in_use=0, left=10_000, runs_out=None)
    ]


def test_the_empty_name_does_not_count_as_left(site: AutoidSite) -> None:
    site.project(pattern="(H-1|)")
    site.study("1.2.1")
    site.run()
    (found,) = forecast(site)
    assert (found.in_use, found.left, found.runs_out) == (1, 0, site.clock().date())


def test_a_pattern_that_ours_cannot_read_has_no_forecast(site: AutoidSite) -> None:
    site.project(pattern="H-[0-9]+")
    site.run()
    (found,) = forecast(site)
    assert (found.left, found.runs_out) == (None, None)


def test_projects_that_ask_for_no_ids_are_left_out(site: AutoidSite) -> None:
    site.run()
    site.project(use=False)
    site.run()
    assert forecast(site) == []


def test_what_drawing_refuses_does_not_count_as_left(site: AutoidSite) -> None:
    """What entries ask for counted as left, beside studies that were held as none was."""
    site.project(pattern="K-[0-3]")
    site.entry("1", accession="Z9", subject="K-2")
    site.entry("2", accession="Z8", subject="k-3")
    for number in range(3):
        site.study(f"1.2.{number}", f"PID-{number}")
    site.run()
    assert site.held() == {"1.2.2": EXHAUSTED}
    assert metric(site, "ids_left") == 0
    (found,) = forecast(site)
    assert (found.in_use, found.left, found.runs_out) == (2, 0, site.clock().date())


def test_twins_of_ids_in_use_and_what_was_withdrawn_do_not_count_as_left(site: AutoidSite) -> None:
    site.project(pattern="[KkLl]-[01]")
    site.give("1", "OLD", "k-0")
    site.study("1.2.9", "OLD")
    site.run()
    withdraws(site, pseudonym="L-1")
    assert [each.left for each in forecast(site)] == [2]
    for number in range(3):
        site.study(f"1.2.{number}", f"PID-{number}")
    site.run()
    assert ([each.left for each in forecast(site)], len(site.held())) == ([0], 1)


def test_of_more_names_than_are_tried_those_that_are_asked_for_do_not_count_as_left(site: AutoidSite) -> None:
    site.project(pattern="H-[0-9]{5}")
    for record, subject in (("1", "H-00001"), ("2", "H-00002"), ("3", "h-00002"), ("4", "of no pattern")):
        site.entry(record, accession=f"Z{record}", subject=subject)
    site.study("1.2.1", "PID-1", called="FIONA")
    site.entry("5", study="1.2.1", subject="H-00003")
    site.person_requests("9.9.9", HEART, "H-00004")
    site.run()
    site.study("1.2.2", "PID-2")
    site.run()
    assert [each.left for each in forecast(site)] == [100_000 - 5]


def metric(site: AutoidSite, name: str) -> float | None:
    told = registry(status(site.own_gateway()), Report())
    return told.get_sample_value(f"fiona_ledger_{name}", {"site": "main", "project": HEART})


def test_of_a_project_that_is_listed_twice_the_record_with_the_fewest_ids_is_the_alarm(site: AutoidSite) -> None:
    """The last record was told, with its ten thousand, and no alarm was raised."""
    site.project("2", pattern="K-[01]")
    site.project("9", pattern="Z-[0-9]{4}", aetitle="OTHER")
    site.remove_project("1")
    for number in range(3):
        site.study(f"1.2.{number}", f"PID-{number}")
    site.run()
    site.run()
    assert metric(site, "ids_left") == 0
    assert [(each.record, each.left) for each in forecast(site)] == [("2", 0), ("9", 10_000)]


def test_of_a_project_that_is_listed_twice_the_first_approval_to_end_is_told(site: AutoidSite) -> None:
    for record, day in (("2", "2026-04-01"), ("9", "2026-05-01")):
        site.list_project(ends=day, record=record)
    site.run()
    seconds = metric(site, "approval_ends_seconds")
    assert seconds is not None
    assert datetime.fromtimestamp(seconds, UTC).date() == date(2026, 4, 1)


def test_more_ids_than_a_float_holds_are_told_as_the_most_that_it_does(site: AutoidSite) -> None:
    """The metrics were not written."""
    site.project(pattern="[0-9]{350}")
    site.run()
    assert metric(site, "ids_left") == sys.float_info.max


PATTERNS = ["(a|b|)", "[ab]{1,2}", "(a|ab)(c|bc)", "a?b?", "[ab]|[bc]"]
NAMES = st.sets(st.sampled_from(["", "a", "b", "c", "ab", "ac", "abc", "abbc", "aa", "x", "zz"]))


@given(pattern=st.sampled_from(PATTERNS), used=NAMES)
def test_left_is_never_negative_and_agrees_with_counting(site: AutoidSite, pattern: str, used: set[str]) -> None:
    names = {"".join(letters) for length in range(5) for letters in product("abcxz", repeat=length)}
    allowed = {name for name in names if re.fullmatch(pattern, name)}
    with site.machine.gateway() as gateway, gateway.begin() as work:
        work.execute(text("delete from gateway.autoid_project"))
        work.execute(text("delete from gateway.used_id"))
        work.execute(
            text("insert into gateway.autoid_project values ('1', 1, 'x', 'P', :pattern, 'A', true)"),
            {"pattern": pattern},
        )
        work.record(
            work.seal(IdAdopted(**identified(work, "P", name), record_id="1", key=name), link_subject("P", name))
            for name in used
        )
        (found,) = forecasts(work, NOW)
    assert found.left == len(allowed - used - {""})
