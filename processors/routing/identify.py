"""Comparing what is decided with whose pseudonyms are in use: for the studies of a run, in a portion of them.

Where two patients come to claim one pseudonym in one run, neither gets it: what an earlier portion has requested, and
nobody has placed yet, is held as well.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from msgspec import structs

from ledger import store
from ledger.events import Event, NewEvent
from processors.events.fact import Fact
from processors.events.holds import RequestHeld, RequestQuestioned
from processors.events.transfers import TransferRequested, TransferRetracted
from processors.gateway import Work
from processors.requests import Key, TransferRequest
from processors.routing.checks import Objection, Place, with_objections
from processors.routing.decisions import Obstacle
from processors.routing.evaluate import Judgement
from processors.routing.identity import SHARED, SPLIT, Claim, Comparison, compare
from processors.routing.patients import Patient
from processors.stored_requests import requests_at


def identified(
    work: Work, judgements: Sequence[Judgement], *, holds_split: bool
) -> tuple[list[Judgement], list[Fact | NewEvent]]:
    """The judgements, with those requests held that would give a pseudonym to a second patient.

    Gives also what is to be recorded of other studies: that their requests are held, too.
    """
    claims = [claim for judgement in judgements for claim in _claims(judgement)]
    if not claims:
        return list(judgements), []
    ending = {position for judgement in judgements for position in _ending(judgement)}
    judged = {judgement.evidence.study for judgement in judgements}
    comparison = compare(work, claims, holds_split=holds_split, ending=ending, judged=judged)
    objections = dict(_still_held(judgements, comparison)) | comparison.objections
    named = [_with_names(judgement, comparison) for judgement in judgements]
    return [with_objections(each, objections) for each in named], list(_held_too(work, comparison))


def _claims(judgement: Judgement) -> Iterator[Claim]:
    evidence = judgement.evidence
    for request in judgement.outcome.requests:
        candidate = request.candidate
        place = Place(evidence.study, candidate.key)
        claim = Claim.of(place, candidate.pseudonym, candidate.cause.kind, evidence.patients, request.replaces)
        if claim is not None:
            yield claim


def _ending(judgement: Judgement) -> Iterator[int]:
    for request in judgement.outcome.requests:
        yield from request.replaces
    for retraction in judgement.outcome.retractions:
        yield retraction.request.position


def _still_held(judgements: Sequence[Judgement], comparison: Comparison) -> Iterator[tuple[Place, Objection]]:
    """What was held, whose patient nobody can tell any more: that somebody was forgotten requests nothing."""
    for judgement in judgements:
        for claim in _claims(judgement):
            known = judgement.evidence.holds.get(claim.place.key)
            if known is None or judgement.evidence.patients or known.obstacle.kind not in (SHARED, SPLIT):
                continue
            if known.name_fingerprint == comparison.names[claim.place].fingerprint:
                yield claim.place, Objection(known.obstacle)


def _with_names(judgement: Judgement, comparison: Comparison) -> Judgement:
    requests = []
    for request in judgement.outcome.requests:
        name = comparison.names.get(Place(judgement.evidence.study, request.candidate.key))
        if name is not None:
            request = replace(request, name_fingerprint=name.fingerprint, patient=name.patient)
        requests.append(request)
    return replace(judgement, outcome=replace(judgement.outcome, requests=requests))


def _held_too(work: Work, comparison: Comparison) -> Iterator[Fact | NewEvent]:
    """What this decision had requested before it met who else claims the pseudonym."""
    requests = requests_at(work, comparison.unplaced)
    events = store.read_positions(work.connection, comparison.unplaced)
    for position, studies in comparison.unplaced.items():
        request = requests[position]
        yield from held_after_all(work, request, events[position], Obstacle(SHARED, "", tuple(sorted(studies))))


def held_after_all(work: Work, request: TransferRequest, event: Event, obstacle: Obstacle) -> Iterator[Fact | NewEvent]:
    """The end of a request that was made, and what is held instead; nothing can be sealed for who was forgotten."""
    yield _retracted(request)
    held = held_instead(TransferRequested.read(event, {"pseudonym": request.pseudonym}), obstacle)
    if event.subject is not None and work.vault.holds(event.subject):
        yield work.seal(held, event.subject)


def _retracted(request: TransferRequest) -> TransferRetracted:
    """That a request is held after all."""
    return TransferRetracted(
        study=request.study,
        project=request.project,
        request=request.position,
        reason=f"what is asked for now is held ({SHARED})",
        cause=request.cause,
    )


def claim_of(requested: TransferRequested, patients: Sequence[Patient]) -> Claim | None:
    """The claim that a request about to be recorded makes."""
    place = Place(requested.study, Key(requested.project, requested.event_name))
    return Claim.of(place, requested.pseudonym or "", requested.cause.kind, patients, requested.replaces)


def outcome_of(
    requested: TransferRequested, comparison: Comparison
) -> Iterator[TransferRequested | RequestHeld | RequestQuestioned]:
    """The request with the name that is recorded of it, and what speaks against it; or what is held instead."""
    place = Place(requested.study, Key(requested.project, requested.event_name))
    name, objection = comparison.names.get(place), comparison.objections.get(place)
    if name is not None:
        patient = None if name.patient is None else str(name.patient)
        requested = structs.replace(requested, name_fingerprint=name.fingerprint, patient=patient)
    if objection is None:
        yield requested
    elif objection.holds:
        yield held_instead(requested, objection.obstacle)
    else:
        yield requested
        yield RequestQuestioned(study=place.study, **place.key._asdict(), **objection.obstacle._asdict())


def held_instead(requested: TransferRequested, obstacle: Obstacle) -> RequestHeld:
    """What is held instead of being requested."""
    return RequestHeld(
        study=requested.study,
        project=requested.project,
        event_name=requested.event_name,
        cause=requested.cause,
        whole_match=requested.whole_match,
        **obstacle._asdict(),
        name_fingerprint=requested.name_fingerprint,
        patient=requested.patient,
        pseudonym=requested.pseudonym,
    )
