"""Holding back what is asked for: a request that must not be made yet, and how it ends what it would replace. Pure.

What is in the way of a request is found by `checks`. What is held is decided again in each run.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from processors.events.fact import Cause
from processors.requests import Key, TransferRequest
from processors.routing.decisions import Candidate, HeldRequest, KnownHold, Obstacle, Outcome, Retraction
from processors.routing.evidence import Evidence


def held_candidates(evidence: Evidence) -> Iterator[Candidate]:
    """What an operator or a generated ID asks for and is held: nothing else asks for it again.

    A generated ID is its patient's, and goes where the study turns out to be somebody else's.
    """
    for key, hold in evidence.holds.items():
        is_given = hold.cause.kind == "operator" or (hold.cause.kind == "autoid" and not evidence.is_decided_anew)
        if is_given and hold.pseudonym is not None and not evidence.of_two_patients:
            yield Candidate(key=key, pseudonym=hold.pseudonym, cause=hold.cause, asks_since=hold.position)


def hold(outcome: Outcome, obstacles: Mapping[Key, Obstacle], standing: Sequence[TransferRequest]) -> Outcome:
    """The outcome, with the requests that have an obstacle held. What they would have replaced ends all the same."""
    held = [
        HeldRequest(
            candidate=each.candidate,
            obstacle=obstacles[each.candidate.key],
            replaces=each.replaces,
            name_fingerprint=each.name_fingerprint,
            patient=each.patient,
        )
        for each in outcome.requests
        if each.candidate.key in obstacles
    ]
    ended = {position for each in held for position in each.replaces}
    return replace(
        outcome,
        requests=[each for each in outcome.requests if each.candidate.key not in obstacles],
        held=[*outcome.held, *held],
        retractions=[*outcome.retractions, *(each for one in held for each in _endings(one, standing))],
        reviewed=[
            replace(each, consequence="withdrawn") if each.request.position in ended else each
            for each in outcome.reviewed
        ],
    )


def _endings(held: HeldRequest, standing: Iterable[TransferRequest]) -> Iterator[Retraction]:
    reason = f"what is asked for now is held ({held.obstacle.kind})"
    for request in standing:
        if request.position in held.replaces:
            yield Retraction(request=request, cause=held.candidate.cause, reason=reason)


def question(outcome: Outcome, obstacles: Mapping[Key, Obstacle]) -> Outcome:
    """The outcome, with all that speaks against requests that are made all the same."""
    made = {each.candidate.key for each in outcome.requests}
    questioned = [each for each in (*outcome.questioned, *obstacles.items()) if each[0] in made]
    return replace(outcome, questioned=questioned)


def newly_held(outcome: Outcome, known: Mapping[Key, KnownHold]) -> list[HeldRequest]:
    """Those held requests that were not held before, or for another reason, or as something else."""
    return [each for each in outcome.held if not _is_known(each, known.get(each.candidate.key))]


def _is_known(held: HeldRequest, known: KnownHold | None) -> bool:
    if known is None:
        return False
    # An entry that only moved in its list has another position, and asks for the same.
    same_cause = _without_position(held.candidate.cause) == _without_position(known.cause)
    return same_cause and (held.obstacle, held.candidate.pseudonym) == (known.obstacle, known.pseudonym)


def _without_position(cause: Cause) -> tuple[str, str]:
    return cause.kind, cause.record_id


def released(outcome: Outcome, known: Iterable[Key], left_open: Iterable[Key]) -> list[Key]:
    """What was held and is not any more; where that is left open, it stays held."""
    still = {each.candidate.key for each in outcome.held} | set(left_open)
    return [key for key in sorted(known) if key not in still]
