"""Rules and coupling entries as the ledger holds them, where REDCap is not asked or does not tell."""

from collections.abc import Collection
from dataclasses import replace

from ledger import store
from processors.events.rules import CouplingEntryChanged, RoutingRuleChanged
from processors.gateway import Work
from processors.routing.coupling import FORGOTTEN, Entry
from processors.routing.rules import Rule, rule_that_said


def rules_at(work: Work, positions: Collection[int]) -> list[Rule]:
    """The rules that the events at these positions hold."""
    events = store.read_positions(work.connection, positions).values()
    return [rule_that_said(RoutingRuleChanged.read(event)) for event in events]


def entries_at(work: Work, positions: Collection[int]) -> list[Entry]:
    """The entries that the events at these positions hold; `FORGOTTEN` stands for what of them was."""
    events = work.identities(positions).values()
    return [entry_that_said(CouplingEntryChanged.read(event, payload)) for event, payload in events]


def entry_that_said(fact: CouplingEntryChanged) -> Entry:
    """The entry as it read then."""
    entry = Entry(
        record_id=fact.record_id,
        accession=_known(fact.accession_number) if fact.accession else "",
        study=fact.study,
        project=fact.project,
        subject_id=_known(fact.subject_id),
        event_name=fact.event_name,
        date=fact.date,
    )
    repeated = replace(entry, repeated=True)
    return repeated if fact.problems == repeated.problems else entry


def _known(sealed: str | None) -> str:
    return FORGOTTEN if sealed is None else sealed
