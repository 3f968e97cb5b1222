"""What a dry run would change: told from the events that it recorded and took back again."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from ledger import store
from processors.events.deliveries import RowFact, RowMissing, RowRestored
from processors.events.fact import Cause, CauseKind, Fact
from processors.events.holds import RequestHeld, RequestQuestioned, RequestReleased
from processors.events.patients import StudyChangeFound, TwoNamesFound, TwoPatientsFound, TwoPatientsResolved
from processors.events.pseudonyms import (
    AutoidProjectDoubted,
    AutoidProjectFact,
    AutoidProjectRemoved,
    StudyHeld,
    StudyReleased,
)
from processors.events.rules import (
    ConflictFound,
    ConflictResolved,
    CouplingEntryDoubted,
    CouplingEntryFact,
    CouplingEntryRemoved,
    DecisionDeferred,
    ExpectedStudyMissing,
    ExpectedStudyNeverCame,
    RoutingRuleDoubted,
    RoutingRuleFact,
    RoutingRuleRemoved,
    RuleTimedOut,
)
from processors.events.transfers import TransferPlaced, TransferRequested, TransferRetracted, TransferWithdrawn
from processors.events.withdrawals import (
    ParticipantWithdrew,
    WithdrawalEntryDoubted,
    WithdrawalEntryFact,
    WithdrawalEntryRemoved,
)
from processors.explain.sentences import SETTLED_BY, cause_name, hold_in_words
from processors.gateway import Work


class PlannedChange(NamedTuple):
    """One change: of a study's transfer to a project, or of its rows; or of what is believed of a list in REDCap.

    `project`, `event_name` and `study` may be blank.
    """

    project: str
    study: str
    event_name: str
    change: str
    why: str


def planned_changes(work: Work, after: int) -> list[PlannedChange]:
    """The changes that the events after this position stand for, by project and study."""
    changes: dict[int, PlannedChange] = {}
    for event in store.read(work.connection, after=after, types=[*_TYPES, TransferPlaced.__name__]):
        if event.type in _TYPES:
            change = _planned(_TYPES[event.type].read(event))
            if change is not None:
                changes[event.position] = change
            continue
        placed = TransferPlaced.read(event)
        if placed.found and placed.request in changes:
            request = changes[placed.request]
            changes[placed.request] = request._replace(change="leave: REDCap holds the same request")
    return sorted(changes.values())


def _planned(fact: Fact) -> PlannedChange | None:
    words = _WORDS[type(fact)](fact)
    if words is None:
        return None
    project, study, event_name = (getattr(fact, name, "") or "" for name in ("project", "study", "event_name"))
    return PlannedChange(project, study, event_name, *words)


Words = tuple[str, str]
"""What changes, and why."""


def _requested(fact: TransferRequested) -> Words:
    return "change its request" if fact.replaces else "request", cause_name(fact.cause.kind, fact.cause.record_id)


def _replaced(fact: TransferWithdrawn) -> Words | None:
    return ("report", "it was sent under the old request") if fact.fate == "sent" else None


def _changed(fact: StudyChangeFound) -> Words | None:
    """Of requests that end, their ending tells."""
    if fact.consequence != "stands":
        return None
    return "report", f"its request stands, though the study has changed ({', '.join(fact.changed)})"


def _directive(fact: RoutingRuleFact | CouplingEntryFact) -> str:
    kind: CauseKind = "rule" if isinstance(fact, RoutingRuleFact) else "coupling"
    return cause_name(kind, fact.record_id)


def _entry(record_id: str) -> str:
    return cause_name("coupling", record_id)


def _names(causes: Iterable[Cause]) -> str:
    return ", ".join(cause_name(cause.kind, cause.record_id) for cause in causes)


def _project(fact: AutoidProjectFact) -> str:
    return f"record {fact.record_id} of the projects"


def _withdrawal(fact: WithdrawalEntryFact) -> str:
    return f"record {fact.record_id} of the withdrawals"


def _doubted(name: str) -> Words:
    return "doubt, and decide nothing by it", f"{name} is missing from REDCap's export"


def _removed(name: str) -> Words:
    return "take for removed", f"{name} is missing once more from REDCap's export"


def _row(fact: RowFact) -> str:
    return f"{fact.kind} {fact.key}".strip()


_WORDS: Mapping[type[Fact], Callable[[Any], Words | None]] = {
    RoutingRuleDoubted: lambda fact: _doubted(_directive(fact)),
    RoutingRuleRemoved: lambda fact: _removed(_directive(fact)),
    CouplingEntryDoubted: lambda fact: _doubted(_directive(fact)),
    CouplingEntryRemoved: lambda fact: _removed(_directive(fact)),
    AutoidProjectDoubted: lambda fact: _doubted(_project(fact)),
    AutoidProjectRemoved: lambda fact: _removed(_project(fact)),
    ExpectedStudyMissing: lambda fact: ("report a study that is expected and not here", _entry(fact.record_id)),
    ExpectedStudyNeverCame: lambda fact: ("report a study that never came", _entry(fact.record_id)),
    DecisionDeferred: lambda fact: (
        "leave undecided",
        f"it depends on what is not usable: {_names(fact.causes)}",
    ),
    TransferRequested: _requested,
    TransferRetracted: lambda fact: ("withdraw its request", fact.reason),
    TransferWithdrawn: _replaced,
    StudyChangeFound: _changed,
    TwoPatientsFound: lambda fact: ("hold", f"its series are of {len(fact.patients)} patients"),
    TwoPatientsResolved: lambda _: ("release", "its series are of one patient again"),
    TwoNamesFound: lambda fact: ("report one PatientID, two names", f"other studies: {', '.join(fact.studies)}"),
    RequestHeld: lambda fact: (
        "hold",
        f"{hold_in_words(fact.kind, fact.details, fact.studies)}. {SETTLED_BY[fact.kind]}",
    ),
    RequestQuestioned: lambda fact: ("report", hold_in_words(fact.kind, fact.details, fact.studies)),
    RequestReleased: lambda _: ("release what was held", ""),
    ConflictFound: lambda fact: ("report a conflict", fact.kind),
    ConflictResolved: lambda _: ("settle a conflict", ""),
    RuleTimedOut: lambda fact: ("report a rule", f"routing rule {fact.record_id} ran out of time"),
    StudyHeld: lambda fact: ("hold", fact.reason),
    StudyReleased: lambda fact: ("release", fact.reason),
    ParticipantWithdrew: lambda fact: ("withdraw a participant", fact.reason),
    WithdrawalEntryDoubted: lambda fact: _doubted(_withdrawal(fact)),
    WithdrawalEntryRemoved: lambda fact: ("report a removed withdrawal, which stands", _withdrawal(fact)),
    RowMissing: lambda fact: ("report a missing row", _row(fact)),
    RowRestored: lambda fact: ("write a missing row", _row(fact)),
}
_TYPES = {fact.__name__: fact for fact in _WORDS}
