"""What of a record in REDCap the ledger does not know yet. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from processors.events.types import EventType
from processors.redcap.incoming import ActualRecord
from processors.requests import TransferRow
from processors.source.summary import is_uid


class Asked(NamedTuple):
    """What a request asks for; `pseudonym` is None where it was forgotten, and then equals any."""

    project: str
    event_name: str
    pseudonym: str | None

    def is_said_by(self, row: TransferRow) -> bool:
        """Whether the row asks for the same."""
        same = (row.project, row.event_name) == (self.project, self.event_name)
        return same and self.pseudonym in (None, row.name)


class AdoptedTransfer(NamedTuple):
    """A request of somebody else as it was adopted before."""

    asked: Asked
    sent: bool


@dataclass(kw_only=True, slots=True)
class Knowledge:
    """What the ledger knows of a study: whether its record was written or adopted, and requests for it."""

    record: bool = False
    ours: list[Asked] = field(default_factory=list)
    adopted: dict[int, AdoptedTransfer] = field(default_factory=dict)


class News(NamedTuple):
    """A fact about a study; `pseudonym` belongs into its sealed part, where it is not None."""

    study: str
    type: EventType
    data: Mapping[str, Any]
    pseudonym: str | None = None


def news(study: str, record: ActualRecord, known: Knowledge) -> Iterator[News]:
    """What is to be recorded about the study, its record first."""
    if record.exists and not known.record:
        # Somebody may have typed into this field what is no UID.
        series = {uid: instance for uid, instance in record.series.items() if is_uid(uid)}
        yield News(study, EventType.STUDY_ADOPTED, {"study": study, "series": series})
    requests = {row.instance: row for row in record.transfers if row.project}
    for row in requests.values():
        if not _is_known(row, known):
            yield _adopted(study, row)
    for instance in sorted(known.adopted.keys() - requests.keys()):
        yield News(study, EventType.ADOPTED_TRANSFER_GONE, {"study": study, "instance": instance})


def _is_known(row: TransferRow, known: Knowledge) -> bool:
    before = known.adopted.get(row.instance)
    if before is not None:
        return before.asked.is_said_by(row) and before.sent == (row.report.state == "sent")
    return any(asked.is_said_by(row) for asked in known.ours)


def _adopted(study: str, row: TransferRow) -> News:
    told = {
        "study": study,
        "project": row.project,
        "event_name": row.event_name,
        "instance": row.instance,
        "sent": (row.report.state == "sent"),
        "requested": row.requested or None,
    }
    return News(study, EventType.TRANSFER_ADOPTED, told, row.name)
