"""Reading the `data` of an import: json, csv or xml, flat or entity-attribute-value, into rows of text."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import orjson

from .dictionary import box_name
from .replies import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .dictionary import Dictionary

TextRow = dict[str, str]


def read_rows(data: str, kind: str, *, delimiter: str = ",") -> list[TextRow]:
    """The rows of a payload.

    REDCap answers a payload that it cannot read with "The data is not in the specified format."; a single
    JSON object in place of a list is no row at all.
    """
    try:
        rows = _read(data, kind, delimiter)
    except (ValueError, ET.ParseError, csv.Error):
        raise Refusal("The data is not in the specified format.") from None
    return [text_row(row) for row in rows]


def _read(data: str, kind: str, delimiter: str) -> Iterable[Mapping[str, object]]:
    if kind == "csv":
        return _csv_rows(data, delimiter)
    if kind == "xml":
        # Entity bombs could only hurt the test or demo that sends them.
        root = ET.fromstring(data)  # noqa: S314
        return [{cell.tag: cell.text or "" for cell in item} for item in root.iter("item")]
    rows = orjson.loads(data)
    if isinstance(rows, dict):
        return []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("expected a list of objects")
    return rows


def _csv_rows(data: str, delimiter: str) -> list[dict[str, object]]:
    reader = csv.reader(io.StringIO(data.removeprefix("\ufeff"), newline=""), delimiter=delimiter, strict=True)
    header = next(reader, [])
    rows = [line for line in reader if line]
    if not header or any(len(line) != len(header) for line in rows):
        raise ValueError("expected a header and lines of its length")
    return [dict(zip(header, line, strict=True)) for line in rows]


def text_row(row: Mapping[str, object]) -> TextRow:
    """The row with every value as text: null is blank, true is 1."""
    return {str(name): _text(value) for name, value in row.items()}


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    return value if isinstance(value, str) else str(value)


def from_eav(rows: Iterable[TextRow], dictionary: Dictionary) -> list[TextRow]:
    """Flat rows of one value each, in place of rows of `record`, `field_name` and `value`."""
    return [_flat(row, dictionary) for row in rows]


def _flat(row: TextRow, dictionary: Dictionary) -> TextRow:
    if not {"record", "field_name", "value"} <= row.keys():
        raise Refusal("The data is not in the specified format.")
    flat = {name: value for name, value in row.items() if name.startswith("redcap_")}
    name, value = row["field_name"], row["value"]
    field = dictionary.by_name.get(name)
    if field is not None and field.field_type == "checkbox":
        flat[box_name(name, value)] = "1"
    else:
        flat[name] = value
    return {dictionary.record_id: row["record"], **flat}
