"""Checking what is about to be requested: each check looks at what is asked for, and tells what is in its way.

They look at what deciding came to, for many studies at once, because some have to ask the ledger. What one check has
objected to, the next ones do not see.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from processors.gateway import Work
from processors.requests import Key
from processors.routing.decisions import Candidate, Obstacle
from processors.routing.evaluate import Judgement
from processors.routing.holds import hold, question
from processors.routing.patients import Patient


@dataclass(frozen=True, kw_only=True, slots=True)
class IntendedRequest:
    """A request about to be made. `patient` is that of all its series on disk, None where there is none or several."""

    study: str
    candidate: Candidate
    patient: Patient | None

    @property
    def place(self) -> "Place":
        """What it is asked for."""
        return Place(self.study, self.candidate.key)


class Place(NamedTuple):
    """What one request at most may stand for."""

    study: str
    key: Key


class Objection(NamedTuple):
    """What is in the way of a request; where it does not hold it, it is made, and a person is told."""

    obstacle: Obstacle
    holds: bool = True


Objections = Mapping[Place, Objection]
Check = Callable[[Work, Sequence[IntendedRequest]], Objections]


def checked(work: Work, judgements: Sequence[Judgement], checks: Sequence[Check]) -> list[Judgement]:
    """The judgements, with those requests held, or questioned, that a check objects to."""
    for check in checks:
        intended = [each for judgement in judgements for each in _intended(judgement)]
        objected = check(work, intended) if intended else {}
        judgements = [with_objections(judgement, objected) for judgement in judgements]
    return list(judgements)


def objections(work: Work, intended: Sequence[IntendedRequest], checks: Sequence[Check]) -> dict[Place, Objection]:
    """What the checks have to object to what is intended. One that holds a request counts before one that does not."""
    by_place: dict[Place, Objection] = {}
    for check in checks:
        left = [each for each in intended if each.place not in by_place or not by_place[each.place].holds]
        if left:
            new = check(work, left)
            by_place |= {place: each for place, each in new.items() if each.holds or place not in by_place}
    return by_place


def _intended(judgement: Judgement) -> list[IntendedRequest]:
    evidence = judgement.evidence
    patient = evidence.patients[0] if len(evidence.patients) == 1 else None
    return [
        IntendedRequest(study=evidence.study, candidate=each.candidate, patient=patient)
        for each in judgement.outcome.requests
    ]


def with_objections(judgement: Judgement, by_place: Objections) -> Judgement:
    """The judgement, with the requests held or questioned that something is objected to."""
    mine = {place.key: each for place, each in by_place.items() if place.study == judgement.evidence.study}
    if not mine:
        return judgement
    held = {key: each.obstacle for key, each in mine.items() if each.holds}
    shown = {key: each.obstacle for key, each in mine.items() if not each.holds}
    outcome = question(hold(judgement.outcome, held, judgement.evidence.standing), shown)
    return replace(judgement, outcome=outcome)
