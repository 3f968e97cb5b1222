"""The rules and coupling entries in force, from the ledger alone: REDCap is not asked."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import text

from processors.explain.near_miss import Matching
from processors.gateway import Work
from processors.routing.coupling import CouplingList, Entry
from processors.routing.edits import Edit
from processors.routing.evaluate import Directives
from processors.routing.evidence import Evidence
from processors.routing.rules import Router, Rule
from processors.routing.stored_directives import entries_at, rules_at
from processors.routing.sync import Doubted
from processors.text import accession_likeness


@dataclass(frozen=True, kw_only=True, slots=True)
class InForce:
    """What REDCap directed when it was last read: rules and entries by record id, each with its event's position.

    `rule_edits` and `entry_edits` tell who made each read so, as far as REDCap's log did.
    `accessions` are by what the entries' accession numbers are known, `entry_lives` the positions from which on each
    entry has been the same entry. What was missing then is `doubted`: it is among them as it was before.
    """

    rules: Mapping[str, Rule]
    rule_positions: Mapping[str, int]
    rule_edits: Mapping[str, Edit]
    entries: Mapping[str, Entry]
    accessions: Mapping[str, str]
    entry_positions: Mapping[str, int]
    entry_edits: Mapping[str, Edit]
    entry_lives: Mapping[str, int]
    entries_ask_since: Mapping[str, int]
    doubted: Doubted

    def directives(self, rules: Iterable[Rule], matching: Matching) -> Directives:
        """What decisions are made by under these rules, and the entries in force, as if nothing were doubted.

        A rule that the ledger does not hold has the position 0.
        """
        rules = list(rules)
        return Directives(
            router=Router(rules, mode=matching.mode, time_limit=matching.time_limit),
            entries=CouplingList(self.entries.values(), self.accessions),
            rule_positions={rule.record_id: self.rule_positions.get(rule.record_id, 0) for rule in rules},
            entry_positions=self.entry_positions,
            entry_lives=self.entry_lives,
            entries_ask_since=self.entries_ask_since,
        )


def in_force(work: Work, entries: Collection[str] | None = None) -> InForce:
    """What is in force now. Of the coupling list, which may be long, only those `entries`, if any are named."""
    rule_rows = work.execute(_RULES).all()
    rule_positions = {row.record_id: row.position for row in rule_rows}
    entry_rows = work.execute(_ENTRIES, {"wanted": None if entries is None else list(entries)}).all()
    return InForce(
        rules={rule.record_id: rule for rule in rules_at(work, rule_positions.values())},
        rule_positions=rule_positions,
        rule_edits={row.record_id: Edit(row.changed_by, row.changed_at) for row in rule_rows},
        entries={entry.record_id: entry for entry in entries_at(work, [row.position for row in entry_rows])},
        accessions={row.record_id: row.accession for row in entry_rows},
        entry_positions={row.record_id: row.position for row in entry_rows},
        entry_edits={row.record_id: Edit(row.changed_by, row.changed_at) for row in entry_rows},
        entry_lives={row.record_id: row.life_position for row in entry_rows},
        entries_ask_since={row.record_id: row.asks_position for row in entry_rows},
        doubted=Doubted(
            rules=frozenset(row.record_id for row in rule_rows if row.is_doubted),
            entries=frozenset(row.record_id for row in entry_rows if row.doubted_position is not None),
        ),
    )


_RULES = text("""
    select record_id, position,
           doubted_position is not null or (problems <> '{}' and usable_position is not null) as is_doubted,
           said.data ->> 'changed_by' as changed_by, said.data ->> 'changed_at' as changed_at
      from gateway.rule join ledger.event as said using (position) where not removed
""")
_ENTRIES = text("""
    select record_id, position, life_position, asks_position, doubted_position, accession,
           said.data ->> 'changed_by' as changed_by, said.data ->> 'changed_at' as changed_at
      from gateway.coupling_entry join ledger.event as said using (position)
     where not removed and (cast(:wanted as text[]) is null or record_id = any(:wanted))
""")


def entries_meeting(work: Work, evidence: Evidence, numbers: Collection[str]) -> list[str]:
    """The record ids of those entries in force that have to do with the study: they name it, nearly name it, or led to
    what was decided about it. None of them is unsealed for it.

    `numbers` are its accession numbers as written.
    """
    likenesses = {accession_likeness(number) for number in numbers} - {""}
    alike = work.vault.alike(work.connection, "accession", likenesses)
    causes = [request.cause for request in evidence.standing]
    causes += [known.cause for known in evidence.holds.values()]
    causes += [cause for conflict in evidence.conflicts.values() for cause in conflict.causes]
    about = {
        "led": [cause.record_id for cause in causes if cause.kind == "coupling"],
        "accessions": [*(evidence.known_accessions - {""}), *map(str, alike)],
        "digits": re.sub("[^0-9.]", "", evidence.study),
    }
    return list(work.execute(_MEETING, about).scalars())


# UIDs that differ by blanks and case alone have the same digits and dots.
_MEETING = text("""
    select record_id from gateway.coupling_entry
     where not removed
       and (record_id = any(:led) or accession = any(:accessions)
            or (study <> '' and regexp_replace(study, '[^0-9.]', '', 'g') = :digits))
""")
