"""Failed at any call, or killed again and again, the next run ends where an undisturbed one would have ended.

That it does where a run is killed once, at whichever step: tests/flow/test_kills.py, for both halves of the job.
"""

import contextlib
import itertools
from dataclasses import replace

import pytest

from processors.demo.simulator import Fault
from processors.errors import ServiceError
from tests.autoid.sites import AutoidSite
from tests.flow.harness import VisibleSteps


def arrive(site: AutoidSite, round_: int) -> list[str]:
    """Two studies of a new patient and one of the first, for whom there is an ID already."""
    site.study(f"1.{round_}.1", f"PID-{round_}")
    site.study(f"1.{round_}.2", f"PID-{round_}")
    site.study(f"1.{round_}.3", "PID-0")
    return [f"1.{round_}.1", f"1.{round_}.2", f"1.{round_}.3"]


def assert_all_is_done(site: AutoidSite, rounds: int) -> None:
    for round_ in range(rounds):
        assert site.requested(f"1.{round_}.1") == site.requested(f"1.{round_}.2") == site.id_of(f"PID-{round_}")
        assert site.requested(f"1.{round_}.3") == site.id_of("PID-0")
    assert len(site.autoid_rows()) == site.count("IdGenerated") == rounds
    assert site.query("select * from gateway.used_id where record_id is null") == []
    site.assert_ids_are_recorded()
    assert site.held() == {}
    site.assert_no_id_twice()


def test_killed_again_and_again_the_id_that_was_drawn_first_is_kept(site: AutoidSite) -> None:
    """One patient, and every run killed one step further on."""
    arrive(site, 0)
    seen: set[str] = set()
    for step in itertools.count(1):
        killed = site.killed_at(step, VisibleSteps)
        seen.update(site.used())
        if not killed:
            break
    assert seen == {site.id_of("PID-0")}
    assert_all_is_done(site, 1)


FAULTS = {
    "a call": Fault(kind="status", status=500, times=9),
    "an import that is carried out": Fault(kind="reset", times=9, after_commit=True),
    "an export": Fault(kind="truncated_json", times=9),
}


@pytest.mark.parametrize("failing", FAULTS)
def test_whichever_call_fails_the_next_run_brings_it_to_the_same_end(site: AutoidSite, failing: str) -> None:
    for round_ in range(2):
        arrive(site, round_)
        site.run()
    first = next(number for number, call in enumerate(site.calls, 1) if call.project == "projects")
    numbers = [
        number
        for number, call in enumerate(site.calls, 1)
        if number >= first and (failing == "a call" or (call.action == "import") is ("import" in failing))
    ]
    for rounds, number in enumerate(numbers, 3):
        arrive(site, rounds - 1)
        site.simulator.inject(replace(FAULTS[failing], nth=number))
        with contextlib.suppress(ServiceError):  # of some calls a run finds its way around a failure
            site.run()
        site.simulator.clear_faults()
        site.run()
        assert_all_is_done(site, rounds)


AUTOID_IMPORT = {"project": "autoid", "content": "record", "action": "import"}


def test_an_id_that_autoid_did_not_take_stays_reserved_and_is_delivered_later(site: AutoidSite) -> None:
    site.study("1.2.1")
    site.simulator.inject(Fault(kind="status", status=500, times=None, **AUTOID_IMPORT))  # type: ignore[arg-type]
    with pytest.raises(ServiceError):
        site.run()
    (drawn,) = site.used()
    site.run()
    assert (list(site.used()), site.autoid_rows(), site.transfers("1.2.1")) == ([drawn], {}, {})
    site.simulator.clear_faults()
    site.clock.advance(3_600)
    site.run()
    assert (site.id_of("PID-1"), site.requested("1.2.1")) == (drawn, drawn)


def test_nobody_else_gets_an_id_that_autoid_did_not_take(site: AutoidSite) -> None:
    site.project(pattern="H-[1-2]")
    site.study("1.2.1", "PID-1")
    site.simulator.inject(Fault(kind="status", status=500, times=1, **AUTOID_IMPORT))  # type: ignore[arg-type]
    with pytest.raises(ServiceError):
        site.run()
    (drawn,) = site.used()
    site.study("1.2.2", "PID-2")
    site.run()
    assert (site.id_of("PID-1"), site.id_of("PID-2")) == (drawn, {"H-1": "H-2", "H-2": "H-1"}[drawn])


def test_a_connection_cut_after_the_import_was_applied_doubles_no_row(site: AutoidSite) -> None:
    site.study("1.2.1")
    site.simulator.inject(Fault(kind="reset", after_commit=True, **AUTOID_IMPORT))  # type: ignore[arg-type]
    with pytest.raises(ServiceError):
        site.run()
    assert list(site.autoid_rows()) == ["1"]
    site.run()
    assert list(site.autoid_rows()) == ["1"]
    assert [event["record_id"] for event in site.events("IdDelivered")] == ["1"]
    assert site.requested("1.2.1") == site.id_of("PID-1")


def test_an_import_applied_by_halves_is_completed(site: AutoidSite) -> None:
    for number in range(6):
        site.study(f"1.2.{number}", f"PID-{number}")
    site.simulator.inject(Fault(kind="half_import", **AUTOID_IMPORT))  # type: ignore[arg-type]
    with pytest.raises(ServiceError):
        site.run()
    assert len(site.autoid_rows()) == 3
    site.run()
    assert len(site.autoid_rows()) == 6
    site.assert_no_id_twice()


def test_what_a_failed_run_drew_is_delivered_though_nobody_waits_for_it_any_more(site: AutoidSite) -> None:
    site.study("1.2.1")
    site.simulator.inject(Fault(kind="status", status=500, times=1, **AUTOID_IMPORT))  # type: ignore[arg-type]
    with pytest.raises(ServiceError):
        site.run()
    site.vanish("1.2.1")
    site.run_after_a_while()
    assert [row.value for row in site.autoid_rows().values()] == list(site.used())
    assert site.transfers("1.2.1") == {}
