"""What other rules would change, tried on all recorded studies: `what-if`, without the start of the program."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING

from processors.configuration.settings import IdentitySection
from processors.explain import policy, what_if
from processors.explain.near_miss import Matching
from processors.routing.configured_checks import LASTING
from processors.routing.fit_check import fit_check
from processors.source.discover import discover
from tests.benchmarks import bench_audit, tree
from tests.benchmarks.rows import Row, at_most, in_turn, row, sized
from tests.benchmarks.site import running_server, site
from tests.facts import a_rule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from processors.events.rules import RoutingRuleChanged
    from processors.gateway import Work
    from processors.routing.checks import Check

SERIES = sized(100_000, least=20_000)
RULES = 100
LIMIT_SECONDS = 2 * SERIES / 100_000
"""The issue's, for 12,500 studies."""
_CHECKS: Sequence[Check] = (*LASTING, fit_check(IdentitySection()))


def run() -> list[Row]:
    """What was measured."""
    with running_server() as (server, folder):
        raw = folder / "raw"
        tree.lay_out(raw, SERIES)
        with site(server, folder, raw=raw) as filled:
            gateway = filled.gateway()
            discover(gateway, raw=raw, settle_seconds=60)
            with gateway.begin() as work:
                work.record(_rule(number) for number in range(RULES))
            bench_audit.vacuum(filled.database)
            with gateway.begin() as work:
                tenth, half = in_turn(lambda: _seconds(work, "[0-8]", 0.1), lambda: _seconds(work, "[0-4]", 0.5))
    what = f"what-if: {RULES} changed rules, {SERIES // tree.SERIES_A_STUDY:,} studies"
    return [
        row(f"{what}, of which a tenth changes", tenth, "s", "limit", LIMIT_SECONDS, at_most(1)),
        row(f"{what}, of which half change", half, "s", "limit", LIMIT_SECONDS, at_most(1)),
    ]


def _rule(number: int) -> RoutingRuleChanged:
    """A rule for a hundred patients, among whom every series is tried: all rules have the AE title of the receiver."""
    return a_rule(str(number), f"P{number}", called="FIONA", patient_id_pattern=f"PID{number:05d}[0-9][0-9]")


def _seconds(work: Work, last_digit: str, share: float) -> float:
    """How long it takes to see what all rules would change if the last digit had to be one of these."""
    begun = perf_counter()
    directed = policy.in_force(work)
    changed = {
        record: replace(rule, patient_id_pattern=f"PID{int(record):05d}[0-9]{last_digit}")
        for record, rule in directed.rules.items()
    }
    found = what_if.compare(work, directed, changed, Matching("prefix", 0.5), checks=_CHECKS)
    took = perf_counter() - begun
    if not 0.8 * share < len(found.changes) / found.studies < 1.2 * share:
        raise AssertionError(f"expected {share:.0%} of {found.studies} studies to change, found {len(found.changes)}")
    return took
