"""What people direct in REDCap, and what deciding by it comes to."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from processors.events.fact import Cause, Fact, OfStudy

ConflictKind = Literal["equals", "person", "coupling stands"]
Action = Literal["retract", "reassign"]


class RoutingRuleFact(Fact, frozen=True, kw_only=True):
    """Something about a routing rule, by its record id in REDCap."""

    record_id: str

    @property
    def stream(self) -> str:
        """The rule's."""
        return f"rule/{self.record_id}"


class RoutingRuleChanged(RoutingRuleFact, frozen=True, kw_only=True):
    """A routing rule is new, or reads otherwise now. `problems` keep it from being used.

    `changed_by` is the REDCap user who made it read so, `changed_at` when, by REDCap's own clock: None where its log
    did not tell.
    """

    active: bool
    project: str
    called: str
    calling: str
    patient_id_pattern: str
    patient_name_pattern: str
    event_name: str
    problems: tuple[str, ...]
    fingerprint: str
    changed_by: str | None = None
    changed_at: str | None = None


class RoutingRuleDoubted(RoutingRuleFact, frozen=True, kw_only=True):
    """A routing rule is missing from an export, which may have left it out: not yet believed to be gone."""


class RoutingRuleReturned(RoutingRuleFact, frozen=True, kw_only=True):
    """A doubted routing rule is there again, as it was."""


class RoutingRuleRemoved(RoutingRuleFact, frozen=True, kw_only=True):
    """A routing rule is gone from REDCap: two runs in succession have missed it. Who deleted it is as in a change."""

    changed_by: str | None = None
    changed_at: str | None = None


class CouplingEntryFact(Fact, frozen=True, kw_only=True):
    """Something about a record of the coupling list."""

    record_id: str

    @property
    def stream(self) -> str:
        """The record's."""
        return coupling_stream(self.record_id)


class CouplingEntryChanged(CouplingEntryFact, frozen=True, kw_only=True):
    """A coupling entry is new, or reads otherwise now.

    `asks_fingerprint` is of what it asks for: everything but its date. The subject ID is sealed, and the accession
    number, which leads to a patient; `accession` is the subject that this is, blank where the entry names none. Who
    changed it is told as of a rule.
    """

    SEALED: ClassVar[frozenset[str]] = frozenset({"subject_id", "accession_number"})

    accession: str
    study: str
    project: str
    event_name: str
    date: str
    problems: tuple[str, ...]
    fingerprint: str
    asks_fingerprint: str
    changed_by: str | None = None
    changed_at: str | None = None
    subject_id: str | None = None
    accession_number: str | None = None


class CouplingEntryDoubted(CouplingEntryFact, frozen=True, kw_only=True):
    """A coupling entry is missing from an export, which may have left it out: not yet believed to be gone."""


class CouplingEntryReturned(CouplingEntryFact, frozen=True, kw_only=True):
    """A doubted coupling entry is there again, as it was."""


class CouplingEntryRemoved(CouplingEntryFact, frozen=True, kw_only=True):
    """A coupling entry is gone from REDCap: two runs in succession have missed it. Who deleted it is as in a change."""

    changed_by: str | None = None
    changed_at: str | None = None


class ExpectedStudyFact(Fact, frozen=True, kw_only=True):
    """Something about a study that a coupling entry asks for since the event at `asked`, and that was not there."""

    record_id: str
    asked: int

    @property
    def stream(self) -> str:
        """That of what the record of the coupling list waits for."""
        return f"expected/{self.record_id}"


class ExpectedStudyMissing(ExpectedStudyFact, frozen=True, kw_only=True):
    """It has not come for days. `near`: studies that nearly match, and what keeps each from matching."""

    near: Mapping[str, str]


class ExpectedStudyArrived(ExpectedStudyFact, frozen=True, kw_only=True):
    """It has come after all."""


class ExpectedStudyNeverCame(ExpectedStudyFact, frozen=True, kw_only=True):
    """Its entry is gone from the coupling list, and it never came."""

    near: Mapping[str, str]


class ExpectedStudyDismissed(ExpectedStudyFact, frozen=True, kw_only=True):
    """An operator has looked into why it never came."""

    by: str
    reason: str


class RecordFact(Fact, frozen=True, kw_only=True):
    """Something about a record of our REDCap project `routing`, `coupling`, `projects`, `incoming` or `transfers`."""

    redcap_project: str
    record_id: str

    @property
    def stream(self) -> str:
        """The REDCap project's."""
        return f"redcap/{self.redcap_project}"


class RecordUnreadable(RecordFact, frozen=True, kw_only=True):
    """REDCap cannot answer for the record; what the ledger has of it stands, and is doubted."""

    message: str


class RecordReadable(RecordFact, frozen=True, kw_only=True):
    """REDCap answers for the record again, or it is gone."""


class DecisionsMade(Fact, frozen=True, kw_only=True):
    """The site has decided about all that was recorded up to `position`; so many studies were looked at."""

    site: str
    position: int
    studies: int

    @property
    def stream(self) -> str:
        """The site's progress in deciding."""
        return decision_stream(self.site)


class DecisionDeferred(OfStudy, frozen=True, kw_only=True):
    """What is requested for a project and event depends on doubted rules or entries (`causes`): nothing is decided.

    `restores` are requests that a replay is to write again if they prove to be asked for.
    """

    project: str
    event_name: str
    causes: tuple[Cause, ...]
    restores: tuple[int, ...] = ()


class DecisionResumed(OfStudy, frozen=True, kw_only=True):
    """A deferred decision depends on nothing doubted any more, and was made."""

    project: str
    event_name: str


class ConflictFound(OfStudy, frozen=True, kw_only=True):
    """Rules, entries or people contradict each other; nothing is placed for them.

    `request` is the one of ours that a person's contests, None where none was made.
    """

    project: str
    event_name: str
    kind: ConflictKind
    causes: tuple[Cause, ...]
    request: int | None = None


class ConflictResolved(OfStudy, frozen=True, kw_only=True):
    """A contradiction is over."""

    project: str
    event_name: str


class RuleTimedOut(OfStudy, frozen=True, kw_only=True):
    """A rule's pattern ran longer than its time limit, here or so often that it was not tried: it matches nothing."""

    record_id: str


class RuleTimeoutResolved(OfStudy, frozen=True, kw_only=True):
    """A rule that had run out of time gives an answer now."""

    record_id: str


class DecidedByHand(OfStudy, frozen=True, kw_only=True):
    """An operator has decided about a study and project (an override); `event_name` is None for all its events."""

    project: str
    event_name: str | None
    action: Action
    by: str
    reason: str


def coupling_stream(record_id: str) -> str:
    """The stream of a record of the coupling list."""
    return f"coupling/{record_id}"


def decision_stream(site: str) -> str:
    """The stream of a site's progress in deciding, replays included."""
    return f"decisions/{site}"
