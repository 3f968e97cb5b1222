"""What REDCap should hold of studies by the ledger: gathering, by the same functions that deliveries write by."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from sqlalchemy import text

from processors.delivery.desired import desired_studies
from processors.delivery.due import DueRow, waiting_rows
from processors.delivery.reconcile.diff import Held, Placed
from processors.delivery.sender.changes import KnownStudy
from processors.delivery.sender.known import known_studies
from processors.gateway import Gateway, Work
from processors.requests import TransferRequest

SENT = "It was sent: it is not placed again."
CLOSED = "Its project is closed: it is not placed again."
PERHAPS_SENT = "It may have been sent before anybody looked: it is not placed again."


@dataclass(kw_only=True, slots=True)
class Expected:
    """What the ledger says of a portion of studies: rows that should stand, and how many wait or are contested.

    `requests` holds the requests of others and what was reported, as looks at transfers know them.
    """

    held: dict[str, Held] = field(default_factory=dict)
    requests: dict[str, KnownStudy] = field(default_factory=dict)
    waiting: int = 0
    contested: int = 0


_WRITTEN = text("""
    select study, 'study' as kind, '' as key, row_position as position from gateway.study
     where study = any(:studies) and row_position = delivered_position
    union all
    select study, 'series', series, position from gateway.series
     where study = any(:studies) and position = delivered_position
""")
_CONTESTED = text("select count(*) from gateway.transfer where study = any(:studies) and state = 'contested'")
_SERIES_KNOWN = text("""
    select study, series from gateway.series where study = any(:studies)
    union
    select study, series from gateway.adopted_series where study = any(:studies)
""")
_ABSENT = text("""
    select study, kind, key from gateway.missing_row where study = any(:studies) and acknowledged
""")
_PLACED = text("""
    select transfer.study, transfer.position, transfer.placed_at < coalesce(look.since, 'infinity') as before_looks
      from gateway.transfer
      join gateway.study using (study)
      left join gateway.look on look.site = study.site
     where transfer.study = any(:studies) and state = 'placed' and instance is not null
     order by position
""")


def expected(gateway: Gateway, studies: Sequence[str], closed: Collection[str]) -> Expected:
    """What REDCap should hold of these studies of the site; nothing is placed again for `closed` projects."""
    state = Expected(held={study: Held(study=study) for study in studies})
    chosen = {"studies": list(studies)}
    with gateway.begin() as work:
        rows = [DueRow(*row) for row in work.execute(_WRITTEN, chosen)]
        state.waiting = waiting_rows(work, studies)
        state.contested = work.execute(_CONTESTED, chosen).scalar_one()
        for row in work.execute(_SERIES_KNOWN, chosen):
            state.held[row.study].series_known.add(row.series)
        for row in work.execute(_ABSENT, chosen):
            state.held[row.study].absent.add((row.kind, row.key))
        state.requests = known_studies(work, studies)
        _add_placed(work, state, closed)
        written = desired_studies(work, rows, with_transfers=False)
    for desired in written:
        held = state.held[desired.study]
        held.row, held.row_position, held.series = desired.row, desired.row_position, desired.series
    return state


def _add_placed(work: Work, state: Expected, closed: Collection[str]) -> None:
    for study, known in state.requests.items():
        state.held[study].ours = known.ours
    ours = {request.position: request for known in state.requests.values() for request in known.ours}
    for row in work.execute(_PLACED, {"studies": list(state.held)}):
        request = ours[row.position]
        note = _note(request, closed, before_looks=row.before_looks)
        state.held[row.study].placed.append(Placed(request=request, note=note))


def _note(request: TransferRequest, closed: Collection[str], *, before_looks: bool) -> str:
    """Why a request is not to be placed again: it would be sent twice, or nothing new goes there."""
    if request.was_sent:
        return SENT
    if request.project in closed:
        return CLOSED
    return PERHAPS_SENT if before_looks and request.report.state == "awaited" else ""
