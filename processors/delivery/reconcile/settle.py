"""Settling differences: ours is written again, or theirs is recorded.

Portion by portion, each recorded before the next begins: interrupted, what was done is done, and the
same command goes on with the rest.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby

from sqlalchemy import text

from ledger.batching import Progress, batches
from processors.delivery.actual import BATCH
from processors.delivery.deliver import deliver_again
from processors.delivery.delivered import Delivered
from processors.delivery.reconcile.accepted import mark
from processors.delivery.reconcile.diff import Difference
from processors.delivery.sender.changes import changes
from processors.delivery.sender.known import fingerprint, known_studies
from processors.delivery.sender.poll import look
from processors.delivery.sender.record import sealed_change
from processors.events.deliveries import Acknowledged, DifferenceAccepted, RowMissing
from processors.events.fact import Fact
from processors.gateway import Gateway, Work
from processors.redcap import Redcap
from processors.stored_requests import requests_at

_GONE = ("deleted", "missing")


def restorable(different: Difference) -> bool:
    """Whether it can be settled by writing ours again: rows of others, and what was sent, stay as they are."""
    return different.what in (*_GONE, "changed") and not different.note


def restore(
    gateway: Gateway,
    redcap: Redcap,
    differences: Sequence[Difference],
    *,
    batch_rows: int,
    progress: Progress | None = None,
) -> Delivered:
    """Writes the rows again that can be restored. All rows of their studies are written, changed ones too.

    What the sender has told since the last run may be about a row that would be written again elsewhere: what turns out
    to have been sent is not.
    """
    look(gateway, redcap)
    ours = [different for different in differences if restorable(different)]
    gone = [int(different.key) for different in ours if different.kind == "transfer"]
    with gateway.begin() as work:
        transfers = [position for position, request in requests_at(work, gone).items() if not request.was_sent]
    studies = sorted({different.study for different in ours})
    delivered = Delivered()
    done = 0
    for portion in batches(studies, BATCH):
        delivered += deliver_again(gateway, redcap, studies=portion, transfers=transfers, batch_rows=batch_rows)
        done += len(portion)
        if progress is not None:
            progress(done, len(studies))
    return delivered


def accept(
    gateway: Gateway,
    differences: Sequence[Difference],
    *,
    by: str,
    reason: str,
    progress: Progress | None = None,
) -> None:
    """Records that REDCap may say what it says; it differs no more until one of the two changes again."""
    by_study = [list(members) for _, members in groupby(sorted(differences, key=_study), key=_study)]
    done = 0
    for portion in batches(by_study, BATCH):
        with gateway.begin() as work:
            settled = [different for members in portion for different in members]
            _acknowledge(work, settled, by=by, reason=reason)
            work.record([sealed_change(work, fact) for fact in _theirs(work, settled)])
            work.record(_differences(gateway, settled, by=by, reason=reason))
        done += len(portion)
        if progress is not None:
            progress(done, len(by_study))


def _study(different: Difference) -> str:
    return different.study


_MISSING = text("""
    select study, kind, key, position from gateway.missing_row where study = any(:studies) and not acknowledged
""")


def _acknowledge(work: Work, differences: Sequence[Difference], *, by: str, reason: str) -> None:
    """Records as intended that rows of ours are gone, or ask for something else: first, that they are."""
    gone = [different for different in differences if different.what in _GONE or _is_rewritten(different)]
    studies = {"studies": [different.study for different in gone]}
    known = {(row.study, row.kind, row.key): row.position for row in work.execute(_MISSING, studies)}
    unknown = [different for different in gone if _row(different) not in known]
    missing = [_missing(different) for different in unknown]
    for different, event in zip(unknown, work.record(missing), strict=True):
        known[_row(different)] = event.position
    work.record(
        Acknowledged(study=different.study, position=known[_row(different)], by=by, reason=reason) for different in gone
    )


def _missing(different: Difference) -> RowMissing:
    match different.kind:
        case "record" | "generated ID" as other:
            raise ValueError(f"expected a row of ours in Incoming, found a {other}")
        case kind:
            return RowMissing(study=different.study, kind=kind, key=different.key)


def _row(different: Difference) -> tuple[str, str, str]:
    return different.study, different.kind, different.key


def _is_rewritten(different: Difference) -> bool:
    """Whether a person made another request of ours: theirs is observed, ours is gone."""
    return different.kind == "transfer" and different.what == "changed"


def _theirs(work: Work, differences: Sequence[Difference]) -> Iterator[Fact]:
    """The requests of others, and what the sender reported of them."""
    rows = [different.transfer for different in differences if different.transfer is not None]
    known = known_studies(work, sorted({row.study for row in rows}))
    yield from changes([(row, fingerprint(work.vault, row)) for row in rows], known)


def _differences(gateway: Gateway, differences: Sequence[Difference], *, by: str, reason: str) -> Iterator[Fact]:
    for different in differences:
        if different.kind != "transfer" and different.what not in _GONE:
            marked = mark(gateway, different)
            yield DifferenceAccepted(
                study=different.study,
                kind=marked.kind,
                key=marked.key,
                fields=different.fields,
                row_position=marked.row_position,
                fingerprint=marked.fingerprint,
                by=by,
                reason=reason,
            )
