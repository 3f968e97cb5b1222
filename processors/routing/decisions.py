"""Deciding what is requested for one study, and what happens where rules or entries conflict. Pure.

A candidate is what one rule or entry asks for. Candidates for the same project and event must agree
on the pseudonym; a coupling entry outranks a rule, because a person coupled this very study. What
stands from earlier runs is replaced where the new candidate says otherwise; whether the old request
is amended in place or left behind is settled at delivery, when REDCap tells whether it was sent.
Where the new candidates contradict each other, it ends as well: neither of two equals is placed.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple
from uuid import UUID

from processors.events.fact import Cause
from processors.events.holds import HoldKind
from processors.events.patients import Consequence
from processors.events.rules import ConflictKind
from processors.requests import Key, TransferRequest

CONTRADICTED = "what asks for it is contradicted"
"""Why a request ends about which equals contradict each other."""

REPLACED_IN_DOUBT = "what is asked for in its place is in doubt"
"""Why a request ends that is replaced in any case, where it is not known yet by what."""

ASKED_FOR_ANEW = 0
"""Where the row of a request is gone and whoever asks for it counts as asking after that."""

ByHand = Mapping[tuple[str, str | None], int]
"""The positions of what an operator decided, by project and event; None as the event: for all of the project's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """What one rule or entry asks for. `asks_since`: the position of the event since which it asks for just that."""

    key: Key
    pseudonym: str
    cause: Cause
    asks_since: int
    whole_match: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class NewRequest:
    """A request to be recorded, and the earlier ones that it replaces.

    `name_fingerprint` and `patient` are what is recorded of who uses its pseudonym, where that is compared.
    """

    candidate: Candidate
    replaces: tuple[int, ...] = ()
    name_fingerprint: str | None = None
    patient: UUID | None = None


class Obstacle(NamedTuple):
    """Why something that is asked for must not be requested yet.

    `details` says what about it is wrong, never a value of it; `studies` are others that are concerned.
    """

    kind: HoldKind
    details: str
    studies: tuple[str, ...] = ()


class KnownHold(NamedTuple):
    """Something that is held, as recorded by the event at `position`; the pseudonym is None where it was forgotten.

    `name_fingerprint` is that of the pseudonym, where it was compared.
    """

    position: int
    cause: Cause
    obstacle: Obstacle
    pseudonym: str | None
    name_fingerprint: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldRequest:
    """What is asked for and not requested, for an obstacle; the requests that it would have replaced end."""

    candidate: Candidate
    obstacle: Obstacle
    replaces: tuple[int, ...] = ()
    name_fingerprint: str | None = None
    patient: UUID | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Conflict:
    """Candidates that contradict each other or what stands; nothing is requested for them."""

    key: Key
    kind: ConflictKind
    causes: tuple[Cause, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Retraction:
    """A request in force that its corrected entry no longer asks for."""

    request: TransferRequest
    cause: Cause
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Reviewed:
    """A request that rested on what its study said, and what becomes of it now that this has changed."""

    request: TransferRequest
    changed: tuple[str, ...]
    consequence: Consequence


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What deciding one study came to. `held` and `questioned` are what checks made of requests."""

    requests: list[NewRequest] = field(default_factory=list)
    held: list[HeldRequest] = field(default_factory=list)
    questioned: list[tuple[Key, Obstacle]] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    resolved: list[Key] = field(default_factory=list)
    retractions: list[Retraction] = field(default_factory=list)
    reviewed: list[Reviewed] = field(default_factory=list)


class Deferral(NamedTuple):
    """What is not decided yet for a project and event, as it depends on doubted rules or entries.

    `restores` are requests that a replay is to write again if they prove to be asked for.
    """

    key: Key
    causes: tuple[Cause, ...]
    restores: tuple[int, ...] = ()


class Corrected(NamedTuple):
    """An entry that has led to a request of this study before, as it reads now.

    `names_study`: it still names the study. `key` and `pseudonym` are what it asks for now. Where the entry `is_gone`,
    that is what it said last: it asks for nothing any more, and has given up what it asked for before.
    """

    cause: Cause
    key: Key
    pseudonym: str
    names_study: bool
    is_gone: bool = False


def decide(
    candidates: Iterable[Candidate],
    standing: Sequence[TransferRequest],
    *,
    corrected: Mapping[int, Corrected] | None = None,
    open_conflicts: Mapping[Key, Conflict] | None = None,
    by_hand: ByHand | None = None,
    gone: Mapping[int, int] | None = None,
) -> Outcome:
    """What to request, to retract and to report for one study.

    `corrected` maps the position of a standing request to its (usable) entry as it reads now.
    `open_conflicts` are those found earlier: they are not reported twice, and resolved when they are
    not found again. Where there are any, the candidates must hold all that concerns their keys.
    `by_hand` are the positions of what an operator decided. `gone` are requests whose rows in REDCap
    somebody deleted, with the positions of the events that told so: who asks after that, asks anew.
    """
    corrected = corrected or {}
    open_conflicts = open_conflicts or {}
    outcome = Outcome()
    by_key = _by_key(candidates, by_hand or {})
    wanted = _wanted(by_key)
    # What a candidate still asks for, under whatever pseudonym, is settled under its own key.
    given_up = [request for request in standing if request.key not in wanted]
    conflicts: list[Conflict] = []
    for key, rivals in sorted(by_key.items()):
        decided = _decide_key(key, rivals, standing, corrected, open_conflicts.get(key), gone or {})
        if isinstance(decided, Conflict):
            conflicts.append(decided)
        elif decided is not None:
            moved = _moved_by(decided.candidate, given_up, corrected)
            replaced = [request for request in standing if request.position in decided.replaces]
            replaces = tuple(dict.fromkeys(request.position for request in (*replaced, *moved)))
            outcome.requests.append(replace(decided, replaces=replaces))
    outcome.conflicts.extend(conflict for conflict in conflicts if open_conflicts.get(conflict.key) != conflict)
    outcome.resolved.extend(_resolved(open_conflicts, conflicts))
    settled = {position for request in outcome.requests for position in request.replaces}
    outcome.retractions.extend(_retractions(standing, corrected, wanted, settled))
    settled |= {each.request.position for each in outcome.retractions}
    outcome.retractions.extend(_contradicted(standing, conflicts, corrected, settled))
    return outcome


def released(standing: Iterable[TransferRequest], corrected: Mapping[int, Corrected]) -> set[Key]:
    """What corrected entries asked for, and do no longer."""
    return {
        request.key
        for request in standing
        if (entry := corrected.get(request.position)) is not None and _asks_elsewhere(entry, request)
    }


def either_way(
    with_doubted: Outcome, without: Outcome, standing: Sequence[TransferRequest]
) -> tuple[Outcome, set[Key]]:
    """What is decided whether or not the doubted is gone, and the keys for which that makes a difference.

    A request that ends in either case ends now, though what takes its place may depend on the doubted.
    `with_doubted` and `without` are what the study comes to if all that is doubted stands, and if it is gone.
    """
    keys = {request.position: request.key for request in standing}
    one, other = _steps(with_doubted, keys), _steps(without, keys)
    common = one & other
    requests = [
        replace(request, replaces=tuple(old for old in request.replaces if (keys[old], "replaced", old) in common))
        for request in without.requests
        if (request.candidate.key, "requested", request.candidate.pseudonym) in common
    ]
    replaced = {old for new in requests for old in new.replaces}
    in_either_case = _ended(with_doubted) & _ended(without) - replaced
    ended = [each for each in standing if each.position in in_either_case]
    reviews = {(each.request.position, each.consequence) for each in with_doubted.reviewed}
    reviews |= {(each.position, "withdrawn") for each in ended}
    outcome = Outcome(
        requests=requests,
        conflicts=[conflict for conflict in without.conflicts if (conflict.key, "conflict", conflict) in common],
        resolved=[key for key in without.resolved if (key, "resolved", None) in common],
        retractions=[_retraction_of(each, without, with_doubted) for each in ended],
        reviewed=[each for each in without.reviewed if (each.request.position, each.consequence) in reviews],
    )
    return outcome, {key for key, _, _ in one ^ other}


def _ended(outcome: Outcome) -> set[int]:
    """The requests that it ends, in whichever way."""
    replaced = {old for request in outcome.requests for old in request.replaces}
    return replaced | {each.request.position for each in outcome.retractions}


def _retraction_of(request: TransferRequest, *outcomes: Outcome) -> Retraction:
    """How a request ends that none of these leaves standing, while they do not agree on what takes its place."""
    for outcome in outcomes:
        for each in outcome.retractions:
            if each.request == request:
                return each
    replacing = next(new for new in outcomes[0].requests if request.position in new.replaces)
    return Retraction(request=request, cause=replacing.candidate.cause, reason=REPLACED_IN_DOUBT)


def _steps(outcome: Outcome, keys: Mapping[int, Key]) -> set[tuple[Key, str, object]]:
    """All that an outcome does, each with the key that it is done for; `keys` are those of the standing requests."""
    requested = outcome.requests
    return {
        *((request.candidate.key, "requested", request.candidate.pseudonym) for request in requested),
        *((keys[old], "replaced", old) for request in requested for old in request.replaces),
        *((conflict.key, "conflict", conflict) for conflict in outcome.conflicts),
        *((key, "resolved", None) for key in outcome.resolved),
        *((each.request.key, "retracted", each.request.position) for each in outcome.retractions),
    }


def confirmed(candidates: Iterable[Candidate], standing: Iterable[TransferRequest], *, by_hand: ByHand) -> list[int]:
    """The positions of the standing requests that somebody still asks for.

    A generated ID is for ever, and so is what an operator decided; the others need a candidate.
    """
    still = wanted_of(candidates, by_hand)
    return [
        request.position
        for request in standing
        if request.cause.kind in ("autoid", "operator")
        or (request.pseudonym is not None and still.get(request.key) == request.pseudonym)
    ]


def wanted_of(candidates: Iterable[Candidate], by_hand: ByHand) -> dict[Key, str]:
    """The pseudonyms that the candidates agree on."""
    return _wanted(_by_key(candidates, by_hand))


def _wanted(by_key: Mapping[Key, Sequence[Candidate]]) -> dict[Key, str]:
    return {key: winner.pseudonym for key, rivals in by_key.items() if (winner := _agreed(rivals)) is not None}


def _by_key(candidates: Iterable[Candidate], by_hand: ByHand) -> dict[Key, list[Candidate]]:
    """The candidates by what they compete for, without those that an operator has overruled.

    An entry that was made or changed since is a person's newer word; a rule knows nothing of the study. What the
    operator asked for, and is held, is a candidate, too.
    """
    by_key: dict[Key, list[Candidate]] = {}
    for candidate in candidates:
        decided = _decided_by_hand(candidate.key, by_hand)
        is_a_persons = candidate.cause.kind in ("coupling", "operator")
        if decided is None or (is_a_persons and candidate.asks_since > decided):
            by_key.setdefault(candidate.key, []).append(candidate)
    return by_key


def _decided_by_hand(key: Key, by_hand: ByHand) -> int | None:
    """Where an operator last decided about the project, for this event or for all of its events."""
    positions = (by_hand.get((key.project, event_name)) for event_name in (key.event_name, None))
    return max((position for position in positions if position is not None), default=None)


def _equals(rivals: Sequence[Candidate]) -> Sequence[Candidate]:
    """The rivals who count: entries where there are any, for a person coupled this very study."""
    return [rival for rival in rivals if rival.cause.kind == "coupling"] or rivals


def _agreed(rivals: Sequence[Candidate]) -> Candidate | None:
    """The candidate that stands for the rivals, one of a whole match first; None where they contradict each other.

    It asks since the newest of those does who count: they all say the same.
    """
    equals = _equals(rivals)
    if len({rival.pseudonym for rival in equals}) > 1:
        return None
    winner = min(equals, key=lambda rival: (not rival.whole_match, rival.cause.record_id))
    return replace(winner, asks_since=max(rival.asks_since for rival in equals))


def _decide_key(
    key: Key,
    rivals: Sequence[Candidate],
    standing: Sequence[TransferRequest],
    corrected: Mapping[int, Corrected],
    open_conflict: Conflict | None,
    gone: Mapping[int, int],
) -> NewRequest | Conflict | None:
    """What the rivals for one key come to against the request of ours that stands for it."""
    winner = _agreed(rivals)
    if winner is None:
        return Conflict(key=key, kind="equals", causes=tuple(sorted({rival.cause for rival in _equals(rivals)})))
    current = next((request for request in standing if request.key == key), None)
    if current is not None and current.pseudonym is None:
        # A forgotten pseudonym cannot be compared. Requesting again might send the study twice; but what a person
        # says since counts, whatever was said before.
        is_said_since = winner.cause.kind == "coupling" and winner.asks_since > current.position
        return NewRequest(candidate=winner, replaces=(current.position,)) if is_said_since else None
    if current is not None and current.position in gone and winner.asks_since > gone[current.position]:
        return NewRequest(candidate=winner, replaces=(current.position,))
    if current is not None and current.pseudonym == winner.pseudonym:
        if current.state != "contested" or open_conflict is None or open_conflict.kind == "person":
            return None
        # The conflict that is now over hid that a person contests the request: it is requested anew,
        # so that delivery finds out whether that is still so.
        return NewRequest(candidate=winner, replaces=(current.position,))
    if current is not None and winner.cause.kind == "rule" and _coupling_stands(current, corrected):
        return Conflict(key=key, kind="coupling stands", causes=(current.cause, winner.cause))
    return NewRequest(candidate=winner, replaces=() if current is None else (current.position,))


def _coupling_stands(request: TransferRequest, corrected: Mapping[int, Corrected]) -> bool:
    """Whether the request came from an entry that was not corrected to ask for something else."""
    entry = corrected.get(request.position)
    return request.cause.kind == "coupling" and (entry is None or not _asks_elsewhere(entry, request))


def _asks_elsewhere(entry: Corrected, request: TransferRequest) -> bool:
    """Whether the entry behind the request was corrected to ask for something else; a forgotten pseudonym is any."""
    is_renamed = request.pseudonym not in (None, entry.pseudonym)
    return not entry.names_study or entry.key != request.key or is_renamed


def _moved_by(
    winner: Candidate, given_up: Sequence[TransferRequest], corrected: Mapping[int, Corrected]
) -> list[TransferRequest]:
    """Requests of the same entry for another project or event, which it asked for before it was corrected.

    `given_up` are those that no candidate asks for any more.
    """
    return [
        request
        for request in given_up
        if request.key != winner.key
        and (entry := corrected.get(request.position)) is not None
        and entry.names_study
        and entry.key == winner.key
        and entry.cause.record_id == winner.cause.record_id
    ]


def _resolved(open_conflicts: Mapping[Key, Conflict], conflicts: Collection[Conflict]) -> list[Key]:
    """The conflicts that are over. One with a person's request is over when delivery finds it gone."""
    still = {conflict.key for conflict in conflicts}
    return [key for key, conflict in open_conflicts.items() if conflict.kind != "person" and key not in still]


def _contradicted(
    standing: Iterable[TransferRequest],
    conflicts: Iterable[Conflict],
    corrected: Mapping[int, Corrected],
    settled: Collection[int],
) -> Iterator[Retraction]:
    """The requests about which those contradict each other who have the word: nobody knows if they may be sent."""
    by_key = {conflict.key: conflict for conflict in conflicts if conflict.kind == "equals"}
    for request in standing:
        conflict = by_key.get(request.key)
        if conflict is None or request.position in settled:
            continue
        others = [cause for cause in conflict.causes if cause[:2] != request.cause[:2]] or conflict.causes
        if others[0].kind == "coupling" or not _coupling_stands(request, corrected):
            yield Retraction(request=request, cause=others[0], reason=CONTRADICTED)


def _retractions(
    standing: Sequence[TransferRequest],
    corrected: Mapping[int, Corrected],
    wanted: Mapping[Key, str],
    replaced: Collection[int],
) -> list[Retraction]:
    retractions = []
    for request in standing:
        entry = corrected.get(request.position)
        # What is wanted and was not replaced stands, even where its pseudonym has been forgotten.
        if entry is None or request.position in replaced or request.key in wanted:
            continue
        if not _asks_elsewhere(entry, request):
            continue
        if entry.is_gone:
            reason = "its coupling entry said something else before it was removed"
        elif not entry.names_study:
            reason = "its coupling entry now names another study"
        elif wanted.get(entry.key) == entry.pseudonym:
            reason = "its coupling entry now asks for what was requested already"
        else:
            reason = "its coupling entry now asks for something else, which waits"
        retractions.append(Retraction(request=request, cause=entry.cause, reason=reason))
    return retractions
