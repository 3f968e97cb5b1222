"""The rows of the repeating instrument `transfers`: how ours are written, how anybody's are read. Pure.

Whose a row is, and what may be sent of it, `requests` tells. What stands in the sender's fields is kept as far as it
has the form of what belongs there: anybody can type there, a name too, and the ledger has reports in plain text.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from processors import bounds
from processors.redcap.failure_class import failure_class
from processors.requests import AWAITED, MINUTE, Report, TransferRequest, TransferRow

RECORD_ID = "study_instance_uid"
FORM = "transfers"

NEEDED_FIELDS = (
    RECORD_ID,
    "transfer_project_name",
    "transfer_name",
    "transfer_event_name",
    "transfer_date",
    "transfer_requested_date",
)
"""Without these, nobody can tell whose a request is, or whether it was sent."""

OPTIONAL_FIELDS = frozenset(
    {"transfer_error", "transfer_error_message", "transfer_mapped_uid", "transfer_active_proc_time"}
)
"""What the sender fills in, and older servers lack."""

READ_FIELDS = (*NEEDED_FIELDS, "transfer_error", "transfer_error_message", "transfer_mapped_uid")
"""What is read of a row."""

INFORMATION = frozenset({"3"})
"""Codes of transfer_error that are no errors, as the published dictionary has them: 3, pixels were masked."""

NO_MOMENT, NO_UID, NO_CODE = "~no date", "~no UID", "~no code"
"""What is kept of a text in the sender's fields that is no date, study UID or code."""

_ERROR_FIELD = "transfer_error"
_ERROR_COLUMN = "transfer_error___"
_NO_ERROR = ("", "0")
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_UID = re.compile(r"(?=.{3,64}\Z)\d+(\.\d+)+", re.ASCII)
_CODE = re.compile(r"\d{1,3}", re.ASCII)
_SENDERS_TEXTS = ("transfer_date", "transfer_error_message", "transfer_mapped_uid", "transfer_active_proc_time")


def transfer_rows(
    exported: Iterable[Mapping[str, str]], information: Collection[str] = INFORMATION
) -> Iterator[TransferRow]:
    """The rows of `transfers` in an export; those that say nothing at all are left out."""
    for fields in exported:
        if fields.get("redcap_repeat_instrument") == FORM:
            row = transfer_row(fields, information)
            if not row.is_blank:
                yield row


def transfers_by_study(
    exported: Sequence[Mapping[str, str]], information: Collection[str] = INFORMATION
) -> dict[str, list[TransferRow]]:
    """The rows of `transfers` of each record in an export, by instance: none, where a record is left without any."""
    studies = sorted({bounds.name(fields[RECORD_ID]) for fields in exported})
    by_study: dict[str, list[TransferRow]] = {study: [] for study in studies}
    for row in sorted(transfer_rows(exported, information), key=lambda row: row.instance):
        by_study[row.study].append(row)
    return by_study


def transfer_row(fields: Mapping[str, str], information: Collection[str] = INFORMATION) -> TransferRow:
    """A row of an export of `transfers`."""
    return TransferRow(
        study=bounds.name(fields[RECORD_ID]),
        instance=int(fields["redcap_repeat_instance"]),
        project=bounds.name(fields.get("transfer_project_name", "")),
        event_name=bounds.name(fields.get("transfer_event_name", "")),
        name=bounds.cut(fields.get("transfer_name", "").strip(), bounds.PSEUDONYM),
        requested=_minute(fields.get("transfer_requested_date", "").strip()),
        report=_report(fields, information),
        error_fields=tuple(sorted(name for name in fields if _holds_errors(name, fields[name]))),
    )


def _report(fields: Mapping[str, str], information: Collection[str]) -> Report:
    """A ticked error is a failure, also where a date says when it was tried; a message alone is one without a date."""
    sent_at = _written_moment(bounds.name(fields.get("transfer_date", "")))
    message = fields.get("transfer_error_message", "").strip()
    codes = sorted({*_ticked(fields), *_written(fields.get(_ERROR_FIELD, ""))})
    mapped = fields.get("transfer_mapped_uid", "").split(",")
    mapped_uids = bounds.items(list(dict.fromkeys(_written_uid(uid) for part in mapped if (uid := part.strip()))))
    if set(codes) - set(information) or (message and not sent_at):
        return Report("failed", sent_at or None, tuple(codes), failure_class(message))
    return Report("sent", sent_at, tuple(codes), None, mapped_uids) if sent_at else AWAITED


def _holds_errors(name: str, value: str) -> bool:
    return name.startswith(_ERROR_COLUMN) or (name == _ERROR_FIELD and bool(value))


def _ticked(fields: Mapping[str, str]) -> Iterator[str]:
    return (
        name.removeprefix(_ERROR_COLUMN) for name in fields if name.startswith(_ERROR_COLUMN) and fields[name] == "1"
    )


def _written(text: str) -> Iterator[str]:
    """The codes in a text field, which some servers have in place of the checkboxes."""
    parts = (part.strip() for part in text.replace(";", ",").split(","))
    return (part if _CODE.fullmatch(part) else NO_CODE for part in parts if part not in _NO_ERROR)


def _minute(text: str) -> str:
    """The minute of a moment as REDCap writes one; blank for anything else."""
    return text[: len("YYYY-MM-DD HH:MM")] if _is_moment(text) else ""


def _written_moment(text: str) -> str:
    return text if not text or _is_moment(text) else NO_MOMENT


def _written_uid(text: str) -> str:
    return text if _UID.fullmatch(text) else NO_UID


def _is_moment(text: str) -> bool:
    """Whether the text is a day, or a moment of one, as REDCap has them."""
    if not _DAY.match(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def requested_row(request: TransferRequest, instance: int) -> dict[str, str | int]:
    """The row that asks for it, in an instance that is new. Raises `ValueError` for a forgotten pseudonym."""
    if request.pseudonym is None:
        raise ValueError(f"request {request.position}: its pseudonym was forgotten, so that no row can ask for it")
    row = _addressed(request.study, instance) | {
        "transfer_requested_date": request.requested_at.strftime(MINUTE),
        "transfer_project_name": request.project,
        "transfer_name": bounds.storable(request.pseudonym),
    }
    return row | ({"transfer_event_name": request.event_name} if request.event_name else {})


def amended_row(request: TransferRequest, row: TransferRow) -> dict[str, str | int]:
    """The row that asks for it over one that asked for something else: what the sender wrote there was about that."""
    return requested_row(request, row.instance) | {"transfer_event_name": request.event_name} | _senders_blank(row)


def emptied_row(row: TransferRow) -> dict[str, str | int]:
    """The row that withdraws what the sender has not taken."""
    columns = ("transfer_requested_date", "transfer_project_name", "transfer_name", "transfer_event_name")
    return _addressed(row.study, row.instance) | dict.fromkeys(columns, "") | _senders_blank(row)


def closed_row(row: TransferRow) -> dict[str, str | int]:
    """The row that cannot be sent again: without its name. All else stays for people to see."""
    return _addressed(row.study, row.instance) | {"transfer_name": ""}


def _addressed(study: str, instance: int) -> dict[str, str | int]:
    return {RECORD_ID: study, "redcap_repeat_instrument": FORM, "redcap_repeat_instance": instance}


def _senders_blank(row: TransferRow) -> dict[str, str | int]:
    """The sender's fields without what it had written, where it had written anything: blanks, and ticks undone."""
    if row.report == AWAITED:
        return {}
    undone = {name: "" if name == _ERROR_FIELD else "0" for name in row.error_fields}
    return {**dict.fromkeys(_SENDERS_TEXTS, ""), **undone}
