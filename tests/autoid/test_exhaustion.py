"""All IDs of a pattern are given before one says that there are none left."""

import secrets
from itertools import product

from sqlalchemy import text

from processors.autoid.draw import draw_ids
from processors.autoid.generators import OwnGenerator
from processors.gateway import Gateway
from tests.autoid.drawn import in_use, waiting
from tests.autoid.sites import EXHAUSTED, AutoidSite

EXACTLY = "H-[0-9]{4}"


def test_ten_thousand_patients_share_a_pattern_of_exactly_ten_thousand(gateway: Gateway, site: AutoidSite) -> None:
    generator = OwnGenerator(secrets.randbelow)
    with site.machine.redcap() as redcap:
        first = waiting(gateway, (f"PID-{number}" for number in range(7_500)), pattern=EXACTLY)
        rest = waiting(gateway, (f"PID-{number}" for number in range(5_000, 10_001)), pattern=EXACTLY)
        assert draw_ids(gateway, redcap, generator, [first]) == 7_500
        assert draw_ids(gateway, redcap, generator, [rest]) == 2_500
    with gateway.begin() as work:
        held = work.execute(text("select study, reason from gateway.held_study")).all()
    assert sorted(in_use(gateway)) == [f"H-{number:04}" for number in range(10_000)]
    assert [tuple(row) for row in held] == [("study of PID-10000", EXHAUSTED)]


def test_the_last_id_of_a_pattern_is_given_and_then_others_wait_for_more(site: AutoidSite) -> None:
    site.project("1", pattern="H-[0-2][0-9][05]")
    for number in range(60):
        site.study(f"1.1.{number}", f"PID-{number}")
    site.run()
    expected = {f"H-{a}{b}{c}" for a, b, c in product("012", "0123456789", "05")}
    assert {row.value for row in site.autoid_rows().values()} == expected
    site.study("1.2.1", "PID-LATE-1")
    site.study("1.2.2", "PID-LATE-2")
    site.study("1.2.3", "PID-0")
    site.run()
    assert site.held() == {"1.2.1": EXHAUSTED, "1.2.2": EXHAUSTED}
    assert site.requested("1.2.3") == site.id_of("PID-0")
    site.project("1", pattern="H-[0-3][0-9][05]")
    site.run()
    assert site.held() == {}
    late = {site.id_of("PID-LATE-1"), site.id_of("PID-LATE-2")}
    assert len(late) == 2
    assert late.isdisjoint(expected)
    assert {site.requested("1.2.1"), site.requested("1.2.2")} == late
    site.assert_no_id_twice()
    site.assert_sound()


def test_who_came_first_gets_the_last_ids(site: AutoidSite) -> None:
    site.project(pattern="H-[12]")
    for number in (1, 2):
        site.study(f"1.2.{number}", f"PID-{number}")
    site.receiver.age(site.receiver.raw / "1.2.1", 90)
    site.run()
    for number in (3, 4):
        site.study(f"1.2.{number}", f"PID-{number}")
    site.run()
    site.project(pattern="H-[123]")
    site.run()
    assert set(site.held().values()) == {EXHAUSTED}
    assert [study for study in ("1.2.3", "1.2.4") if study in site.held()] == ["1.2.4"]


def test_a_pattern_that_is_still_too_small_is_not_tried_every_minute(site: AutoidSite) -> None:
    """It used to be: the study counted as changed with its project, for ever."""
    site.project(pattern="H-1")
    site.study("1.2.1", "PID-1")
    site.study("1.2.2", "PID-2")
    site.run()
    site.project(pattern="(H-1|)")
    site.run()
    assert site.held() == {"1.2.2": EXHAUSTED}
    assert site.run().calls <= 5
    assert site.run().calls <= 5


def test_a_pattern_that_allows_the_empty_name_never_gives_it(site: AutoidSite) -> None:
    site.project(pattern="(H-1|)")
    site.study("1.2.1", "PID-1")
    site.study("1.2.2", "PID-2")
    site.run()
    assert site.requested("1.2.1") == "H-1"
    assert site.held() == {"1.2.2": EXHAUSTED}


def test_a_pattern_whose_ids_redcap_would_change_gives_none(site: AutoidSite) -> None:
    site.project(pattern="[ ]H-[12]")
    site.study("1.2.1")
    site.run()
    assert site.held() == {
        "1.2.1": "the naming pattern gives IDs with blanks at their ends, which REDCap does not keep"
    }
    assert (site.used(), site.autoid_rows()) == ({}, {})
