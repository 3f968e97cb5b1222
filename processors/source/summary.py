"""Understanding a series summary: bytes of a JSON file to the values that we keep, or a reason why not.

Values are mostly strings, but receivers also write numbers, null and lists; all become text. PatientID
and PatientName are kept apart from the rest, and exactly as written, because REDCap holds hashes of them.
"""

import json
import re
from typing import Any, NamedTuple

import orjson

from processors import bounds
from processors.text import without_padding

MAX_BYTES = 16 * 1024 * 1024
KEPT = (
    "StudyDescription",
    "StudyDate",
    "StudyTime",
    "InstitutionName",
    "AccessionNumber",
    "SeriesDescription",
    "SeriesDate",
    "SeriesTime",
    "SequenceName",
)
"""The keys kept as text; beside them the two UIDs, NumFiles, ClassifyType and the connection's three."""

_INEXACT = 2.0**53
"""From here on, not every whole number is a floating-point number, which longer ones are read as."""

_CONNECTION = ("AETitleCaller", "AETitleCalled", "CallerIP")
# DICOM allows digits and dots only, but the pseudonymiser in use makes UIDs with hex letters, and
# they come back. Dots alone would name a folder above.
_UID = re.compile(r"(?!\.+\Z)[A-Za-z0-9._-]{1,64}\Z")


class Rejected(Exception):
    """A file that is not a usable summary; the message is the reason, for a person, without values."""


class Summary(NamedTuple):
    """What is kept of one series.

    `data` is text by DICOM keyword, `NumFiles` a number or null, `ClassifyType` a tuple of texts. `identity` says whose
    it is: PatientID and PatientName.
    """

    study: str
    series: str
    data: dict[str, Any]
    identity: dict[str, str]


def parse(content: bytes, *, study: str, series: str) -> Summary:
    """The summary in a file's content, whose path says that it is of this study and series.

    Raises `Rejected`.
    """
    document = _document(content)
    _check_uid(document, "StudyInstanceUID", study)
    _check_uid(document, "SeriesInstanceUID", series)
    try:
        kept = _kept(document, study, series)
    except (RecursionError, orjson.JSONEncodeError) as exc:
        raise Rejected("a value is nested too deeply") from exc
    for key, text in kept.identity.items():
        if len(text) > bounds.PSEUDONYM:
            raise Rejected(f"{key} is longer than {bounds.PSEUDONYM} characters")
    return kept


def is_uid(text: str) -> bool:
    """Whether the text may name a study or series."""
    return _UID.match(text) is not None


def content(summary: Summary) -> bytes:
    """All that is kept, as bytes that are equal exactly when it is."""
    return orjson.dumps((summary.data, summary.identity), option=orjson.OPT_SORT_KEYS)


def study_row(summary: Summary) -> bytes:
    """What is sealed of its study's row, but for whose it is, as bytes that are equal exactly when it is."""
    return orjson.dumps((summary.data["InstitutionName"], summary.data["StudyDescription"]))


def _kept(document: dict[str, Any], study: str, series: str) -> Summary:
    data: dict[str, Any] = {"StudyInstanceUID": study, "SeriesInstanceUID": series}
    for key in KEPT:
        value = document.get(key, "")
        # Most values are plain text: asking here first spares two calls for each of them.
        data[key] = bounds.storable(value if type(value) is str else _text(value))
        if len(data[key]) > bounds.ACCESSION:
            data[key] = _shortened(key, data[key])
    data["NumFiles"] = _count(document.get("NumFiles"))
    data["ClassifyType"] = _texts(document.get("ClassifyType"))
    connection = document.get("IncomingConnection")
    for key in _CONNECTION:
        # AE titles are padded by scanners, with blanks or NULs.
        title = without_padding(_text(connection.get(key))) if isinstance(connection, dict) else ""
        data[key] = bounds.cut(bounds.storable(title), bounds.NAME)
    patient_id = document.get("PatientID")
    if isinstance(patient_id, float) and abs(patient_id) >= _INEXACT:
        # The last digits are lost in reading: two patients could become one.
        raise Rejected("PatientID is a number too large to be read exactly: expected a text")
    identity = {key: _text(document.get(key)) for key in ("PatientID", "PatientName")}
    return Summary(study, series, data, identity)


def _shortened(key: str, text: str) -> str:
    """A text that may be too long: one that decides where its study goes is never cut."""
    if key == "AccessionNumber":
        raise Rejected(f"AccessionNumber is longer than {bounds.ACCESSION} characters")
    return bounds.cut(text, bounds.TEXT)


def identity(summary: Summary) -> bytes:
    """Whose the series is, as bytes that are equal exactly when it is."""
    return orjson.dumps(summary.identity, option=orjson.OPT_SORT_KEYS)


def _document(content: bytes) -> dict[str, Any]:
    if not content.strip():
        raise Rejected("expected JSON, found an empty file")
    try:
        document = bounds.read_json(content, surrogates="strict")
    except UnicodeDecodeError as exc:
        raise Rejected(f"expected UTF-8, found something else at byte {exc.start}") from exc
    except ValueError as exc:
        where = f" (line {exc.lineno})" if isinstance(exc, json.JSONDecodeError) else ""
        raise Rejected(f"expected JSON, found a truncated or invalid text{where}") from exc
    if not isinstance(document, dict):
        raise Rejected(f"expected a JSON object, found {_kind(document)}")
    return document


def _check_uid(document: dict[str, Any], key: str, expected: str) -> None:
    uid = document.get(key)
    if uid is None or uid == "":
        raise Rejected(f"{key} is missing")
    if not isinstance(uid, str) or not is_uid(uid):
        raise Rejected(f"{key} is malformed: expected 1 to 64 letters, digits, '.', '-' or '_'")
    if uid != expected:
        raise Rejected(f"{key} contradicts the path of the file")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list):
        # DICOM's own separator of multiple values.
        return "\\".join(_text(item) for item in value)
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _texts(value: Any) -> tuple[str, ...]:
    items = value if isinstance(value, list) else [value]
    return bounds.items([text for item in items if (text := bounds.storable(_text(item)))])


def _count(value: Any) -> int | None:
    """The number of files: receivers write it as a string."""
    text = _text(value).strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _kind(document: Any) -> str:
    return {list: "a list", str: "a text", int: "a number", float: "a number", bool: "true or false"}.get(
        type(document), "null"
    )
