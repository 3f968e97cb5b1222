"""The rules and coupling entries in force, from the ledger alone: REDCap is not asked."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import text

from ledger import store
from processors.explain.near_miss import FORGOTTEN, Matching
from processors.gateway import Work
from processors.routing.coupling import CouplingList, Entry
from processors.routing.evaluate import Directives
from processors.routing.rules import Router, Rule


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
        )


def in_force(work: Work) -> InForce:
    """What is in force now."""
    rule_positions = {row.record_id: row.position for row in work.execute(_RULES)}
    entry_rows = work.execute(_ENTRIES).all()
    rules = store.read_positions(work.connection, rule_positions.values())
    entries = work.identities([row.position for row in entry_rows])
    return InForce(
        rules={event.data["record_id"]: rule_of(event.data) for event in rules.values()},
        rule_positions=rule_positions,
        entries={event.data["record_id"]: entry_of(event.data, sealed) for event, sealed in entries.values()},
        entry_positions={row.record_id: row.position for row in entry_rows},
        entry_lives={row.record_id: row.life_position for row in entry_rows},
    )


_RULES = text("select record_id, position from gateway.rule where not removed")
_ENTRIES = text("select record_id, position, life_position from gateway.coupling_entry where not removed")


def rule_of(data: Mapping[str, Any]) -> Rule:
    """The rule in the data of a RoutingRuleChanged event."""
    return Rule(
        record_id=data["record_id"],
        active=data["active"],
        project=data["project"],
        called=data["called"],
        calling=data["calling"],
        patient_id_pattern=data["patient_id_pattern"],
        patient_name_pattern=data["patient_name_pattern"],
        event_name=data["event_name"],
        problems=tuple(data["problems"]),
    )


def entry_of(data: Mapping[str, Any], sealed: Mapping[str, Any]) -> Entry:
    """The entry in the data and the sealed part of a CouplingEntryChanged event."""
    entry = Entry(
        record_id=data["record_id"],
        accession=data["accession"],
        study=data["study"],
        project=data["project"],
        subject_id=sealed.get("subject_id", FORGOTTEN),
        event_name=data["event_name"],
        date=data["date"],
    )
    repeated = replace(entry, repeated=True)
    return repeated if data["problems"] == list(repeated.problems) else entry
