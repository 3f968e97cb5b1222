"""Recording what was judged: a study's requests, retractions and conflicts as events, pseudonyms sealed."""

from collections.abc import Sequence
from typing import Any

from ledger.events import NewEvent, new_event_id
from ledger.vault import SubjectName
from processors.events.types import EventType, study_stream
from processors.gateway import Work
from processors.routing import decisions
from processors.routing.evaluate import Judgement
from processors.routing.study_state import Evidence


def decision_events(work: Work, judgements: Sequence[Judgement]) -> list[NewEvent]:
    """The events that hold these judgements."""
    work.vault.load(work.connection, (judgement.evidence.subject for judgement in judgements))
    return [event for judgement in judgements for event in _events_of(work, judgement)]


def _events_of(work: Work, judgement: Judgement) -> list[NewEvent]:
    study, outcome = judgement.evidence.study, judgement.outcome
    events = [_requested(work, judgement.evidence, request) for request in outcome.requests]

    def plain(type_: EventType, **data: Any) -> NewEvent:
        return NewEvent(stream=study_stream(study), type=type_, data={"study": study, **data})

    events.extend(
        plain(
            EventType.TRANSFER_RETRACTED,
            project=retraction.request.key.project,
            request=retraction.request.position,
            reason=retraction.reason,
            cause=retraction.cause.as_data(),
        )
        for retraction in outcome.retractions
    )
    for conflict in outcome.conflicts:
        causes = [cause.as_data() for cause in conflict.causes]
        events.append(plain(EventType.CONFLICT_FOUND, **conflict.key._asdict(), kind=conflict.kind, causes=causes))
    events.extend(plain(EventType.CONFLICT_RESOLVED, **key._asdict()) for key in outcome.resolved)
    events.extend(plain(EventType.RULE_TIMED_OUT, record_id=record) for record in sorted(judgement.timed_out))
    events.extend(plain(EventType.RULE_TIMEOUT_RESOLVED, record_id=record) for record in sorted(judgement.recovered))
    return events


def _requested(work: Work, evidence: Evidence, request: decisions.Request) -> NewEvent:
    """The request's event. Its pseudonym is sealed: a rule takes it from the patient's ID or name."""
    candidate = request.candidate
    subject = evidence.subject
    if evidence.shared or not work.vault.holds(subject):
        # Sealed for the study alone: the pseudonym may be the ID of either patient, and goes when one of them
        # is forgotten; or the patient was forgotten, yet a person couples the study again.
        name = SubjectName("study", "", evidence.study)
        subject = work.vault.subjects(work.connection, [name])[name]
    event_id = new_event_id()
    return NewEvent(
        stream=study_stream(evidence.study),
        type=EventType.TRANSFER_REQUESTED,
        data={
            "study": evidence.study,
            **candidate.key._asdict(),
            "cause": candidate.cause.as_data(),
            "whole_match": candidate.whole_match,
            "replaces": list(request.replaces),
        },
        event_id=event_id,
        subject=subject,
        sealed=work.vault.seal(subject, event_id, {"pseudonym": candidate.pseudonym}),
    )
