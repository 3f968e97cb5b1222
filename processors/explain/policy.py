"""The rules and coupling entries in force, from the ledger alone: REDCap is not asked."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from sqlalchemy import text

from ledger import store
from processors.events.rules import CouplingEntryChanged, RoutingRuleChanged
from processors.explain.near_miss import FORGOTTEN, Matching
from processors.gateway import Work
from processors.routing.coupling import CouplingList, Entry
from processors.routing.evaluate import Directives
from processors.routing.rules import Router, Rule, rule_that_said


@dataclass(frozen=True, kw_only=True, slots=True)
class InForce:
    """What REDCap directed when it was last read: rules and entries by record id, each with its event's position.

    `entry_lives` are the positions from which on each entry has been the same entry.
    """

    rules: Mapping[str, Rule]
    rule_positions: Mapping[str, int]
    entries: Mapping[str, Entry]
    entry_positions: Mapping[str, int]
    entry_lives: Mapping[str, int]
    entries_ask_since: Mapping[str, int]

    def directives(self, rules: Iterable[Rule], matching: Matching) -> Directives:
        """What decisions are made by under these rules, and the entries in force.

        A rule that the ledger does not hold has the position 0.
        """
        rules = list(rules)
        return Directives(
            router=Router(rules, mode=matching.mode, time_limit=matching.time_limit),
            entries=CouplingList(self.entries.values()),
            rule_positions={rule.record_id: self.rule_positions.get(rule.record_id, 0) for rule in rules},
            entry_positions=self.entry_positions,
            entry_lives=self.entry_lives,
            entries_ask_since=self.entries_ask_since,
        )


def in_force(work: Work) -> InForce:
    """What is in force now."""
    rule_positions = {row.record_id: row.position for row in work.execute(_RULES)}
    entry_rows = work.execute(_ENTRIES).all()
    rule_events = store.read_positions(work.connection, rule_positions.values()).values()
    rules = [rule_that_said(RoutingRuleChanged.read(event)) for event in rule_events]
    entry_events = work.identities([row.position for row in entry_rows]).values()
    entries = [_entry(CouplingEntryChanged.read(event, payload)) for event, payload in entry_events]
    return InForce(
        rules={rule.record_id: rule for rule in rules},
        rule_positions=rule_positions,
        entries={entry.record_id: entry for entry in entries},
        entry_positions={row.record_id: row.position for row in entry_rows},
        entry_lives={row.record_id: row.life_position for row in entry_rows},
        entries_ask_since={row.record_id: row.asks_position for row in entry_rows},
    )


_RULES = text("select record_id, position from gateway.rule where not removed")
_ENTRIES = text(
    "select record_id, position, life_position, asks_position from gateway.coupling_entry where not removed"
)


def _entry(fact: CouplingEntryChanged) -> Entry:
    entry = Entry(
        record_id=fact.record_id,
        accession=fact.accession,
        study=fact.study,
        project=fact.project,
        subject_id=FORGOTTEN if fact.subject_id is None else fact.subject_id,
        event_name=fact.event_name,
        date=fact.date,
    )
    repeated = replace(entry, repeated=True)
    return repeated if fact.problems == repeated.problems else entry
