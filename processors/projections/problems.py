"""Projection of what is wrong at present: gateway.rejected_file, refused_row and the like."""

from collections.abc import Sequence

from sqlalchemy import text

from ledger.events import Told
from ledger.projector import Changes
from processors.events.deliveries import (
    Acknowledged,
    ImportsAccepted,
    ImportsRefused,
    RowAccepted,
    RowMissing,
    RowRefused,
    RowRestored,
)
from processors.events.operations import (
    LedgerAccepted,
    LedgerDoubted,
    RedcapAccepted,
    RedcapDoubted,
    RedcapReturned,
)
from processors.events.rules import RecordReadable, RecordUnreadable
from processors.events.series import FileRejected, RejectionResolved
from processors.events.transfers import (
    DoubleEnded,
    DoubleFound,
    TransferAmended,
    TransferPlaced,
    TransferRequested,
    TransferRetracted,
    TransferWithdrawn,
)
from processors.projections.rows import Parameters, Rules, Statement, on
from processors.projections.statements import Table


class Problems:
    """One row for each problem that has not been resolved yet."""

    name = "problems"
    code_version = 5
    tables: Sequence[str] = (
        "gateway.rejected_file",
        "gateway.refused_row",
        "gateway.refused_kind",
        "gateway.missing_row",
        "gateway.double_row",
        "gateway.unreadable_record",
        "gateway.doubted_redcap",
        "gateway.doubted_ledger",
    )

    def __init__(self) -> None:
        self._rules = Rules(
            on(FileRejected, (_UPSERT_FILE, _rejected)),
            on(RejectionResolved, (_DELETE_FILE, lambda resolved, _: [{"path": resolved.path}])),
            on(RowRefused, (_UPSERT_REFUSED, _refused)),
            on(RowAccepted, (_DELETE_REFUSED, _row)),
            on(ImportsRefused, (_UPSERT_KIND, _refused_kinds)),
            on(ImportsAccepted, (_DELETE_KIND, _kinds)),
            on(RecordUnreadable, (_UPSERT_UNREADABLE, _unreadable)),
            on(RecordReadable, (_DELETE_UNREADABLE, _listed)),
            on(RedcapDoubted, (_UPSERT_REDCAP, _doubted)),
            on(RedcapReturned, (_DELETE_REDCAP, lambda returned, _: [{"site": returned.site}])),
            on(RedcapAccepted, (_DELETE_REDCAP, lambda accepted, _: [{"site": accepted.site}])),
            on(LedgerDoubted, (_FIRST_LEDGER_DOUBT, _doubted_ledger)),
            on(LedgerAccepted, (_DELETE_LEDGER_DOUBTS, lambda _accepted, _: [{}])),
            # A refused row is nobody's problem any more once its request is replaced, withdrawn or found placed.
            on(TransferRequested, (_DELETE_REFUSED, _replaced)),
            on(TransferRetracted, (_DELETE_REFUSED, _request)),
            on(TransferPlaced, (_DELETE_REFUSED, _request)),
            on(TransferAmended, (_DELETE_REFUSED, _amended)),
            on(TransferWithdrawn, (_DELETE_REFUSED, _request), (_DELETE_DOUBLE, _doubled)),
            on(RowMissing, (_UPSERT_MISSING, _row)),
            on(RowRestored, (_DELETE_MISSING, _row)),
            on(DoubleFound, (_UPSERT_DOUBLE, _double)),
            on(DoubleEnded, (_DELETE_DOUBLE, _doubled), (_DELETE_REFUSED, _request)),
            on(Acknowledged, (_ACKNOWLEDGE, lambda acknowledged, _: [{"acknowledged": acknowledged.position}])),
        )
        self.types = self._rules.types

    def plan(self, events: Sequence[Told]) -> Changes:
        """What the events change, as if applied in order."""
        return self._rules.plan(events)


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
_REFUSED_KINDS = Table(
    name="refused_kind",
    key=("site", "project", "kind"),
    columns={"site": "text", "project": "text", "kind": "text", "message": "text", "position": "bigint"},
)
_UPSERT_KIND = _REFUSED_KINDS.upsert()
_DELETE_KIND = _REFUSED_KINDS.delete()
_UNREADABLE_RECORDS = Table(
    name="unreadable_record",
    key=("site", "project", "record_id"),
    columns={"site": "text", "project": "text", "record_id": "text", "message": "text", "position": "bigint"},
)
_UPSERT_UNREADABLE = _UNREADABLE_RECORDS.upsert()
_DELETE_UNREADABLE = _UNREADABLE_RECORDS.delete()
_DOUBTED_REDCAPS = Table(
    name="doubted_redcap", key=("site",), columns={"site": "text", "reason": "text", "position": "bigint"}
)
_UPSERT_REDCAP = _DOUBTED_REDCAPS.upsert()
_DELETE_REDCAP = _DOUBTED_REDCAPS.delete()
_DOUBTED_LEDGERS = Table(
    name="doubted_ledger",
    key=("site",),
    columns={"site": "text", "reason": "text", "since": "timestamptz", "position": "bigint"},
)
_FIRST_LEDGER_DOUBT = _DOUBTED_LEDGERS.insert_once()
# Sites share the ledger, and what it lost.
_DELETE_LEDGER_DOUBTS = Statement(
    "doubted_ledger",
    (),
    text("delete from gateway.doubted_ledger where cast(:rows as json) is not null"),
)
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
_ACKNOWLEDGE = Statement(
    "missing_row",
    (),
    text("""
        update gateway.missing_row set acknowledged = true
          from json_to_recordset(cast(:rows as json)) as r (acknowledged bigint)
         where missing_row.position = r.acknowledged
    """),
)
_DELETE_MISSING = _MISSING_ROWS.delete()
_DOUBLE_ROWS = Table(
    name="double_row",
    key=("request",),
    columns={"request": "bigint", "study": "text", "instance": "integer", "position": "bigint"},
)
_UPSERT_DOUBLE = _DOUBLE_ROWS.upsert()
_DELETE_DOUBLE = _DOUBLE_ROWS.delete()


def _rejected(file: FileRejected, event: Told) -> list[Parameters]:
    return [{"path": file.path, "reason": file.reason, "digest": file.digest, "position": event.position}]


def _refused(row: RowRefused, event: Told) -> list[Parameters]:
    (key,) = _row(row, event)
    refusal: Parameters = {"row_position": row.row_position, "field": row.field, "message": row.message}
    return [key | refusal | {"refused_at": event.recorded_at}]


def _row(row: RowRefused | RowAccepted | RowMissing | RowRestored, event: Told) -> list[Parameters]:
    return [{"study": row.study, "kind": row.kind, "key": row.key, "position": event.position}]


def _double(double: DoubleFound, event: Told) -> list[Parameters]:
    return [{"request": double.request, "study": double.study, "instance": double.instance, "position": event.position}]


def _doubled(transfer: DoubleEnded | TransferWithdrawn, _: Told) -> list[Parameters]:
    return [{"request": transfer.request}]


def _kinds(imports: ImportsRefused | ImportsAccepted, event: Told) -> list[Parameters]:
    return [{"site": event.site, "project": imports.redcap_project, "kind": kind} for kind in imports.kinds]


def _refused_kinds(imports: ImportsRefused, event: Told) -> list[Parameters]:
    refusal: Parameters = {"message": imports.message, "position": event.position}
    return [kind | refusal for kind in _kinds(imports, event)]


def _listed(record: RecordUnreadable | RecordReadable, event: Told) -> list[Parameters]:
    return [{"site": event.site, "project": record.redcap_project, "record_id": record.record_id}]


def _unreadable(record: RecordUnreadable, event: Told) -> list[Parameters]:
    content: Parameters = {"message": record.message, "position": event.position}
    return [place | content for place in _listed(record, event)]


def _doubted(redcap: RedcapDoubted, event: Told) -> list[Parameters]:
    return [{"site": redcap.site, "reason": redcap.reason, "position": event.position}]


def _doubted_ledger(ledger: LedgerDoubted, event: Told) -> list[Parameters]:
    return [{"site": ledger.site, "reason": ledger.reason, "since": ledger.since, "position": event.position}]


def _amended(transfer: TransferAmended, _: Told) -> list[Parameters]:
    return [_row_of(transfer.study, request) for request in (transfer.request, transfer.replaced)]


def _request(
    transfer: TransferRetracted | TransferPlaced | TransferWithdrawn | DoubleEnded, _: Told
) -> list[Parameters]:
    return [_row_of(transfer.study, transfer.request)]


def _replaced(requested: TransferRequested, _: Told) -> list[Parameters]:
    return [_row_of(requested.study, request) for request in requested.replaces]


def _row_of(study: str, request: int) -> Parameters:
    return {"study": study, "kind": "transfer", "key": str(request)}
