"""Holding requests that were made and have no row in REDCap yet, where something has come in their way since.

One of which the sender tells has its row, though its import was never recorded: what was sent is not asked for again.
"""

from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

from sqlalchemy import text

from ledger import store
from ledger.events import NewEvent
from processors.events.fact import Fact
from processors.events.transfers import TransferRequested, TransferRetracted
from processors.gateway import Gateway, Work
from processors.requests import Key
from processors.routing.checks import Check, IntendedRequest, Objection, Place, objections
from processors.routing.decisions import Candidate
from processors.routing.identify import held_instead
from processors.routing.patients import patients_of

_UNPLACED = text("""
    select position from gateway.transfer join gateway.study using (study)
     where state in ('requested', 'contested') and site = :site
       and not exists (select from gateway.outcome
                        where ours and outcome.request = transfer.position
                          and (sends > 0 or outcome.state = 'possibly sent'))
""")


def hold_unplaced(gateway: Gateway, checks: Sequence[Check]) -> None:
    """Records which of the requests that wait to be written are held instead: their rows end, if there are any."""
    with gateway.begin() as work:
        if not work.execute(_UNPLACED, {"site": gateway.site}).first():
            return
        # What is placed meanwhile must not be held.
        store.lock_head(work.connection)
        waiting = _waiting(work)
        by_place = objections(work, _intended(work, waiting), checks)
        work.record(
            fact
            for position, (request, subject) in waiting.items()
            if (objection := by_place.get(Place(request.study, _key(request)))) is not None and objection.holds
            for fact in _held(work, position, request, subject, objection)
        )


def _waiting(work: Work) -> dict[int, tuple[TransferRequested, UUID]]:
    """The requests by position, each with whom it is sealed for. A forgotten one is asked for by nobody any more."""
    events = work.identities(list(work.execute(_UNPLACED, {"site": work.site}).scalars()))
    return {
        position: (TransferRequested.read(event, payload), event.subject)
        for position, (event, payload) in events.items()
        if payload and event.subject is not None
    }


def _intended(work: Work, waiting: Mapping[int, tuple[TransferRequested, UUID]]) -> list[IntendedRequest]:
    patients = patients_of(work, {request.study for request, _ in waiting.values()})
    intended = []
    for position, (request, _) in waiting.items():
        candidate = Candidate(
            key=_key(request),
            pseudonym=request.pseudonym or "",
            cause=request.cause,
            asks_since=position,
            whole_match=request.whole_match,
        )
        of_study = patients.get(request.study, [])
        patient = of_study[0] if len(of_study) == 1 else None
        intended.append(IntendedRequest(study=request.study, candidate=candidate, patient=patient))
    return intended


def _held(
    work: Work, position: int, request: TransferRequested, subject: UUID, objection: Objection
) -> Iterator[Fact | NewEvent]:
    yield TransferRetracted(
        study=request.study,
        project=request.project,
        request=position,
        reason=f"held before it was placed ({objection.obstacle.kind})",
        cause=request.cause,
    )
    yield work.seal(held_instead(request, objection.obstacle), subject)


def _key(request: TransferRequested) -> Key:
    return Key(request.project, request.event_name)
