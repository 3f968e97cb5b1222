"""Comparing what the ledger wants REDCap to hold with what it holds, batch by batch."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from sqlalchemy import text

from ledger.batching import Progress, batches
from processors.delivery.actual import BATCH, record_ids
from processors.delivery.reconcile.accepted import accepted_differences, mark
from processors.delivery.reconcile.actual import Actual, actual_state
from processors.delivery.reconcile.desired import Expected, expected
from processors.delivery.reconcile.diff import Difference, differences
from processors.delivery.reconcile.scope import Scope, studies_of
from processors.delivery.sender.known import fingerprint
from processors.gateway import Gateway
from processors.redcap import Redcap


@dataclass(kw_only=True, slots=True)
class Reconciled:
    """What a comparison came to: how many studies, what differs, and what is no difference.

    `waiting` rows are still to be written, `contested` requests stand back for a person's.
    """

    studies: int = 0
    waiting: int = 0
    contested: int = 0
    differences: list[Difference] = field(default_factory=list)


def reconcile(
    gateway: Gateway,
    redcap: Redcap,
    scope: Scope,
    progress: Progress | None = None,
    *,
    closed: Collection[str] = (),
) -> Reconciled:
    """How REDCap and the ledger differ about the studies meant; where all are, about records nobody knows, too.

    What is missing for projects that are `closed` is told as what is not to be placed again.

    One call for `BATCH` studies, two where the transfers have a REDCap project of their own. Raises
    `ConfigurationError` where a study or project is meant that the ledger does not know.
    """
    with gateway.begin() as work:
        studies = studies_of(work, gateway.site, scope)
    reconciliation = compare(gateway, redcap, studies, progress, closed=closed)
    if scope.is_everything:
        reconciliation.differences += _strangers(gateway, redcap)
    return reconciliation


def compare(
    gateway: Gateway,
    redcap: Redcap,
    studies: Sequence[str],
    progress: Progress | None = None,
    *,
    closed: Collection[str] = (),
) -> Reconciled:
    """How REDCap and the ledger differ about these studies of the site."""
    reconciliation = Reconciled()
    for portion in batches(studies, BATCH):
        wanted = expected(gateway, portion, closed)
        there = actual_state(gateway, redcap, portion)
        reconciliation.differences += _unsettled(gateway, _found(gateway, wanted, there), portion)
        reconciliation.studies += len(portion)
        reconciliation.waiting += wanted.waiting
        reconciliation.contested += wanted.contested
        if progress is not None:
            progress(reconciliation.studies, len(studies))
    return reconciliation


def _found(gateway: Gateway, wanted: Expected, there: Actual) -> list[Difference]:
    """What differs, but for requests of others that the ledger has seen as they are."""
    return [
        different
        for study, held in wanted.held.items()
        for different in differences(held, there.rows.get(study, ()), there.requests.get(study, ()))
        if not _is_observed(gateway, wanted, different)
    ]


def _is_observed(gateway: Gateway, wanted: Expected, different: Difference) -> bool:
    row = different.transfer
    if row is None or different.what != "extra":
        return False
    known = wanted.requests[row.study].others.get(row.instance)
    return known is not None and known.fingerprint == fingerprint(gateway.vault, row)


def _unsettled(gateway: Gateway, differences: Sequence[Difference], studies: Sequence[str]) -> list[Difference]:
    """What an operator has not accepted as it is."""
    with gateway.begin() as work:
        accepted = accepted_differences(work, studies)
    return [different for different in differences if mark(gateway, different) not in accepted]


_STRANGE = "If its id is a study's UID, `adopt` takes it over; else remove it in REDCap, or --accept it."
_KNOWN = text("select study from gateway.study union select study from gateway.adopted_study")


def _strangers(gateway: Gateway, redcap: Redcap) -> list[Difference]:
    """Records of Incoming that no site of the ledger knows."""
    with gateway.begin() as work:
        known = set(work.execute(_KNOWN).scalars())
    unknown = [record for record in record_ids(redcap, "incoming") if record not in known]
    return _unsettled(
        gateway,
        [Difference(study=record, kind="record", what="extra", note=_STRANGE) for record in unknown],
        unknown,
    )
