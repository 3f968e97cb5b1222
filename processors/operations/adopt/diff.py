"""What of a record in REDCap the ledger does not know yet. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from processors.alterations import is_saved_as
from processors.events.operations import StudyAdopted
from processors.events.transfers import AdoptedTransferGone, TransferAdopted
from processors.redcap.incoming import ActualRecord
from processors.requests import TransferRow
from processors.source.summary import is_uid


class TransferTarget(NamedTuple):
    """What a request asks for; `pseudonym` is None where it was forgotten, and then equals any."""

    project: str
    event_name: str
    pseudonym: str | None

    def is_of(self, row: TransferRow) -> bool:
        """Whether the row asks for the same."""
        same = is_saved_as(self.project, row.project) and is_saved_as(self.event_name, row.event_name)
        return same and (self.pseudonym is None or is_saved_as(self.pseudonym, row.name))


class AdoptedTransfer(NamedTuple):
    """A request of somebody else as it was adopted before."""

    target: TransferTarget
    sent: bool


@dataclass(kw_only=True, slots=True)
class KnownStudy:
    """What the ledger knows of a study: whether its record was written or adopted, and requests for it."""

    record: bool = False
    ours: list[TransferTarget] = field(default_factory=list)
    adopted: dict[int, AdoptedTransfer] = field(default_factory=dict)


AdoptionFact = StudyAdopted | TransferAdopted | AdoptedTransferGone


def diff(study: str, record: ActualRecord, known: KnownStudy) -> Iterator[AdoptionFact]:
    """What is to be recorded about the study, its record first."""
    if record.exists and not known.record:
        # Somebody may have typed into this field what is no UID.
        yield StudyAdopted(
            study=study,
            series={uid: instance for uid, instance in record.series.items() if is_uid(uid)},
            arrived=record.arrived,
        )
    # A row without a name asks for nothing: one that was closed, say.
    requests = {row.instance: row for row in record.transfers if row.project and (row.name or row.report.sent_at)}
    for row in requests.values():
        if not _is_known(row, known):
            yield TransferAdopted(
                study=study,
                project=row.project,
                event_name=row.event_name,
                instance=row.instance,
                sent=(row.report.state == "sent"),
                requested=row.requested or None,
                pseudonym=row.name,
            )
    for instance in sorted(known.adopted.keys() - requests.keys()):
        yield AdoptedTransferGone(study=study, instance=instance)


def _is_known(row: TransferRow, known: KnownStudy) -> bool:
    before = known.adopted.get(row.instance)
    if before is not None:
        return before.target.is_of(row) and before.sent == (row.report.state == "sent")
    return any(target.is_of(row) for target in known.ours)
