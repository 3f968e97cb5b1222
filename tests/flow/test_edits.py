"""Who changed a rule or coupling entry becomes part of its event, at the price of one call, and never of a run."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from processors.demo.simulator import Fault
from tests.flow.harness import Site

UNKNOWN = {"changed_by": None, "changed_at": None}


@pytest.fixture
def directed(site: Site) -> Site:
    """A site with a rule and an entry that a run has read, whose row is kept as a command keeps it."""
    site.rule("7", patient_id="PID-1")
    site.entry("3", accession="ACC-1", subject="H-001")
    recorded_run(site)
    site.clock.advance(600)
    return site


def recorded_run(site: Site) -> int:
    """A run that is known to have ended well; how many calls it made."""
    calls = site.run().calls
    site.query(
        "insert into gateway.run (run, site, command, started_at, finished_at, exit_code, changed)"
        " values (gen_random_uuid(), 'main', 'run', :now, :now, 0, false) returning run",
        now=site.clock.now,
    )
    return calls


def asked(site: Site) -> int:
    """How often the latest run asked for the log of the rules."""
    return sum(call.content == "log" and call.project == "routing" for call in site.simulator.calls)


def edits(site: Site, event_type: str) -> Iterator[dict[str, Any]]:
    """What the newest events of the type say of who made the change."""
    for data in site.events(event_type):
        yield {name: data[name] for name in UNKNOWN}


def test_who_changed_and_deleted_a_rule_is_part_of_its_event(directed: Site) -> None:
    assert list(edits(directed, "RoutingRuleChanged")) == [UNKNOWN], "a first run finds what may be years old"
    idle = recorded_run(directed)
    directed.clock.advance(60)
    directed.rule("7", patient_id="PID-2")
    minute = f"{directed.clock.now:%Y-%m-%d %H:%M}"
    assert recorded_run(directed) == idle + 1
    assert [*edits(directed, "RoutingRuleChanged")][-1] == {"changed_by": "person", "changed_at": minute}
    assert recorded_run(directed) == idle
    directed.simulator.projects["routing"].delete("7", username="astrid")
    recorded_run(directed)
    directed.clock.advance(60)
    recorded_run(directed)
    assert [edit["changed_by"] for edit in edits(directed, "RoutingRuleRemoved")] == ["astrid"]
    directed.assert_sound()


def test_who_changed_an_entry_is_told_by_the_audit(directed: Site) -> None:
    directed.entry("3", accession="ACC-1", subject="H-002")
    recorded_run(directed)
    rows = directed.query("select changed_by, ended_by from audit.coupling_entry order by position")
    assert [tuple(row) for row in rows] == [("unknown", "person"), ("person", None)]


@pytest.mark.parametrize("trouble", ["right", "answer"])
def test_a_log_that_does_not_tell_holds_nothing_up(directed: Site, trouble: str) -> None:
    if trouble == "right":
        directed.simulator.projects["routing"].revoke("logging")
    else:
        directed.simulator.inject(Fault(kind="status", status=504, content="log", times=None))
    directed.rule("7", patient_id="PID-2")
    recorded_run(directed)
    assert asked(directed) == 1
    directed.rule("7", patient_id="PID-3")
    recorded_run(directed)
    assert asked(directed) == 0, "it is asked again in an hour"
    directed.clock.advance(timedelta(hours=1).total_seconds())
    directed.rule("7", patient_id="PID-4")
    recorded_run(directed)
    assert asked(directed) == 1
    assert list(edits(directed, "RoutingRuleChanged")) == [UNKNOWN] * 4
