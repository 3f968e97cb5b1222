"""Projection of what REDCap held before: gateway.adopted_study, adopted_series, adopted_transfer, moved_in."""

from collections.abc import Sequence

from ledger.events import Told
from ledger.projector import Changes
from processors.events.operations import AdoptionCompleted, StartedFresh, StudyAdopted
from processors.events.transfers import AdoptedTransferGone, TransferAdopted, TransferObserved
from processors.projections.rows import Parameters, Rules, on
from processors.projections.statements import Table


class Adopted:
    """One row for each study, series and transfer request that was there before."""

    name = "adopted"
    code_version = 3
    tables: Sequence[str] = (
        "gateway.adopted_study",
        "gateway.adopted_series",
        "gateway.adopted_transfer",
        "gateway.moved_in",
    )

    def __init__(self) -> None:
        self._rules = Rules(
            on(StudyAdopted, (_UPSERT_STUDY, _study), (_UPSERT_SERIES, _series)),
            on(TransferAdopted, (_UPSERT_TRANSFER, _transfer)),
            on(AdoptedTransferGone, (_DELETE_TRANSFER, _row)),
            # Where a row is told to ask for something, it asks no longer for what was adopted.
            on(TransferObserved, (_DELETE_TRANSFER, _row)),
            on(AdoptionCompleted, (_MOVE_IN, lambda completed, event: _moved_in(completed.site, "adopted", event))),
            on(StartedFresh, (_MOVE_IN, lambda started, event: _moved_in(started.site, "fresh", event))),
        )
        self.types = self._rules.types

    def plan(self, events: Sequence[Told]) -> Changes:
        """What the events change, as if applied in order."""
        return self._rules.plan(events)


_STUDIES = Table(
    name="adopted_study",
    key=("study",),
    columns={
        "study": "text",
        "site": "text",
        "position": "bigint",
        "arrived": "text",
        "patient": "uuid",
    },
)
_UPSERT_STUDY = _STUDIES.upsert()
_SERIES = Table(
    name="adopted_series",
    key=("study", "series"),
    columns={
        "study": "text",
        "series": "text",
        "instance": "integer",
    },
)
_UPSERT_SERIES = _SERIES.upsert()
_TRANSFERS = Table(
    name="adopted_transfer",
    key=("study", "instance"),
    columns={
        "study": "text",
        "instance": "integer",
        "project": "text",
        "event_name": "text",
        "sent": "boolean",
        "requested": "text",
        "position": "bigint",
    },
)
_UPSERT_TRANSFER = _TRANSFERS.upsert()
_DELETE_TRANSFER = _TRANSFERS.delete()
_MOVED_IN = Table(
    name="moved_in",
    key=("site",),
    columns={
        "site": "text",
        "how": "text",
        "position": "bigint",
    },
)
_MOVE_IN = _MOVED_IN.upsert()


def _study(adopted: StudyAdopted, event: Told) -> list[Parameters]:
    return [
        {
            "study": adopted.study,
            "site": event.site,
            "position": event.position,
            "arrived": adopted.arrived,
            "patient": adopted.patient,
        }
    ]


def _series(adopted: StudyAdopted, _: Told) -> list[Parameters]:
    return [
        {"study": adopted.study, "series": series, "instance": instance} for series, instance in adopted.series.items()
    ]


def _transfer(adopted: TransferAdopted, event: Told) -> list[Parameters]:
    return [
        {
            "study": adopted.study,
            "instance": adopted.instance,
            "project": adopted.project,
            "event_name": adopted.event_name,
            "sent": adopted.sent,
            "requested": adopted.requested,
            "position": event.position,
        }
    ]


def _row(transfer: AdoptedTransferGone | TransferObserved, _: Told) -> list[Parameters]:
    return [{"study": transfer.study, "instance": transfer.instance}]


def _moved_in(site: str, how: str, event: Told) -> list[Parameters]:
    return [{"site": site, "how": how, "position": event.position}]
