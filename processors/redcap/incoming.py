"""The rows of REDCap's Incoming project: how a study's and its series' are written, how what is there is read. Pure.

The rows of `transfers` have a file of their own.

Field names are fixed by the project's data dictionary; of those that a server lacks, the delivery
leaves out the optional ones.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from processors.alterations import is_saved_as
from processors.redcap import transfers
from processors.requests import TransferRow

SERIES_FORM = "series"
COMPLETE = "2"

READ_FIELDS = ("series_instance_uid", *transfers.READ_FIELDS)
"""What has to be read before a transfer is written."""

FIELDS: Mapping[str, tuple[str, ...]] = {
    "study": (
        transfers.RECORD_ID,
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
        transfers.RECORD_ID,
        "series_instance_uid",
        "series_description",
        "series_date",
        "series_time",
        "series_num_files",
        "series_sequence_name",
        "series_classify_types",
        "series_complete",
    ),
    "transfer": transfers.NEEDED_FIELDS,
}
"""What is written and read of each kind of row."""

COMPARED_FIELDS = tuple(dict.fromkeys((*READ_FIELDS, *FIELDS["study"], *FIELDS["series"])))
"""What has to be read before anything is written: a row that says the same already is left alone."""

ARRIVAL = "study_arrival_date"
PATIENT = "study_patient_id"
_NEEDED_FIELDS: Mapping[str, tuple[str, ...]] = {
    "study": (transfers.RECORD_ID, PATIENT),
    "series": (transfers.RECORD_ID, "series_instance_uid", "series_complete"),
    "transfer": transfers.NEEDED_FIELDS,
}
"""What tells which study and series a row is, whose, and what is requested. `series_complete`: there is the form."""

OPTIONAL_FIELDS = frozenset(
    {name for kind, names in FIELDS.items() for name in names if name not in _NEEDED_FIELDS[kind]}
    | transfers.OPTIONAL_FIELDS
)
"""What describes a study or series, or is the sender's: left out where a server lacks it."""

Row = dict[str, str | int]


@dataclass(frozen=True, kw_only=True, slots=True)
class ActualRecord:
    """What REDCap has of one study: whether its record exists, its series' instances, its transfers.

    `row` and `series_rows`, by instance, are what stands there, as far as it was asked for.
    """

    exists: bool
    series: Mapping[str, int]
    highest_series_instance: int
    transfers: tuple[TransferRow, ...]
    row: Mapping[str, str] = field(default_factory=dict, compare=False)
    series_rows: Mapping[int, Mapping[str, str]] = field(default_factory=dict, compare=False)

    @property
    def arrived(self) -> str | None:
        """The minute in which the study arrived, as whoever entered it has it."""
        return self.row.get(ARRIVAL, "").strip()[: len("YYYY-MM-DD HH:MM")] or None

    @property
    def patient_hash(self) -> str:
        """The hash of the PatientID; blank where there is none."""
        return self.row.get(PATIENT, "").strip().lower()


ABSENT = ActualRecord(exists=False, series={}, highest_series_instance=0, transfers=())


def needed_fields(kinds: Iterable[str]) -> frozenset[str]:
    """The fields without which rows of these kinds cannot be written."""
    return frozenset(name for kind in kinds for name in _NEEDED_FIELDS[kind])


def actual_records(
    rows: Iterable[Mapping[str, str]], information: Collection[str] = transfers.INFORMATION
) -> dict[str, ActualRecord]:
    """What an export of Incoming says, by study; `information` are the sender's codes that are no errors."""
    by_study: dict[str, list[Mapping[str, str]]] = {}
    for row in rows:
        by_study.setdefault(row[transfers.RECORD_ID], []).append(row)
    return {study: _actual(rows_of_study, information) for study, rows_of_study in by_study.items()}


def study_row(data: Mapping[str, Any], identity: Mapping[str, str], arrived_at: datetime) -> Row:
    """The study's own row, from the data of its leading series; `arrived_at` in the hospital's zone.

    A forgotten identity (an empty mapping) leaves its fields out.
    """
    row: Row = {
        transfers.RECORD_ID: data["StudyInstanceUID"],
        "study_aetitle_sender": data["AETitleCaller"],
        "study_aetitle_addressed": data["AETitleCalled"],
        "study_date": data["StudyDate"],
        "study_time": data["StudyTime"],
        ARRIVAL: minute(arrived_at),
        "incoming_studies_complete": COMPLETE,
    }
    if identity:
        row["study_institution_name"] = identity["InstitutionName"]
        row["study_description"] = identity["StudyDescription"]
        row["study_patient_name"] = hashed(identity["PatientName"])
        row[PATIENT] = hashed(identity["PatientID"])
        row["study_accession_number"] = identity["AccessionNumber"]
    return row


def series_row(data: Mapping[str, Any], sealed: Mapping[str, str], instance: int) -> Row:
    """The row of one series; its date and time are the study's where it has none.

    What was sealed for a forgotten patient (an empty mapping) is left out.
    """
    row: Row = {
        transfers.RECORD_ID: data["StudyInstanceUID"],
        "redcap_repeat_instrument": SERIES_FORM,
        "redcap_repeat_instance": instance,
        "series_instance_uid": data["SeriesInstanceUID"],
        "series_date": data["SeriesDate"] or data["StudyDate"],
        "series_time": data["SeriesTime"] or data["StudyTime"],
        "series_num_files": "" if data["NumFiles"] is None else str(data["NumFiles"]),
        "series_classify_types": _classification(tuple(data["ClassifyType"])),
        "series_complete": COMPLETE,
    }
    if sealed:
        row["series_description"] = sealed["SeriesDescription"]
        row["series_sequence_name"] = sealed["SequenceName"]
    return row


@lru_cache(maxsize=1024)
def _classification(types: tuple[str, ...]) -> str:
    """The list as the scripts wrote it, byte for byte: rows that say the same are not written again.

    Of thousands of series, few differ in it.
    """
    return json.dumps(list(types)) if types else ""


def says_the_same(row: Row, actual: Mapping[str, str]) -> bool:
    """Whether REDCap's row holds what it makes of ours; columns that the project lacks are no difference."""
    return bool(actual) and all(
        is_saved_as(str(value), actual[name]) or _is_no_list(name, value, actual[name])
        for name, value in row.items()
        if name in actual
    )


def _is_no_list(name: str, value: object, actual: str) -> bool:
    return name == "series_classify_types" and not value and actual == "[]"


def keeping_arrival(row: Row, actual: Mapping[str, str]) -> Row:
    """The study's row without its arrival date where REDCap has one: whoever entered the study knew it better."""
    kept = bool(actual.get(ARRIVAL, "").strip())
    return {name: value for name, value in row.items() if name != ARRIVAL or not kept}


def hashed(text: str) -> str:
    """The hex SHA-256 of the UTF-8 text: REDCap holds patients' names and IDs in this form only."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def minute(moment: datetime) -> str:
    """The moment as REDCap's datetime_ymd wants it."""
    return moment.strftime("%Y-%m-%d %H:%M")


def _actual(rows: list[Mapping[str, str]], information: Collection[str]) -> ActualRecord:
    series: dict[str, int] = {}
    series_rows: dict[int, Mapping[str, str]] = {}
    base: Mapping[str, str] = {}
    requests = []
    highest = 0
    for row in rows:
        instrument = row.get("redcap_repeat_instrument", "")
        if instrument == SERIES_FORM:
            instance = int(row["redcap_repeat_instance"])
            highest = max(highest, instance)
            series_rows[instance] = row
            uid = row.get("series_instance_uid", "")
            # A series that stands there twice keeps the first of its rows.
            if uid and instance < series.get(uid, instance + 1):
                series[uid] = instance
        elif instrument == transfers.FORM:
            # A row that says nothing counts, too: its instance is taken.
            requests.append(transfers.transfer_row(row, information))
        elif not instrument:
            base = row
    return ActualRecord(
        exists=True,
        series=series,
        highest_series_instance=highest,
        transfers=tuple(sorted(requests, key=lambda row: row.instance)),
        row=base,
        series_rows=series_rows,
    )
