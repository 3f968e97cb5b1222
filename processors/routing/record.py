"""Recording what was decided: a study's requests, retractions and conflicts as events, pseudonyms sealed."""

from collections.abc import Iterator, Sequence

from ledger.events import NewEvent
from ledger.vault import SubjectName
from processors.events.fact import Fact, OfStudy
from processors.events.holds import RequestHeld, RequestQuestioned, RequestReleased
from processors.events.patients import StudyChangeFound, TwoPatientsFound, TwoPatientsResolved
from processors.events.rules import (
    ConflictFound,
    ConflictResolved,
    DecisionDeferred,
    DecisionResumed,
    RuleTimedOut,
    RuleTimeoutResolved,
)
from processors.events.transfers import TransferRequested, TransferRetracted
from processors.gateway import Work
from processors.routing.decisions import HeldRequest, NewRequest
from processors.routing.evaluate import Judgement
from processors.routing.evidence import Evidence


def decision_events(work: Work, judgements: Sequence[Judgement]) -> list[Fact | NewEvent]:
    """The events that hold these decisions."""
    work.vault.load(work.connection, (judgement.evidence.subject for judgement in judgements))
    return [event for judgement in judgements for event in _events_of(work, judgement)]


def _events_of(work: Work, judgement: Judgement) -> Iterator[Fact | NewEvent]:
    study, outcome = judgement.evidence.study, judgement.outcome
    yield from _about_the_study(judgement)
    for key in judgement.released:
        yield RequestReleased(study=study, **key._asdict())
    for request in outcome.requests:
        yield _requested(work, judgement.evidence, request)
    for key, obstacle in outcome.questioned:
        yield RequestQuestioned(study=study, **key._asdict(), **obstacle._asdict())
    for held in judgement.newly_held:
        yield _held(work, judgement.evidence, held)
    for retraction in outcome.retractions:
        yield TransferRetracted(
            study=study,
            project=retraction.request.project,
            request=retraction.request.position,
            reason=retraction.reason,
            cause=retraction.cause,
        )
    for conflict in outcome.conflicts:
        yield ConflictFound(study=study, **conflict.key._asdict(), kind=conflict.kind, causes=conflict.causes)
    for key in outcome.resolved:
        yield ConflictResolved(study=study, **key._asdict())
    yield from _left_open(judgement)


def _about_the_study(judgement: Judgement) -> Iterator[Fact]:
    """What its series say of whose it is, and what that means for its requests."""
    study = judgement.evidence.study
    if judgement.two_patients is not None:
        yield TwoPatientsFound(study=study, patients=judgement.two_patients)
    if judgement.one_again:
        yield TwoPatientsResolved(study=study)
    for reviewed in judgement.outcome.reviewed:
        yield StudyChangeFound(
            study=study,
            project=reviewed.request.project,
            request=reviewed.request.position,
            changed=reviewed.changed,
            consequence=reviewed.consequence,
        )


def _left_open(judgement: Judgement) -> Iterator[Fact]:
    """What could not be decided, or can be at last."""
    study = judgement.evidence.study
    for deferral in judgement.deferred:
        yield DecisionDeferred(
            study=study, **deferral.key._asdict(), causes=deferral.causes, restores=deferral.restores
        )
    for key in judgement.resumed:
        yield DecisionResumed(study=study, **key._asdict())
    for record in sorted(judgement.timed_out):
        yield RuleTimedOut(study=study, record_id=record)
    for record in sorted(judgement.recovered):
        yield RuleTimeoutResolved(study=study, record_id=record)


def _requested(work: Work, evidence: Evidence, request: NewRequest) -> NewEvent:
    """The request's event. Its pseudonym is sealed: a rule takes it from the patient's ID or name."""
    candidate = request.candidate
    requested = TransferRequested(
        study=evidence.study,
        **candidate.key._asdict(),
        cause=candidate.cause,
        whole_match=candidate.whole_match,
        replaces=request.replaces,
        name_fingerprint=request.name_fingerprint,
        patient=None if request.patient is None else str(request.patient),
        pseudonym=candidate.pseudonym,
    )
    return _sealed(work, evidence, requested)


def _held(work: Work, evidence: Evidence, held: HeldRequest) -> NewEvent:
    candidate, obstacle = held.candidate, held.obstacle
    fact = RequestHeld(
        study=evidence.study,
        **candidate.key._asdict(),
        **obstacle._asdict(),
        cause=candidate.cause,
        whole_match=candidate.whole_match,
        name_fingerprint=held.name_fingerprint,
        patient=None if held.patient is None else str(held.patient),
        pseudonym=candidate.pseudonym,
    )
    return _sealed(work, evidence, fact)


def _sealed(work: Work, evidence: Evidence, fact: OfStudy) -> NewEvent:
    if evidence.shared or not work.vault.holds(evidence.subject):
        # Sealed for the study alone: the pseudonym may be the ID of either patient, and goes when one of them
        # is forgotten; or the patient was forgotten, yet a person couples the study again.
        return work.seal(fact, SubjectName("study", "", evidence.study))
    return work.seal(fact, evidence.subject)
