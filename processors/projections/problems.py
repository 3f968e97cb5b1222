"""Projection of what is wrong at present: gateway.rejected_file, refused_row, missing_row."""

from collections.abc import Sequence

from sqlalchemy import Connection, text

from ledger.events import Event
from processors.events.types import EventType
from processors.projections.rows import Change, Each, Parameters, Rules, apply_rules
from processors.projections.statements import Table


class Problems:
    """One row for each problem that has not been resolved yet."""

    name = "problems"
    code_version = 1
    tables: Sequence[str] = ("gateway.rejected_file", "gateway.refused_row", "gateway.missing_row")

    def __init__(self) -> None:
        self._rules: Rules = {
            EventType.FILE_REJECTED: [Each(_UPSERT_FILE, lambda event: [_data(event, "path", "reason", "digest")])],
            EventType.REJECTION_RESOLVED: [Each(_DELETE_FILE, lambda event: [_data(event, "path")])],
            EventType.ROW_REFUSED: [Each(_UPSERT_REFUSED, _refused)],
            EventType.ROW_ACCEPTED: [Each(_DELETE_REFUSED, _row)],
            # A refused row is nobody's problem any more once its request is replaced, withdrawn or found placed.
            EventType.TRANSFER_REQUESTED: [Each(_DELETE_REFUSED, _replaced)],
            EventType.TRANSFER_RETRACTED: [Each(_DELETE_REFUSED, _request)],
            EventType.TRANSFER_PLACED: [Each(_DELETE_REFUSED, _request)],
            EventType.ROW_MISSING: [Each(_UPSERT_MISSING, _row)],
            EventType.ROW_RESTORED: [Each(_DELETE_MISSING, _row)],
            EventType.ACKNOWLEDGED: [Each(_ACKNOWLEDGE, lambda event: [{"acknowledged": event.data["position"]}])],
        }
        self.types = frozenset(self._rules)

    def apply(self, connection: Connection, events: Sequence[Event]) -> None:
        """Applies the events in order."""
        apply_rules(connection, events, self._rules)


_ROW = ("study", "kind", "key")

_FILES = Table(
    name="rejected_file",
    key=("path",),
    columns={
        "path": "text",
        "reason": "text",
        "digest": "text",
        "position": "bigint",
    },
)
_UPSERT_FILE = _FILES.upsert()
_DELETE_FILE = _FILES.delete()
_REFUSED_ROWS = Table(
    name="refused_row",
    key=("study", "kind", "key"),
    columns={
        "study": "text",
        "kind": "text",
        "key": "text",
        "row_position": "bigint",
        "field": "text",
        "message": "text",
        "position": "bigint",
        "refused_at": "timestamptz",
    },
)
_UPSERT_REFUSED = _REFUSED_ROWS.upsert()
_DELETE_REFUSED = _REFUSED_ROWS.delete()
_MISSING_ROWS = Table(
    name="missing_row",
    key=("study", "kind", "key"),
    columns={
        "study": "text",
        "kind": "text",
        "key": "text",
        "position": "bigint",
    },
)
_UPSERT_MISSING = _MISSING_ROWS.upsert()
# It stays on record: that is why it is not written again.
_ACKNOWLEDGE = Change(
    "missing_row",
    (),
    text("""
        update gateway.missing_row set acknowledged = true
          from json_to_recordset(cast(:rows as json)) as r (acknowledged bigint)
         where missing_row.position = r.acknowledged
    """),
)
_DELETE_MISSING = _MISSING_ROWS.delete()


def _data(event: Event, *keys: str) -> Parameters:
    return {key: event.data[key] for key in keys} | {"position": event.position}


def _refused(event: Event) -> list[Parameters]:
    row = _data(event, "study", "kind", "key", "row_position", "field", "message")
    return [row | {"refused_at": event.recorded_at}]


def _row(event: Event) -> list[Parameters]:
    return [_data(event, *_ROW)]


def _request(event: Event) -> list[Parameters]:
    return [_refused_request(event, event.data["request"])]


def _replaced(event: Event) -> list[Parameters]:
    return [_refused_request(event, request) for request in event.data["replaces"]]


def _refused_request(event: Event, request: int) -> Parameters:
    return {"study": event.data["study"], "kind": "transfer", "key": str(request)}
