"""Judging studies by rules and coupling entries, and how the time grows with them."""

from __future__ import annotations

from time import perf_counter
from uuid import UUID

from processors.routing.coupling import CouplingList, Entry
from processors.routing.evaluate import Directives, judge
from processors.routing.evidence import Evidence
from processors.routing.rules import Identity, Router, Rule
from tests.benchmarks.rows import Row, at_most, in_turn, row

STUDIES, RULES, ENTRIES = 12_500, 100, 5_000
SCANNERS = 20
LIMIT_SECONDS = 2
TIMES = 4


def run() -> list[Row]:
    """What was measured: at the sizes of the goal whatever the scale, as it takes a second."""
    usual, larger = in_turn(lambda: _seconds(STUDIES, ENTRIES), lambda: _seconds(TIMES * STUDIES, TIMES * ENTRIES))
    what = f"decide: {STUDIES:,} studies x {RULES} rules x {ENTRIES:,} entries"
    more = f"decide: {TIMES} times the studies and the entries"
    # As their sum does, it is 4 times as long, and a little more where memory is left more often than found;
    # as their product does, it would be 16 times as long.
    return [
        row(what, usual, "s", "limit", LIMIT_SECONDS, at_most(1)),
        row(more, larger, "s", f"{STUDIES:,} x {ENTRIES:,}", usual, at_most(2 * TIMES)),
    ]


def _seconds(studies: int, entries: int) -> float:
    evidence = [_evidence(number) for number in range(studies)]
    directives = _directives(entries)
    begun = perf_counter()
    requests = sum(len(judge(known, directives).outcome.requests) for known in evidence)
    took = perf_counter() - begun
    if requests < entries:
        raise AssertionError(f"expected a request for each of {entries} entries, found {requests}")
    return took


def _evidence(number: int) -> Evidence:
    """A study of two series that say the same, from one of the scanners."""
    made = Evidence(study=f"1.2.3.{number}", subject=UUID(int=number), on_disk=True)
    made.accessions.add(f"ACC{number:08d}")
    made.gained.add(Identity("FIONA", f"CT{number % SCANNERS}", f"PID{number:07d}", f"Doe^Jane {number}"))
    return made


def _directives(entries: int) -> Directives:
    rules = [
        Rule(
            record_id=str(number),
            active=True,
            project=f"P{number}",
            called="",
            calling=f"CT{number % SCANNERS}",
            patient_id_pattern=f"PID[0-9]{{4}}{number:02d}[0-9]",
            patient_name_pattern="",
            event_name="",
        )
        for number in range(RULES)
    ]
    coupled = [
        Entry(
            record_id=str(number),
            accession=f"ACC{number:08d}",
            study="",
            project="Heart Study",
            subject_id=f"H{number}",
            event_name="",
            date="",
        )
        for number in range(entries)
    ]
    positions = {entry.record_id: 1 for entry in coupled}
    return Directives(
        router=Router(rules, mode="prefix", time_limit=0.5),
        entries=CouplingList(coupled),
        rule_positions={rule.record_id: 1 for rule in rules},
        entry_positions=positions,
        entry_lives=positions,
        entries_ask_since=positions,
    )
