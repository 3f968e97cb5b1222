"""What goes back over the wire: tables and errors in json, csv and xml, and REDCap's refusals."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Row = dict[str, str | int]

XML_HEAD: Final = '<?xml version="1.0" encoding="UTF-8" ?>'
FORMATS: Final = ("json", "csv", "xml")
_CONTENT_TYPES = {"json": "application/json", "csv": "text/csv", "xml": "text/xml", "html": "text/html"}


class Refusal(ValueError):
    """REDCap's answer to a call that it does not carry out: a status and its words, one line a problem."""

    def __init__(self, *errors: str, status: int = 400) -> None:
        self.errors = errors
        self.status = status
        super().__init__("\n".join(errors))


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One HTTP answer; status 0 stands for a connection that is reset in place of an answer."""

    body: bytes
    status: int = 200
    content_type: str = "text/html; charset=utf-8"

    @property
    def is_reset(self) -> bool:
        """Whether the connection is to be reset."""
        return self.status == 0


def reply(text: str | bytes, kind: str, status: int = 200) -> Reply:
    """The answer with the content type of `kind` (json, csv, xml or html), its charset included."""
    body = text.encode() if isinstance(text, str) else text
    return Reply(body=body, status=status, content_type=f"{_CONTENT_TYPES[kind]}; charset=utf-8")


def error_reply(refusal: Refusal, kind: str) -> Reply:
    """The refusal as REDCap writes it: a JSON object, `ERROR: ...` for csv, `<hash><error>` for xml."""
    message = str(refusal)
    if kind == "json":
        return reply(orjson.dumps({"error": message}), kind, refusal.status)
    if kind == "csv":
        return reply(f"ERROR: {message}", kind, refusal.status)
    body = f"{XML_HEAD}<hash><error>{escape(message)}</error></hash>"
    return reply(body, "xml", refusal.status)


def table_reply(
    rows: Sequence[Mapping[str, object]],
    kind: str,
    *,
    delimiter: str = ",",
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Rows in the format asked for. REDCap answers `[]` in json, and nothing in csv, when there are none."""
    if kind == "json":
        return reply(_json(rows), kind)
    if kind == "csv":
        return reply(_csv(rows, delimiter, headers or {}), kind)
    return reply(_xml(rows), "xml")


def ids_reply(ids: Sequence[str], kind: str, header: str = "id") -> Reply:
    """A list of record ids: a JSON list of text, one a line under a header, or `<ids>`."""
    if kind == "json":
        return reply(orjson.dumps(ids), kind)
    if kind == "csv":
        return reply("\n".join((header, *ids)) + "\n", kind)
    items = "".join(f"<id>{escape(record)}</id>" for record in ids)
    return reply(f"{XML_HEAD}<ids>{items}</ids>", "xml")


def count_reply(count: int, kind: str) -> Reply:
    """The count of an import: `{"count": 3}`, `3` or `<count>3</count>`."""
    if kind == "json":
        return reply(f'{{"count": {count}}}', kind)
    if kind == "csv":
        return reply(str(count), kind)
    return reply(f"{XML_HEAD}<count>{count}</count>", "xml")


def _json(rows: Sequence[Mapping[str, object]]) -> bytes:
    """The rows as JSON; halves of characters as they are, which orjson refuses to write."""
    try:
        return orjson.dumps(rows)
    except TypeError:
        return json.dumps(rows).encode()


def _csv(rows: Sequence[Mapping[str, object]], delimiter: str, headers: Mapping[str, str]) -> str:
    if not rows:
        return ""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    titles = delimiter.join(csv_cell(headers[name], delimiter) if name in headers else name for name in columns)
    lines = [delimiter.join(csv_cell(row.get(name), delimiter) for name in columns) for row in rows]
    return "\n".join((titles, *lines)) + "\n"


def csv_cell(value: object, delimiter: str = ",") -> str:
    """The value as REDCap writes it in csv: in quotes only if it holds a blank, a quote or a separator."""
    text = "" if value is None else str(value)
    if delimiter in text or any(sign in text for sign in ' "\n\r\t\\'):
        return '"' + text.replace('"', '""') + '"'
    return text


def _xml(rows: Iterable[Mapping[str, object]]) -> str:
    items = "\n".join(f"<item>{''.join(map(_element, row.items()))}</item>" for row in rows)
    return f"{XML_HEAD}\n<records>\n{items}\n</records>"


def _element(cell: tuple[str, object]) -> str:
    name, value = cell
    text = "" if value is None else str(value)
    return f"<{name}><![CDATA[{text.replace(']]>', ']]]]><![CDATA[>')}]]></{name}>"
