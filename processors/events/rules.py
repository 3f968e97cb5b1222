"""What people direct in REDCap, and what was decided by it.

A routing rule stands in `rule/RECORD`, an entry of the coupling list in `coupling/RECORD`, a site's progress in
`decisions/SITE`; all else in `study/UID`.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from processors.events.cause import CAUSES, Cause
from processors.events.fact import LIST, Fact, Nested, StudyFact
from processors.events.streams import coupling_stream, decision_stream, rule_stream

ConflictKind = Literal["equals", "person", "coupling stands"]
Action = Literal["retract", "reassign"]


@dataclass(frozen=True, kw_only=True, slots=True)
class _RuleFact(Fact):
    record_id: str

    @property
    def stream(self) -> str:
        """The stream of the rule."""
        return rule_stream(self.record_id)


@dataclass(frozen=True, kw_only=True, slots=True)
class RoutingRuleChanged(_RuleFact):
    """A routing rule is new in REDCap, or says something else now.

    `called` and `calling` are AE titles; `problems` say, for a person, why it cannot be used; `fingerprint` is a
    keyed hash of all that it says.
    """

    nested: ClassVar[dict[str, Nested]] = {"problems": LIST}

    active: bool
    project: str
    called: str
    calling: str
    patient_id_pattern: str
    patient_name_pattern: str
    event_name: str
    problems: tuple[str, ...]
    fingerprint: str


class RoutingRuleRemoved(_RuleFact):
    """A routing rule is no longer in REDCap."""

    __slots__ = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class _EntryFact(Fact):
    record_id: str

    @property
    def stream(self) -> str:
        """The stream of the entry."""
        return coupling_stream(self.record_id)


@dataclass(frozen=True, kw_only=True, slots=True)
class CouplingEntryChanged(_EntryFact):
    """An entry of the coupling list is new in REDCap, or says something else now.

    It names a study by `accession` number, by its UID (`study`), or both. `subject_id` is the pseudonym that it asks
    for. `problems` say, for a person, why it cannot be used; `fingerprint` is a keyed hash of all that it says.
    """

    sealed = frozenset({"subject_id"})
    nested: ClassVar[dict[str, Nested]] = {"problems": LIST}

    accession: str
    study: str
    project: str
    event_name: str
    date: str
    problems: tuple[str, ...]
    fingerprint: str
    subject_id: str | None = None


class CouplingEntryRemoved(_EntryFact):
    """An entry of the coupling list is no longer in REDCap."""

    __slots__ = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class DecisionsMade(Fact):
    """A site has decided about all that was recorded up to a position.

    `studies` is how many were looked at.
    """

    site: str
    position: int
    studies: int

    @property
    def stream(self) -> str:
        """The stream of the site's decisions."""
        return decision_stream(self.site)


@dataclass(frozen=True, kw_only=True, slots=True)
class ConflictFound(StudyFact):
    """A study is asked for under different pseudonyms, for the same project and event.

    `kind`: two rules or two entries contradict each other ("equals"), a person requested another pseudonym in REDCap
    ("person"), or a rule contradicts what the coupling list asked for before ("coupling stands"). `request` is the
    position of the request of ours that is contested, where one is.
    """

    nested: ClassVar[dict[str, Nested]] = {"causes": CAUSES}

    project: str
    event_name: str
    kind: ConflictKind
    causes: tuple[Cause, ...]
    request: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ConflictResolved(StudyFact):
    """The conflict about a study, in that project and event, is over."""

    project: str
    event_name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _RuleOfStudyFact(StudyFact):
    record_id: str


class RuleTimedOut(_RuleOfStudyFact):
    """A routing rule's pattern ran out of time on a study, and matched nothing."""

    __slots__ = ()


class RuleTimeoutResolved(_RuleOfStudyFact):
    """A routing rule no longer runs out of time on a study."""

    __slots__ = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class DecidedByHand(StudyFact):
    """An operator withdrew a study's request for a project ("retract"), or gave it another pseudonym ("reassign")."""

    project: str
    event_name: str
    action: Action
    by: str
    reason: str
