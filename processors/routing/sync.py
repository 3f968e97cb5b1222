"""Noticing what people changed in REDCap's rules and coupling list since the last run.

Both are fetched once a run, whole, before anything is decided: a failed fetch ends the run and is
never taken for "no rules". What differs from what the ledger holds becomes an event.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import NamedTuple

import orjson

from ledger.events import NewEvent
from ledger.vault import SubjectName
from processors.events.fact import Fact
from processors.events.rules import (
    CouplingEntryChanged,
    CouplingEntryRemoved,
    RoutingRuleChanged,
    RoutingRuleRemoved,
)
from processors.gateway import Gateway, Work
from processors.observed_list import changed, known_records, removals
from processors.redcap import Project, Redcap
from processors.routing.coupling import Entry, entries_from_rows
from processors.routing.rules import Rule, rules_from_rows

_RULE_FIELDS = (
    "record_id",
    "routing_active",
    "routing_dest_project",
    "routing_incoming_aetitle",
    "routing_sending_aetitle",
    "routing_allowed_patientid",
    "routing_allowed_patientname",
    "routing_event_name",
)
_ENTRY_FIELDS = ("record_id", "cl_accessionnumber", "cl_projectname", "cl_subjectid", "cl_eventname")


class Observed(NamedTuple):
    """What REDCap directs at present, and how many changes were recorded."""

    rules: list[Rule]
    entries: list[Entry]
    changes: int


def observe(gateway: Gateway, redcap: Redcap) -> Observed:
    """The rules and coupling entries as REDCap has them now, their changes recorded.

    Raises `ServiceError` where either cannot be fetched; nothing is recorded then.
    """
    routing = Project(redcap, "routing", gateway.database, gateway.clock, needed=_RULE_FIELDS)
    coupling = Project(redcap, "coupling", gateway.database, gateway.clock, needed=_ENTRY_FIELDS)
    # A project's name is the label of its choice, which may hold blanks and commas.
    labels = routing.choices("routing_dest_project")
    rules = rules_from_rows(routing.export_list(), labels)
    entries = entries_from_rows(coupling.export_list())
    with gateway.begin() as work:
        events = [*_rule_events(work, rules), *_entry_events(work, entries)]
        work.record(events)
    return Observed(rules, entries, len(events))


def _rule_events(work: Work, rules: Sequence[Rule]) -> list[Fact | NewEvent]:
    by_record = {rule.record_id: rule for rule in rules}
    known = known_records(work, "gateway.rule")
    prints = {record: _fingerprint(work, asdict(rule)) for record, rule in by_record.items()}
    events: list[Fact | NewEvent] = [
        RoutingRuleChanged(**asdict(by_record[record]), fingerprint=prints[record]) for record in changed(prints, known)
    ]
    return events + [RoutingRuleRemoved(record_id=record) for record in removals(by_record, known)]


def _entry_events(work: Work, entries: Sequence[Entry]) -> list[Fact | NewEvent]:
    by_record = {entry.record_id: entry for entry in entries}
    known = known_records(work, "gateway.coupling_entry")
    prints = {record: _fingerprint(work, asdict(entry)) for record, entry in by_record.items()}
    events: list[Fact | NewEvent] = [
        _entry_changed(work, by_record[record], prints[record]) for record in changed(prints, known)
    ]
    return events + [CouplingEntryRemoved(record_id=record) for record in removals(by_record, known)]


def _entry_changed(work: Work, entry: Entry, fingerprint: str) -> NewEvent:
    """The entry's event. Beside its accession number the subject ID would be a key to the pseudonym: it is sealed."""
    content = asdict(entry)
    del content["repeated"], content["overlong"]  # which its problems tell
    asks = {name: value for name, value in content.items() if name != "date"}
    changed_entry = CouplingEntryChanged(
        **content,
        problems=entry.problems,
        fingerprint=fingerprint,
        asks_fingerprint=_fingerprint(work, asks),
    )
    return work.seal(changed_entry, SubjectName("coupling", "", entry.study or entry.accession or entry.record_id))


def _fingerprint(work: Work, content: Mapping[str, object]) -> str:
    return work.vault.fingerprint(orjson.dumps(content, option=orjson.OPT_SORT_KEYS))
