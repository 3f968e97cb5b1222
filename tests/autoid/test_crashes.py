"""Killed or failed between any two steps, the next run ends where an undisturbed one would have ended."""

import contextlib
import itertools
import signal

import pytest

from processors.demo.simulator import Fault
from processors.errors import ServiceError
from tests.autoid.sites import AutoidSite
from tests.flow.harness import Steps, VisibleSteps


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
    recorded = site.query("select record_id, fingerprint from gateway.used_id")
    prints = site.fingerprints(row.value for row in site.autoid_rows().values())
    assert {row[0]: prints[row[1]] for row in recorded} == {n: row.value for n, row in site.autoid_rows().items()}
    assert site.held() == {}
    site.assert_no_id_twice()


def test_killed_at_any_step_the_next_run_brings_it_to_the_same_end(site: AutoidSite) -> None:
    arrive(site, 0)
    site.run()
    # A first run has more to look up than those that follow.
    undisturbed = VisibleSteps()
    arrive(site, 1)
    site.run(undisturbed)
    first = next(place for place, name in enumerate(undisturbed.names) if name.startswith("Giving IDs"))
    rounds = 2
    for step in itertools.count(first):
        arrive(site, rounds)
        rounds += 1
        killed = site.killed_at(step, VisibleSteps)
        site.run()
        assert_all_is_done(site, rounds)
        if not killed:
            break
    assert rounds > 30  # so many visible steps there are at least from giving IDs to delivering their transfers
    site.assert_sound()


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


@pytest.mark.parametrize("share", [0.6, 0.75, 0.9])
def test_after_sigkill_the_next_run_brings_it_to_the_same_end(site: AutoidSite, share: float) -> None:
    """A process of its own: nothing of Python's gets to run at its end."""
    steps = Steps()
    arrive(site, 0)
    site.run()
    arrive(site, 1)
    site.run(steps)
    arrive(site, 2)
    site.clock.advance(60)
    child = site.machine.start(fatal=int(share * len(steps.names)))
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    site.run()
    assert_all_is_done(site, 3)
    site.assert_sound()


FAULTS = [
    Fault(kind="status", status=500, times=9),
    Fault(kind="reset", times=9, after_commit=True),
    Fault(kind="truncated_json", times=9),
]


@pytest.mark.parametrize(
    "fault", FAULTS, ids=lambda fault: f"{fault.kind}-{'after' if fault.after_commit else 'before'}"
)
def test_whichever_call_fails_the_next_run_brings_it_to_the_same_end(site: AutoidSite, fault: Fault) -> None:
    for round_ in range(2):
        arrive(site, round_)
        site.run()
    calls = [call.project for call in site.calls]
    first = calls.index("projects") + 1
    for rounds, number in enumerate(range(first, len(calls) + 1), 3):
        arrive(site, rounds - 1)
        site.simulator.inject(Fault(**{**fault_fields(fault), "nth": number}))  # type: ignore[arg-type]
        with contextlib.suppress(ServiceError):  # of some calls a run finds its way around a failure
            site.run()
        site.simulator.clear_faults()
        site.run()
        assert_all_is_done(site, rounds)


def fault_fields(fault: Fault) -> dict[str, object]:
    return {name: getattr(fault, name) for name in ("kind", "status", "times", "after_commit")}


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
