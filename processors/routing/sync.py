"""Noticing what people changed in REDCap's rules and coupling list since the last run.

Both are fetched once a run, whole, before anything is decided: a failed fetch ends the run and is
never taken for "no rules". What differs from what the ledger holds becomes an event. What is missing is
doubted: it stands as the ledger has it, and nothing is decided because of it, until the next run misses it too.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import orjson
from sqlalchemy import text

from ledger.events import NewEvent
from ledger.vault import SubjectName
from processors.accession_numbers import accession_subject
from processors.events.fact import Cause, Fact
from processors.events.rules import (
    CouplingEntryChanged,
    CouplingEntryDoubted,
    CouplingEntryRemoved,
    CouplingEntryReturned,
    RoutingRuleChanged,
    RoutingRuleDoubted,
    RoutingRuleRemoved,
    RoutingRuleReturned,
)
from processors.gateway import Gateway, Work
from processors.observed_list import Before, Comparison, compared, listed_project, set_apart, tell_unreadable
from processors.redcap import Redcap
from processors.routing.coupling import Entry, entries_from_rows
from processors.routing.rules import Rule, rules_from_rows
from processors.routing.stored_directives import entries_at, rules_at

RULE_FIELDS = (
    "record_id",
    "routing_active",
    "routing_dest_project",
    "routing_incoming_aetitle",
    "routing_sending_aetitle",
    "routing_allowed_patientid",
    "routing_allowed_patientname",
    "routing_event_name",
)
"""Without these, no rule is read."""

ENTRY_FIELDS = ("record_id", "cl_accessionnumber", "cl_projectname", "cl_subjectid", "cl_eventname")
"""Without these, no entry of the coupling list is read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Doubted:
    """The record ids of rules and entries that are missing from the latest export, and not believed to be gone."""

    rules: frozenset[str] = frozenset()
    entries: frozenset[str] = frozenset()

    def __contains__(self, cause: Cause) -> bool:
        """Whether the cause of something is doubted."""
        records = {"rule": self.rules, "coupling": self.entries}
        return cause.record_id in records.get(cause.kind, ())


class Observed(NamedTuple):
    """What REDCap directs at present, the doubted included, and how many changes were recorded."""

    rules: list[Rule]
    entries: list[Entry]
    changes: int
    doubted: Doubted


def observe(gateway: Gateway, redcap: Redcap, before: Before) -> Observed:
    """The rules and coupling entries as REDCap has them now, their changes recorded.

    Raises `ServiceError` where either cannot be fetched; nothing is recorded then.
    """
    routing = listed_project(gateway, redcap, "routing", RULE_FIELDS, before)
    coupling = listed_project(gateway, redcap, "coupling", ENTRY_FIELDS, before)
    # A project's name is the label of its choice, which may hold blanks and commas.
    labels = routing.choices("routing_dest_project")
    rules = rules_from_rows(routing.export_list(), labels)
    entries = entries_from_rows(coupling.export_list())
    with gateway.begin() as work:
        rule_prints = {rule.record_id: _fingerprint(work, asdict(rule)) for rule in rules}
        entry_prints = {entry.record_id: _fingerprint(work, asdict(entry)) for entry in entries}
        tell_unreadable(work, routing)
        tell_unreadable(work, coupling)
        of_rules = compared(work, "gateway.rule", rule_prints, asked_at=before.head, unreadable=routing.unreadable)
        of_entries = compared(
            work, "gateway.coupling_entry", entry_prints, asked_at=before.head, unreadable=coupling.unreadable
        )
        events = [
            *_rule_events(rules, rule_prints, of_rules),
            *_entry_events(work, entries, entry_prints, of_entries),
        ]
        work.record(events)
        apart = Doubted(rules=frozenset(set_apart(work, rule_prints)), entries=frozenset(set_apart(work, entry_prints)))
        doubted = Doubted(rules=apart.rules.union(of_rules.doubted), entries=apart.entries.union(of_entries.doubted))
        doubted_rules = rules_at(work, _positions(work, "gateway.rule", doubted.rules))
        doubted_entries = entries_at(work, _positions(work, "gateway.coupling_entry", doubted.entries))
        rules = [rule for rule in rules if rule.record_id not in apart.rules]
        entries = [entry for entry in entries if entry.record_id not in apart.entries]
    return Observed([*rules, *doubted_rules], [*entries, *doubted_entries], len(events), doubted)


def _positions(work: Work, table: str, records: Collection[str]) -> list[int]:
    """The events that hold what these records said when they were last seen."""
    statement = text(f"select position from {table} where record_id = any(:records)")
    return list(work.execute(statement, {"records": list(records)}).scalars()) if records else []


def _rule_events(rules: Sequence[Rule], prints: Mapping[str, str], comparison: Comparison) -> list[Fact]:
    by_record = {rule.record_id: rule for rule in rules}
    changes = [
        RoutingRuleChanged(**asdict(by_record[record]), fingerprint=prints[record]) for record in comparison.changed
    ]
    settled = comparison.facts(doubted=RoutingRuleDoubted, returned=RoutingRuleReturned, removed=RoutingRuleRemoved)
    return [*changes, *settled]


def _entry_events(
    work: Work, entries: Sequence[Entry], prints: Mapping[str, str], comparison: Comparison
) -> list[Fact | NewEvent]:
    by_record = {entry.record_id: entry for entry in entries}
    # All at once: one by one, looking them up would take longer than all the rest.
    names = [name for record in comparison.changed for name in _subjects(by_record[record])]
    work.vault.subjects(work.connection, names)
    changes = [_entry_changed(work, by_record[record], prints[record]) for record in comparison.changed]
    settled = comparison.facts(
        doubted=CouplingEntryDoubted, returned=CouplingEntryReturned, removed=CouplingEntryRemoved
    )
    return [*changes, *settled]


def _entry_changed(work: Work, entry: Entry, fingerprint: str) -> NewEvent:
    """The entry's event; what leads from it to a patient or a pseudonym is sealed."""
    content = asdict(entry)
    del content["repeated"], content["overlong"]  # which its problems tell
    asks = {name: value for name, value in content.items() if name != "date"}
    subject, *numbers = work.vault.subjects(work.connection, _subjects(entry)).values()
    content |= {"accession_number": entry.accession, "accession": "".join(map(str, numbers))}
    changed_entry = CouplingEntryChanged(
        **content,
        problems=entry.problems,
        fingerprint=fingerprint,
        asks_fingerprint=_fingerprint(work, asks),
    )
    return work.seal(changed_entry, subject)


def _subjects(entry: Entry) -> list[SubjectName]:
    """Whom the entry is sealed for, and what its accession number is, if it names one."""
    number = accession_subject(entry.accession)
    sealed_for = SubjectName("coupling", "", entry.study or entry.accession or entry.record_id)
    return [sealed_for] if number is None else [sealed_for, number]


def _fingerprint(work: Work, content: Mapping[str, object]) -> str:
    return work.vault.fingerprint(orjson.dumps(content, option=orjson.OPT_SORT_KEYS))
