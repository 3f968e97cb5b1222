"""What a look at `transfers` tells that the ledger does not hold yet. Pure.

A request of ours is known by what its row says, not by whether we recorded that we placed it: a run
may have been killed in between. All other rows are somebody else's.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from processors.delivery.sender.reports import AWAITED, Report, State, TransferRow
from processors.events.types import EventType


class OurRequest(NamedTuple):
    """A request of ours, whatever became of it. `name` is its pseudonym, None where it was forgotten.

    `instance` is None where it was not placed, as far as the ledger knows; `requested` is the minute that
    its row tells.
    """

    position: int
    project: str
    event_name: str
    name: str | None
    requested: str
    instance: int | None


class Theirs(NamedTuple):
    """Somebody else's request as last recorded: the fingerprint of what it asks for, and what was reported of it.

    `fingerprint` is None where what it asks for was forgotten: it equals any, or it would be recorded anew.
    """

    fingerprint: str | None
    report: Report


@dataclass(kw_only=True, slots=True)
class KnownStudy:
    """What the ledger holds of a study's requests: ours, what was reported of them, and theirs by instance."""

    ours: list[OurRequest] = field(default_factory=list)
    reported: dict[int, Report] = field(default_factory=dict)
    theirs: dict[int, Theirs] = field(default_factory=dict)


class Change(NamedTuple):
    """A change of a row to be recorded, as an event of this type; `request` is ours, None for somebody else's."""

    type: EventType
    row: TransferRow
    request: int | None
    fingerprint: str = ""


_EVENTS: Mapping[State, EventType] = {
    "awaited": EventType.TRANSFER_REOPENED,
    "sent": EventType.TRANSFER_SENT,
    "failed": EventType.TRANSFER_FAILED,
}


def changes(rows: Iterable[tuple[TransferRow, str]], known: Mapping[str, KnownStudy]) -> Iterator[Change]:
    """What is to be recorded of these rows, each with its fingerprint; those of unknown studies are left out."""
    for row, fingerprint in rows:
        study = known.get(row.study)
        if study is not None:
            yield from _changes_of(row, fingerprint, study)


def _changes_of(row: TransferRow, fingerprint: str, study: KnownStudy) -> Iterator[Change]:
    request = request_behind(row, study.ours)
    if request is not None:
        before = study.reported.get(request, AWAITED)
    else:
        theirs = study.theirs.get(row.instance)
        if theirs is None or theirs.fingerprint not in (None, fingerprint):
            yield Change(EventType.TRANSFER_OBSERVED, row, None, fingerprint)
            before = AWAITED
        else:
            before = theirs.report
    if row.report != before:
        yield Change(_EVENTS[row.report.state], row, request)


def request_behind(row: TransferRow, ours: Sequence[OurRequest]) -> int | None:
    """The request of ours that the row is; None where it is somebody else's.

    It is the one placed there; else one not known to be placed, or that tells the very minute: imported by
    a run that was killed before it could record that. The same asked for elsewhere is a person's doing.
    """
    alike = [request for request in ours if says(row, request)]
    for request in alike:
        if request.instance == row.instance:
            return request.position
    for request in alike:
        if request.instance is None or request.requested == row.requested:
            return request.position
    return None


def says(row: TransferRow, request: OurRequest) -> bool:
    """Whether the row asks for what the request asks for. A forgotten pseudonym equals any."""
    return (row.project, row.event_name) == (request.project, request.event_name) and (
        request.name is None or row.name == request.name.strip()
    )
