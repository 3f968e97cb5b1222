"""Projection of what is wrong at present: gateway.rejected_file, refused_row, missing_row."""

from collections.abc import Sequence

from sqlalchemy import Connection, text

from ledger.events import Event
from processors.events.types import EventType
from processors.projections.rows import Change, Each, Parameters, Rules, apply_rules


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
_ROWS = "json_to_recordset(cast(:rows as json)) as r (study text, kind text, key text)"

_UPSERT_FILE = Change(
    "rejected_file",
    ("path",),
    text("""
        insert into gateway.rejected_file (path, reason, digest, position)
        select path, reason, digest, position
          from json_to_recordset(cast(:rows as json)) as r (path text, reason text, digest text, position bigint)
        on conflict (path) do update
           set reason = excluded.reason, digest = excluded.digest, position = excluded.position
    """),
)
_DELETE_FILE = Change(
    "rejected_file",
    ("path",),
    text("""
        delete from gateway.rejected_file as f
         using json_to_recordset(cast(:rows as json)) as r (path text)
         where f.path = r.path
    """),
)
_UPSERT_REFUSED = Change(
    "refused_row",
    _ROW,
    text("""
        insert into gateway.refused_row (study, kind, key, row_position, field, message, position, refused_at)
        select study, kind, key, row_position, field, message, position, refused_at
          from json_to_recordset(cast(:rows as json)) as r (
               study text, kind text, key text, row_position bigint, field text, message text, position bigint,
               refused_at timestamptz)
        on conflict (study, kind, key) do update
           set row_position = excluded.row_position, field = excluded.field, message = excluded.message,
               position = excluded.position, refused_at = excluded.refused_at
    """),
)
_DELETE_REFUSED = Change(
    "refused_row",
    _ROW,
    text(f"""
        delete from gateway.refused_row as f
         using {_ROWS}
         where f.study = r.study and f.kind = r.kind and f.key = r.key
    """),
)
_UPSERT_MISSING = Change(
    "missing_row",
    _ROW,
    text("""
        insert into gateway.missing_row (study, kind, key, position)
        select study, kind, key, position
          from json_to_recordset(cast(:rows as json)) as r (study text, kind text, key text, position bigint)
        on conflict (study, kind, key) do update set position = excluded.position
    """),
)
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
_DELETE_MISSING = Change(
    "missing_row",
    _ROW,
    text(f"""
        delete from gateway.missing_row as m
         using {_ROWS}
         where m.study = r.study and m.kind = r.kind and m.key = r.key
    """),
)


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
