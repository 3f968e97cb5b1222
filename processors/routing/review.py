"""Looking again at what was requested, where the study says something else now, or is of two patients. Pure.

What somebody still asks for stands: a rule or entry of today, or the one that led to the request, as it read then; an
entry that was removed since, or is missing from an export, says no less of the study than before. What nobody
asks for any more is withdrawn, but for what a person asked for this very study.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Literal

from processors.events.patients import Consequence
from processors.events.rules import CouplingEntryChanged, RoutingRuleChanged
from processors.requests import Key, TransferRequest
from processors.routing.decisions import Outcome, Retraction, Reviewed
from processors.routing.evidence import Evidence
from processors.routing.rules import Router, rule_that_said
from processors.routing.statements import StudyChange

TWO_PATIENTS = "its series are of two patients"

Support = Literal["asked for", "named", "nobody"]
"""Who supports a request: what the study says now; a person who named this very study; nobody."""


def review_change(
    outcome: Outcome,
    evidence: Evidence,
    change: StudyChange,
    *,
    wanted: Mapping[Key, str],
    router: Router,
    asks_since: Mapping[str, int],
) -> Outcome:
    """The outcome, with what becomes of each request that rested on what has changed.

    `wanted` is what is asked for now. `asks_since`: the event since which each entry asks for what it asks for.
    """
    about = {request.position: request for request in evidence.standing if request.position < change.position}
    retractions = [
        _retraction(each.request, change) if _study_did(each.request, about, asks_since) else each
        for each in outcome.retractions
    ]
    left = [about[position] for position in sorted(about.keys() - _settled(outcome))]
    # A forgotten pseudonym can be compared with nothing.
    supports = {each.position: _support(each, evidence, change, wanted, router) for each in left if each.pseudonym}
    retractions += [_retraction(each, change) for each in left if supports.get(each.position) == "nobody"]
    withdrawn = [each.request for each in retractions if each.reason == _reason(change)]
    standing = [
        each
        for each in left
        if supports.get(each.position) == "named" or (supports.get(each.position) == "asked for" and change.of_patient)
    ]
    reviewed = [
        *_reviewed(_amended(outcome, about, change), change, "amended"),
        *_reviewed(withdrawn, change, "withdrawn"),
        *_reviewed(_not_told_yet(standing, evidence, change), change, "stands"),
    ]
    return replace(outcome, retractions=retractions, reviewed=reviewed)


def _settled(outcome: Outcome) -> set[int]:
    """The requests that end anyway."""
    retracted = {retraction.request.position for retraction in outcome.retractions}
    return retracted | {position for new in outcome.requests for position in new.replaces}


def _study_did(request: TransferRequest, about: Collection[int], asks_since: Mapping[str, int]) -> bool:
    """Whether the study, and not a person who corrected the entry, has brought about that it is not asked for."""
    return request.position in about and asks_since.get(request.cause.record_id, 0) <= request.position


def _amended(outcome: Outcome, about: Mapping[int, TransferRequest], change: StudyChange) -> list[TransferRequest]:
    """The requests in whose place others are made because of what the study says."""
    return [
        about[position]
        for new in outcome.requests
        for position in new.replaces
        # An entry that was made or corrected since is a person's doing.
        if position in about and (new.candidate.cause.kind == "rule" or new.candidate.asks_since < change.position)
    ]


def _not_told_yet(
    standing: Iterable[TransferRequest], evidence: Evidence, change: StudyChange
) -> list[TransferRequest]:
    """Those of which it was not told before a run was killed."""
    return [each for each in standing if evidence.noticed.get(each.position, 0) < change.position]


def _reviewed(requests: Iterable[TransferRequest], change: StudyChange, consequence: Consequence) -> Iterator[Reviewed]:
    for request in requests:
        yield Reviewed(request=request, changed=change.keywords, consequence=consequence)


def _retraction(request: TransferRequest, change: StudyChange) -> Retraction:
    return Retraction(request=request, cause=request.cause, reason=_reason(change))


def _reason(change: StudyChange) -> str:
    return f"the study says something else now ({', '.join(change.keywords)})"


def _support(
    request: TransferRequest,
    evidence: Evidence,
    change: StudyChange,
    wanted: Mapping[Key, str],
    router: Router,
) -> Support:
    if wanted.get(request.key) == request.pseudonym:
        return "asked for"
    if _is_named(request, evidence):
        return "named"
    if request.cause.kind == "autoid":
        # The ID is its patient's; the project had it drawn for what comes to its AE title.
        return "nobody" if change.of_patient or change.readdressed else "asked for"
    cause = evidence.causes.get(request.cause.position)
    if isinstance(cause, CouplingEntryChanged) and cause.accession and cause.accession in evidence.accessions:
        return "asked for"
    if isinstance(cause, RoutingRuleChanged) and _still_matches(cause, request, evidence, router):
        return "asked for"
    return "nobody"


def _is_named(request: TransferRequest, evidence: Evidence) -> bool:
    """Whether a person asked for this very study: by hand, or by its study UID."""
    cause = evidence.causes.get(request.cause.position)
    return request.cause.kind == "operator" or (
        isinstance(cause, CouplingEntryChanged) and cause.study == evidence.study
    )


def _still_matches(cause: RoutingRuleChanged, request: TransferRequest, evidence: Evidence, router: Router) -> bool:
    """Whether the rule, as it read then, asks for the same by what the study says now."""
    alone = router.with_rules([rule_that_said(cause)])
    return any(hit.pseudonym == request.pseudonym for said in evidence.gained for hit in alone.hits(said)[0])


def review_two_patients(outcome: Outcome, evidence: Evidence, *, wanted: Mapping[Key, str]) -> Outcome:
    """The outcome, with all withdrawn but what a person asked for this very study."""
    settled = _settled(outcome)
    ended = [
        Retraction(request=request, cause=request.cause, reason=TWO_PATIENTS)
        for request in evidence.standing
        if request.position not in settled
        and (request.pseudonym is None or wanted.get(request.key) != request.pseudonym)
        and not _is_named(request, evidence)
    ]
    return replace(outcome, retractions=[*outcome.retractions, *ended])
