"""Projection of what REDCap held before: gateway.adopted_study, adopted_series, adopted_transfer, moved_in."""

from collections.abc import Sequence

from sqlalchemy import Connection

from ledger.events import Event
from processors.events.types import EventType
from processors.projections.rows import Each, Parameters, Rules, apply_rules
from processors.projections.statements import Table


class Adopted:
    """One row for each study, series and transfer request that was there before."""

    name = "adopted"
    code_version = 1
    tables: Sequence[str] = (
        "gateway.adopted_study",
        "gateway.adopted_series",
        "gateway.adopted_transfer",
        "gateway.moved_in",
    )

    def __init__(self) -> None:
        self._rules: Rules = {
            EventType.STUDY_ADOPTED: [Each(_UPSERT_STUDY, _study), Each(_UPSERT_SERIES, _series)],
            EventType.TRANSFER_ADOPTED: [Each(_UPSERT_TRANSFER, _transfer)],
            EventType.ADOPTED_TRANSFER_GONE: [Each(_DELETE_TRANSFER, _gone)],
            EventType.TRANSFER_OBSERVED: [Each(_DELETE_TRANSFER, _changed)],
            EventType.ADOPTION_COMPLETED: [Each(_MOVE_IN, lambda event: _moved_in(event, "adopted"))],
            EventType.STARTED_FRESH: [Each(_MOVE_IN, lambda event: _moved_in(event, "fresh"))],
        }
        self.types = frozenset(self._rules)

    def apply(self, connection: Connection, events: Sequence[Event]) -> None:
        """Applies the events in order."""
        apply_rules(connection, events, self._rules)


_STUDIES = Table(
    name="adopted_study",
    key=("study",),
    columns={
        "study": "text",
        "site": "text",
        "position": "bigint",
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


def _study(event: Event) -> list[Parameters]:
    return [{"study": event.data["study"], "site": event.site, "position": event.position}]


def _series(event: Event) -> list[Parameters]:
    study = event.data["study"]
    return [{"study": study, "series": series, "instance": placed} for series, placed in event.data["series"].items()]


def _transfer(event: Event) -> list[Parameters]:
    keys = ("study", "instance", "project", "event_name", "sent", "requested")
    return [{key: event.data[key] for key in keys} | {"position": event.position}]


def _gone(event: Event) -> list[Parameters]:
    return [{"study": event.data["study"], "instance": event.data["instance"]}]


def _changed(event: Event) -> list[Parameters]:
    """Where a row is told to ask for something, it asks no longer for what was adopted."""
    return _gone(event) if "instance" in event.data else []


def _moved_in(event: Event, how: str) -> list[Parameters]:
    return [{"site": event.data["site"], "how": how, "position": event.position}]
