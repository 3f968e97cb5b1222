"""The rows of REDCap's Incoming project: how ours are written, how what is there is read. Pure.

Field names are fixed by the project's data dictionary; of those that a server lacks, the delivery
leaves out the optional ones.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import orjson

RECORD_ID = "study_instance_uid"
SERIES_FORM = "series"
TRANSFERS_FORM = "transfers"
COMPLETE = "2"

READ_FIELDS = (
    RECORD_ID,
    "series_instance_uid",
    "transfer_project_name",
    "transfer_name",
    "transfer_event_name",
    "transfer_date",
    "transfer_requested_date",
)
"""What has to be read before anything is written."""

FIELDS: Mapping[str, tuple[str, ...]] = {
    "study": (
        RECORD_ID,
        "study_institution_name",
        "study_aetitle_sender",
        "study_aetitle_addressed",
        "study_patient_name",
        "study_patient_id",
        "study_description",
        "study_date",
        "study_time",
        "study_accession_number",
        "study_arrival_date",
        "incoming_studies_complete",
    ),
    "series": (
        RECORD_ID,
        "series_instance_uid",
        "series_description",
        "series_date",
        "series_time",
        "series_num_files",
        "series_sequence_name",
        "series_classify_types",
        "series_complete",
    ),
    "transfer": (
        RECORD_ID,
        "transfer_project_name",
        "transfer_name",
        "transfer_event_name",
        "transfer_date",
        "transfer_requested_date",
    ),
}
"""What is written and read of each kind of row."""

OPTIONAL_FIELDS = frozenset({"study_arrival_date", "transfer_active_proc_time"})
"""What older servers lack. Any other field's absence would make a row say less than it must."""

Row = dict[str, str | int]


class PresentTransfer(NamedTuple):
    """A transfer row as REDCap has it. `sent`: the sender has filled in its date.

    `requested` is the minute in which it says that it was requested; None where the server lacks the field.
    """

    instance: int
    project: str
    name: str
    event_name: str
    sent: bool
    requested: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PresentRecord:
    """What REDCap has of one study: whether its record exists, its series' instances, its transfers."""

    exists: bool
    series: Mapping[str, int]
    highest_series_instance: int
    transfers: tuple[PresentTransfer, ...]


ABSENT = PresentRecord(exists=False, series={}, highest_series_instance=0, transfers=())


def needed_fields(kinds: Iterable[str]) -> frozenset[str]:
    """The fields without which rows of these kinds cannot be written."""
    return frozenset(name for kind in kinds for name in FIELDS[kind]) - OPTIONAL_FIELDS


def present_records(rows: Iterable[Mapping[str, str]]) -> dict[str, PresentRecord]:
    """What an export of Incoming says, by study."""
    by_study: dict[str, list[Mapping[str, str]]] = {}
    for row in rows:
        by_study.setdefault(row[RECORD_ID], []).append(row)
    return {study: _present(rows_of_study) for study, rows_of_study in by_study.items()}


def study_row(data: Mapping[str, Any], identity: Mapping[str, str], arrived_at: datetime) -> Row:
    """The study's own row, from the data of its leading series; `arrived_at` in the hospital's zone.

    A forgotten identity (an empty mapping) leaves its fields out.
    """
    row: Row = {
        RECORD_ID: data["StudyInstanceUID"],
        "study_institution_name": data["InstitutionName"],
        "study_aetitle_sender": data["AETitleCaller"],
        "study_aetitle_addressed": data["AETitleCalled"],
        "study_description": data["StudyDescription"],
        "study_date": data["StudyDate"],
        "study_time": data["StudyTime"],
        "study_accession_number": data["AccessionNumber"],
        "study_arrival_date": minute(arrived_at),
        "incoming_studies_complete": COMPLETE,
    }
    if identity:
        row["study_patient_name"] = hashed(identity["PatientName"])
        row["study_patient_id"] = hashed(identity["PatientID"])
    return row


def series_row(data: Mapping[str, Any], instance: int) -> Row:
    """The row of one series; its date and time are the study's where it has none."""
    return {
        RECORD_ID: data["StudyInstanceUID"],
        "redcap_repeat_instrument": SERIES_FORM,
        "redcap_repeat_instance": instance,
        "series_instance_uid": data["SeriesInstanceUID"],
        "series_description": data["SeriesDescription"],
        "series_date": data["SeriesDate"] or data["StudyDate"],
        "series_time": data["SeriesTime"] or data["StudyTime"],
        "series_num_files": "" if data["NumFiles"] is None else str(data["NumFiles"]),
        "series_sequence_name": data["SequenceName"],
        "series_classify_types": orjson.dumps(data["ClassifyType"]).decode(),
        "series_complete": COMPLETE,
    }


def transfer_row(*, study: str, instance: int, project: str, name: str, event_name: str, requested_at: datetime) -> Row:
    """The row of a transfer request; `requested_at` in the hospital's zone."""
    row: Row = {
        RECORD_ID: study,
        "redcap_repeat_instrument": TRANSFERS_FORM,
        "redcap_repeat_instance": instance,
        "transfer_requested_date": minute(requested_at),
        "transfer_project_name": project,
        "transfer_name": name,
    }
    if event_name:
        row["transfer_event_name"] = event_name
    return row


def emptied_transfer_row(study: str, instance: int) -> Row:
    """The row that withdraws a request which has not been sent."""
    return {
        RECORD_ID: study,
        "redcap_repeat_instrument": TRANSFERS_FORM,
        "redcap_repeat_instance": instance,
        "transfer_requested_date": "",
        "transfer_project_name": "",
        "transfer_name": "",
        "transfer_event_name": "",
    }


def hashed(text: str) -> str:
    """The hex SHA-256 of the UTF-8 text: REDCap holds patients' names and IDs in this form only."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def minute(moment: datetime) -> str:
    """The moment as REDCap's datetime_ymd wants it."""
    return moment.strftime("%Y-%m-%d %H:%M")


def _present(rows: list[Mapping[str, str]]) -> PresentRecord:
    series: dict[str, int] = {}
    transfers = []
    highest = 0
    for row in rows:
        instrument = row.get("redcap_repeat_instrument", "")
        if instrument == SERIES_FORM:
            instance = int(row["redcap_repeat_instance"])
            highest = max(highest, instance)
            uid = row.get("series_instance_uid", "")
            # A series that stands there twice keeps the first of its rows.
            if uid and instance < series.get(uid, instance + 1):
                series[uid] = instance
        elif instrument == TRANSFERS_FORM:
            transfers.append(_present_transfer(row))
    return PresentRecord(
        exists=True, series=series, highest_series_instance=highest, transfers=tuple(sorted(transfers))
    )


def _present_transfer(row: Mapping[str, str]) -> PresentTransfer:
    requested = row.get("transfer_requested_date")
    return PresentTransfer(
        instance=int(row["redcap_repeat_instance"]),
        project=row.get("transfer_project_name", "").strip(),
        name=row.get("transfer_name", "").strip(),
        event_name=row.get("transfer_event_name", "").strip(),
        sent=bool(row.get("transfer_date", "").strip()),
        requested=None if requested is None else requested.strip()[: len("YYYY-MM-DD HH:MM")],
    )
