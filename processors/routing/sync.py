"""Noticing what people changed in REDCap's rules and coupling list since the last run.

Both are fetched once a run, whole, before anything is decided: a failed fetch ends the run and is
never taken for "no rules". What differs from what the ledger holds becomes an event. What is missing is
doubted: it stands as the ledger has it, and nothing is decided because of it, until the next run misses it too.
Of what new words ask for, and has been placed, REDCap is asked whether it still stands before they are recorded
(`asked_anew`). Who made a change is part of its event, where REDCap's log tells (`edits`).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar

import orjson
from sqlalchemy import text

from ledger.events import NewEvent
from ledger.vault import SubjectName
from processors.accession_numbers import accession_subject
from processors.delivery.deletions import InDoubt
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
from processors.redcap import Project, Redcap, Row
from processors.redcap.needed import LISTS
from processors.routing.asked_anew import Placed
from processors.routing.coupling import Entry, entries_from_rows
from processors.routing.edits import UNKNOWN, Edit, LogWindow, edits, log_window
from processors.routing.rules import Rule, rules_from_rows
from processors.routing.stored_directives import entries_at, rules_at


@dataclass(frozen=True, kw_only=True, slots=True)
class Doubted:
    """The record ids of rules and entries that are missing from the latest export, and not believed to be gone.

    And those of rules that cannot be used as they read, but could before: what arrives meanwhile waits for them.
    """

    rules: frozenset[str] = frozenset()
    entries: frozenset[str] = frozenset()

    def __contains__(self, cause: Cause) -> bool:
        """Whether the cause of something is doubted."""
        records = {"rule": self.rules, "coupling": self.entries}
        return cause.record_id in records.get(cause.kind, ())


class Observed(NamedTuple):
    """What REDCap directs at present, the doubted included, how many changes were recorded, and what of it waits."""

    rules: list[Rule]
    entries: list[Entry]
    changes: int
    doubted: Doubted
    warnings: Sequence[str] = ()


def observe(gateway: Gateway, redcap: Redcap, before: Before) -> Observed:
    """The rules and coupling entries as REDCap has them now, their changes recorded.

    Raises `ServiceError` where either cannot be fetched; nothing is recorded then.
    """
    routing = listed_project(gateway, redcap, "routing", LISTS["routing"], before)
    coupling = listed_project(gateway, redcap, "coupling", LISTS["coupling"], before)
    # A project's name is the label of its choice, which may hold blanks and commas.
    labels = routing.choices("routing_dest_project")
    rule_rows, entry_rows = routing.export_list(), coupling.export_list()
    rules, entries = rules_from_rows(rule_rows, labels), entries_from_rows(entry_rows)
    rule_prints = {rule.record_id: _fingerprint(gateway, asdict(rule)) for rule in rules}
    entry_prints = {entry.record_id: _fingerprint(gateway, asdict(entry)) for entry in entries}
    rule_list = _List(routing, "gateway.rule", rule_rows, rules, rule_prints)
    entry_list = _List(coupling, "gateway.coupling_entry", entry_rows, entries, entry_prints)
    with gateway.begin() as work:
        of_rules, of_entries = rule_list.compared(work, before), entry_list.compared(work, before)
        window_of_rules, window_of_entries = of_rules.log_window(work), of_entries.log_window(work)
        placed = Placed(work, of_entries.changed)
        if not (window_of_rules.since or window_of_entries.since or placed):
            return _recorded(work, of_rules, of_entries)
    # REDCap is asked before changes are recorded, as no transaction waits for REDCap.
    in_doubt = placed.look(gateway, redcap) if placed else InDoubt()
    waiting = placed.asked_for_by(in_doubt)
    rule_edits = of_rules.edits(gateway, redcap, window_of_rules)
    entry_edits = of_entries.edits(gateway, redcap, window_of_entries)
    with gateway.begin() as work:
        # Another site may have recorded them meanwhile.
        of_rules, of_entries = rule_list.compared(work, before), entry_list.compared(work, before)
        observed = _recorded(work, of_rules, of_entries.without(waiting), rule_edits, entry_edits, waiting)
    return observed._replace(warnings=in_doubt.warnings)


_Item = TypeVar("_Item", Rule, Entry)


@dataclass(frozen=True, slots=True)
class _List(Generic[_Item]):
    """A list as exported: its project, the gateway's own table of it, its rows, what they say, and their prints."""

    project: Project
    table: str
    rows: Sequence[Row]
    items: Sequence[_Item]
    prints: Mapping[str, str]

    def compared(self, work: Work, before: Before) -> "_Compared[_Item]":
        """What of it differs from what the ledger holds."""
        unreadable = self.project.unreadable
        return _Compared(self, compared(work, self.table, self.prints, asked_at=before.head, unreadable=unreadable))


class _Compared(NamedTuple, Generic[_Item]):
    """A list as exported, and in what it differs from the ledger."""

    exported: _List[_Item]
    comparison: Comparison

    def log_window(self, work: Work) -> LogWindow:
        """From when on REDCap's log can tell who made the changes."""
        return log_window(work, self.exported.project.name, self.exported.table, self.comparison)

    def edits(self, gateway: Gateway, redcap: Redcap, window: LogWindow) -> Mapping[str, Edit]:
        """Who made the changes."""
        return edits(gateway, redcap, self.exported.project, window, self.exported.rows, self.comparison)

    def without(self, waiting: Collection[str]) -> "_Compared[_Item]":
        """The same but for changes that are not to be recorded yet."""
        changed = [record for record in self.comparison.changed if record not in waiting]
        return self._replace(comparison=replace(self.comparison, changed=changed))

    @property
    def changed(self) -> list[_Item]:
        """Those that are new or say something else."""
        by_record = {item.record_id: item for item in self.exported.items}
        return [by_record[record] for record in self.comparison.changed]


def _recorded(
    work: Work,
    of_rules: _Compared[Rule],
    of_entries: _Compared[Entry],
    rule_edits: Mapping[str, Edit] = MappingProxyType({}),
    entry_edits: Mapping[str, Edit] = MappingProxyType({}),
    waiting: Collection[str] = (),
) -> Observed:
    """What REDCap directs, once its changes are recorded; entries that are `waiting` stand as they were."""
    tell_unreadable(work, of_rules.exported.project)
    tell_unreadable(work, of_entries.exported.project)
    events = [*_rule_events(of_rules, rule_edits), *_entry_events(work, of_entries, entry_edits)]
    apart_rules, apart_entries = of_rules.comparison.apart, of_entries.comparison.apart
    if work.record(events):
        # What was recorded just now may be set apart itself.
        apart_rules = set_apart(work, of_rules.exported.prints)
        apart_entries = set_apart(work, of_entries.exported.prints)
    not_told = apart_rules.union(of_rules.comparison.doubted)
    unusable = {rule.record_id for rule in of_rules.exported.items if rule.problems}
    doubted_rules = rules_at(work, _last_usable(work, not_told | unusable))
    doubted = Doubted(
        rules=not_told.union(rule.record_id for rule in doubted_rules),
        entries=apart_entries.union(of_entries.comparison.doubted, waiting),
    )
    doubted_entries = entries_at(work, _positions(work, doubted.entries))
    rules = [rule for rule in of_rules.exported.items if rule.record_id not in doubted.rules]
    entries = [e for e in of_entries.exported.items if e.record_id not in apart_entries.union(waiting)]
    return Observed([*rules, *doubted_rules], [*entries, *doubted_entries], len(events), doubted)


_LAST_USABLE = text("""
    select coalesce(usable_position, position) from gateway.rule
     where record_id = any(:records) and not removed and (usable_position is not null or doubted_position is not null)
""")
_POSITIONS = text("select position from gateway.coupling_entry where record_id = any(:records) and not removed")


def _last_usable(work: Work, rules: Collection[str]) -> list[int]:
    """The events that hold what these rules said when they could last be used."""
    return list(work.execute(_LAST_USABLE, {"records": list(rules)}).scalars()) if rules else []


def _positions(work: Work, entries: Collection[str]) -> list[int]:
    """The events that hold what these entries said when they were last seen."""
    return list(work.execute(_POSITIONS, {"records": list(entries)}).scalars()) if entries else []


def _rule_events(of_rules: _Compared[Rule], edits: Mapping[str, Edit]) -> list[Fact]:
    prints = of_rules.exported.prints
    changes = [
        RoutingRuleChanged(**asdict(rule), fingerprint=prints[rule.record_id], **_told(edits, rule.record_id))
        for rule in of_rules.changed
    ]
    settled = of_rules.comparison.facts(
        doubted=RoutingRuleDoubted,
        returned=RoutingRuleReturned,
        removed=lambda record_id: RoutingRuleRemoved(record_id=record_id, **_told(edits, record_id)),
    )
    return [*changes, *settled]


def _told(edits: Mapping[str, Edit], record: str) -> dict[str, Any]:
    """What the event of a change says of who made it."""
    return edits.get(record, UNKNOWN)._asdict()


def _entry_events(work: Work, of_entries: _Compared[Entry], edits: Mapping[str, Edit]) -> list[Fact | NewEvent]:
    prints = of_entries.exported.prints
    # All at once: one by one, looking them up would take longer than all the rest.
    work.vault.subjects(work.connection, [name for entry in of_entries.changed for name in _subjects(entry)])
    changes = [
        _entry_changed(work, entry, prints[entry.record_id], _told(edits, entry.record_id))
        for entry in of_entries.changed
    ]
    settled = of_entries.comparison.facts(
        doubted=CouplingEntryDoubted,
        returned=CouplingEntryReturned,
        removed=lambda record_id: CouplingEntryRemoved(record_id=record_id, **_told(edits, record_id)),
    )
    return [*changes, *settled]


def _entry_changed(work: Work, entry: Entry, fingerprint: str, edit: Mapping[str, Any]) -> NewEvent:
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
        asks_fingerprint=_fingerprint(work.gateway, asks),
        **edit,
    )
    return work.seal(changed_entry, subject)


def _subjects(entry: Entry) -> list[SubjectName]:
    """Whom the entry is sealed for, and what its accession number is, if it names one."""
    number = accession_subject(entry.accession)
    sealed_for = SubjectName("coupling", "", entry.study or entry.accession or entry.record_id)
    return [sealed_for] if number is None else [sealed_for, number]


def _fingerprint(gateway: Gateway, content: Mapping[str, object]) -> str:
    return gateway.vault.fingerprint(orjson.dumps(content, option=orjson.OPT_SORT_KEYS))
