"""What would be requested under other rules: two tables tried on all that was recorded, nothing written.

Both are evaluated by the code that decides in a run, on studies as if they had just arrived, together with the
coupling entries in force; what differs is told per study, project and event.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from ledger.batching import Progress, batches
from processors.events.fact import Cause
from processors.explain.near_miss import Matching
from processors.explain.policy import InForce
from processors.explain.recorded import OFTEN, Said, forgotten_studies, recorded_studies, said_by_studies
from processors.gateway import Work
from processors.requests import IN_FORCE, Key
from processors.routing.checks import Check, IntendedRequest, Place, objections
from processors.routing.circuit_breaker import CircuitBreaker
from processors.routing.decisions import Candidate, Obstacle
from processors.routing.evaluate import Directives, judge
from processors.routing.evidence import Evidence
from processors.routing.patients import Patient, patients_of
from processors.routing.rules import Identity, Rule
from processors.stored_requests import requests_of

ChangeKind = Literal["gains", "loses", "changes", "conflict arises", "conflict goes"]
CHANGE_KINDS: Sequence[ChangeKind] = ("gains", "loses", "changes", "conflict arises", "conflict goes")

_BATCH = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What deciding one study came to for one project and event. `pseudonym` is for comparing; None: a conflict.

    `whole_match` is false where a rule's pattern matches the start of the text only.
    """

    pseudonym: str | None = field(repr=False)
    causes: tuple[Cause, ...]
    whole_match: bool = True

    @property
    def is_conflict(self) -> bool:
        """Whether nothing is requested because those who ask contradict each other."""
        return self.pseudonym is None


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestChange:
    """What would differ for one study, project and event; None: nothing is asked for.

    `stands` is the state of a request that is in force for them: "placed" or "sent", for example; "adopted"
    where REDCap held one before this system. `held` is why what is asked for after the change would be held.
    """

    study: str
    key: Key
    before: Decision | None
    after: Decision | None
    stands: str = ""
    held: Obstacle | None = None

    @property
    def kinds(self) -> tuple[ChangeKind, ...]:
        """What happens to the request, and to a conflict."""
        before, after = _pseudonym(self.before), _pseudonym(self.after)
        happens: Mapping[ChangeKind, bool] = {
            "gains": before is None and after is not None,
            "loses": before is not None and after is None,
            "changes": before is not None and after is not None,
            "conflict arises": _is_conflict(self.after) and not _is_conflict(self.before),
            "conflict goes": _is_conflict(self.before) and not _is_conflict(self.after),
        }
        return tuple(kind for kind in CHANGE_KINDS if happens[kind])


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """What other rules would change. `studies`: how many were looked at, `forgotten` of them without identity,
    `of_two_patients` so that no rule is tried on them.

    `changed_rules` are those in which the tables differ, `late` those that ran out of time, `left_out` those of
    them that were then left out of both tables.
    """

    studies: int
    forgotten: int
    of_two_patients: int
    changed_rules: Sequence[str]
    changes: Sequence[RequestChange]
    late: Sequence[str]
    left_out: Sequence[str]

    def by_project(self) -> dict[str, Counter[ChangeKind]]:
        """How many studies gain, lose and so on, for each project."""
        studies: dict[str, set[tuple[ChangeKind, str]]] = {}
        for change in self.changes:
            studies.setdefault(change.key.project, set()).update((kind, change.study) for kind in change.kinds)
        return {project: Counter(kind for kind, _ in pairs) for project, pairs in sorted(studies.items())}


def changed_table(current: Iterable[Rule], given: Iterable[Rule], *, whole: bool) -> dict[str, Rule]:
    """The table after the change: `given` rules replace those of the same record id, or with `whole` all others."""
    kept = [] if whole else current
    return {rule.record_id: rule for rule in (*kept, *given)}


def compare(
    work: Work,
    directed: InForce,
    changed: Mapping[str, Rule],
    matching: Matching,
    *,
    checks: Sequence[Check],
    since: datetime | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """What the changed rules would change for the studies that arrived `since`; what gains a request is checked."""
    differing = {r for r in directed.rules.keys() | changed.keys() if directed.rules.get(r) != changed.get(r)}
    concerned = {_key(table[record]) for table in (directed.rules, changed) for record in differing if record in table}
    breaker = CircuitBreaker(OFTEN)
    before = _Table(directed, directed.rules, concerned, matching, breaker)
    after = _Table(directed, changed, concerned, matching, breaker)
    said = said_by_studies(work, since)
    touched = _touched(said, before, after)
    several = patients_of(work, [study for study, each in said.items() if len(each.subjects) > 1])
    changes: list[RequestChange] = []
    for evidence in recorded_studies(work, touched, progress):
        anew = replace(evidence, adopted={})
        changes.extend(_changes(evidence, before.decide(anew), after.decide(anew)))
    return Comparison(
        studies=len(said),
        forgotten=forgotten_studies(work, since),
        of_two_patients=sum(len(patients) > 1 for patients in several.values()),
        changed_rules=sorted(differing),
        changes=_with_standing(work, _with_holds(work, changes, checks)),
        late=sorted(breaker.late),
        left_out=sorted(breaker.open),
    )


def _touched(said: Mapping[str, Said], before: "_Table", after: "_Table") -> list[str]:
    """The studies of which the two tables do not ask the same: only they have to be decided upon.

    Each patient is tried once with each AE title. Of a study whose series have said several things, what they come to
    is not known yet.
    """
    identities = set().union(*(each.identities for each in said.values()))
    differing = {
        identity for identity in identities if (asked := before.asks(identity)) is None or asked != after.asks(identity)
    }
    return sorted(study for study, each in said.items() if each.restated or each.identities & differing)


class _Table:
    """Rules to decide by, but for those that the breaker keeps out.

    Only those that ask for something that is `concerned`: the others say the same in both tables, and what is
    asked for one project and event does not depend on what is asked for another.
    """

    def __init__(
        self,
        directed: InForce,
        rules: Mapping[str, Rule],
        concerned: Collection[Key],
        matching: Matching,
        breaker: CircuitBreaker,
    ) -> None:
        self._directed = directed
        self._rules = [rule for rule in rules.values() if _key(rule) in concerned]
        self._matching = matching
        self._breaker = breaker
        self._lay_out()

    def asks(self, identity: Identity) -> set[tuple[str, Key, str]] | None:
        """What each rule asks for of a series that says this; None: one of them has no answer in time."""
        self._leave_out()
        hits, timed_out = self._directives.router.hits(identity)
        self._breaker.note(rule.record_id for rule in timed_out)
        return None if timed_out else {(hit.rule.record_id, _key(hit.rule), hit.pseudonym) for hit in hits}

    def decide(self, evidence: Evidence) -> dict[Key, Decision]:
        """What is requested for the study, and what conflicts."""
        self._leave_out()
        judgement = judge(evidence, self._directives)
        self._breaker.note(judgement.timed_out)
        decisions = {request.candidate.key: _decision(request.candidate) for request in judgement.outcome.requests}
        conflicts = judgement.outcome.conflicts
        return decisions | {conflict.key: Decision(pseudonym=None, causes=conflict.causes) for conflict in conflicts}

    def _leave_out(self) -> None:
        if self._breaker.open != self._without:
            self._lay_out()

    def _lay_out(self) -> None:
        self._without = self._breaker.open
        kept = [rule for rule in self._rules if rule.record_id not in self._without]
        self._directives: Directives = self._directed.directives(kept, self._matching)


def _decision(candidate: Candidate) -> Decision:
    return Decision(pseudonym=candidate.pseudonym, causes=(candidate.cause,), whole_match=candidate.whole_match)


def _key(rule: Rule) -> Key:
    return Key(rule.project, rule.event_name)


def _changes(evidence: Evidence, before: Mapping[Key, Decision], after: Mapping[Key, Decision]) -> list[RequestChange]:
    return [
        RequestChange(
            study=evidence.study,
            key=key,
            before=before.get(key),
            after=after.get(key),
            stands="adopted" if key in evidence.adopted else "",
        )
        for key in sorted(before.keys() | after.keys())
        if _says(before.get(key)) != _says(after.get(key))
    ]


def _says(decision: Decision | None) -> tuple[bool, str | None]:
    """What matters of it: another cause for the same request changes nothing."""
    return _is_conflict(decision), _pseudonym(decision)


def _pseudonym(decision: Decision | None) -> str | None:
    return None if decision is None else decision.pseudonym


def _is_conflict(decision: Decision | None) -> bool:
    return decision is not None and decision.is_conflict


def _with_holds(work: Work, changes: Sequence[RequestChange], checks: Sequence[Check]) -> list[RequestChange]:
    """The changes, each with what would be in the way of what is asked for then."""
    checked: list[RequestChange] = []
    for some in batches(changes, _BATCH):
        patients = patients_of(work, {change.study for change in some})
        intended = [_intended(change, patients.get(change.study, ())) for change in some if _pseudonym(change.after)]
        by_place = objections(work, intended, checks)
        for change in some:
            objection = by_place.get(Place(change.study, change.key))
            held = objection.obstacle if objection is not None and objection.holds else None
            checked.append(replace(change, held=held))
    return checked


def _intended(change: RequestChange, patients: Sequence[Patient]) -> IntendedRequest:
    after = change.after
    if after is None or after.pseudonym is None:
        raise ValueError("nothing is asked for after the change")
    candidate = Candidate(
        key=change.key,
        pseudonym=after.pseudonym,
        cause=after.causes[0],
        asks_since=0,
        whole_match=after.whole_match,
    )
    return IntendedRequest(study=change.study, candidate=candidate, patient=patients[0] if len(patients) == 1 else None)


def _with_standing(work: Work, changes: Sequence[RequestChange]) -> list[RequestChange]:
    """The changes, each with what stands of a request of ours for the same project and event."""
    stands: dict[tuple[str, Key], str] = {}
    for studies in batches(sorted({change.study for change in changes}), _BATCH):
        for requests in requests_of(work, studies, states=(*IN_FORCE, "ending")).values():
            for request in requests:
                stands[request.study, request.key] = "sent" if request.was_sent else request.state
    return [replace(change, stands=stands.get((change.study, change.key), change.stands)) for change in changes]
