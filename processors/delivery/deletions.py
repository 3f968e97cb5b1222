"""Placed requests whose rows somebody deleted, looked for when the same is about to be asked for anew.

A deletion is noticed when something needs the row, which whoever asks for the same again does not: the request would
count as placed. Looked for before that word is recorded, it is known to be older than the word.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from ledger.batching import batches
from processors.delivery.absences import Absences
from processors.delivery.actual import BATCH, transfers_of, transfers_project
from processors.delivery.desired import desired_studies
from processors.delivery.due import DueRow
from processors.delivery.plan import DesiredStudy
from processors.delivery.sender.changes import KnownStudy, deleted_or_back
from processors.events.deliveries import RowMissing
from processors.events.fact import Fact
from processors.gateway import Gateway
from processors.redcap import Redcap
from processors.redcap.incoming import ABSENT, ActualRecord


class InDoubt(NamedTuple):
    """The studies whose records an export lacks, of which nobody knows whether they are gone, and words that say so."""

    studies: Collection[str] = ()
    warnings: Sequence[str] = ()


def tell_deletions(gateway: Gateway, redcap: Redcap, placed: Mapping[str, Collection[int]]) -> InDoubt:
    """Records which rows are gone of the studies of these placed requests (positions, by study).

    Raises `ServiceError` where REDCap cannot be asked.
    """
    rows = [DueRow(study, "transfer", str(each), each) for study, positions in placed.items() for each in positions]
    with gateway.begin() as work:
        desired = desired_studies(work, rows, with_transfers=True)
    project = transfers_project(redcap)
    absences = Absences(gateway, redcap, project)
    doubted: set[str] = set()
    for portion in batches(desired, BATCH):
        actual = transfers_of(gateway, redcap, [study.study for study in portion])
        doubted |= absences.doubted(portion, actual)
        facts = [
            fact
            for study in portion
            if study.study not in doubted
            for fact in _deletions(study, actual.get(study.study, ABSENT), holds_studies=project == "incoming")
        ]
        if facts:
            with gateway.begin() as work:
                work.record(facts)
    return InDoubt(doubted, absences.warnings())


def _deletions(study: DesiredStudy, actual: ActualRecord, *, holds_studies: bool) -> Iterator[Fact]:
    if holds_studies and not actual.exists:
        if study.delivered and ("study", "") not in study.missing:
            yield RowMissing(study=study.study, kind="study", key="")
        return
    missing = {int(key) for kind, key in study.missing if kind == "transfer"}
    yield from deleted_or_back(actual.transfers, KnownStudy(ours=study.requests, missing=missing))
