"""REDCap's own error in the body of a response, in whichever format it chose, and what its words say: rows, fields.

A problem of a row is one line `"record","field","value","message"`, but values may run over lines and
hold quotes of their own, which not all servers double. So a problem is found by how it begins, ends
where the next one begins, and everything between its field and its message is value, which is dropped.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from processors import bounds

from .errors import RowProblem
from .redaction import masked, shown

_PLAIN = re.compile(r"\s*error:\s*(?P<words>.*)", re.DOTALL | re.IGNORECASE)
_AFTER_A_PAGE = re.compile(r'\{\s*"error"\s*:.*\}\s*\Z', re.DOTALL)
_LONGEST_TAIL = 5_000

_START = re.compile(r'^"(?P<record>(?:[^"\n]|"")*)","(?P<field>[a-z0-9_]*)",(?=")', re.MULTILINE)
_FIELD = re.compile(r"[a-z][a-z0-9_]*")
_NOT_FOUND = re.compile(
    r"\s*The following fields were not found in the project(?: as real data fields)?\s*:(?P<names>.*)",
    re.DOTALL,
)
_NOT_VALID = re.compile(r'\s*The following values in the parameter "fields" are not valid:(?P<names>.*)', re.DOTALL)
_LOCKED = re.compile(r"\blocked\b", re.IGNORECASE)
_UNREADABLE: Final = "REDCap's reason could not be read."


@dataclass(frozen=True, kw_only=True)
class ErrorText:
    """REDCap's words, raw: they may hold values. `crashed` where they follow a page, as after a fatal error.

    `fields` are given only by servers of 2013, which list unknown fields beside the words.
    """

    words: str
    fields: tuple[str, ...] = ()
    crashed: bool = False


def error_text(body: bytes) -> ErrorText | None:
    """The error that REDCap reports in this body; None where it reports none."""
    document = _json_object(body)
    if document is not None:
        return _from_json(document) if "error" in document else None
    text = body.decode("utf-8", "replace")
    if "<hash>" in text or text.lstrip().startswith("<?xml"):
        words = _from_xml(text)
    else:
        plain = _PLAIN.match(text)
        words = plain["words"] if plain else None
    if words is not None:
        return ErrorText(words=words)
    tail = _AFTER_A_PAGE.search(text[-_LONGEST_TAIL:]) if text.lstrip().startswith("<") else None
    after = _json_object(tail[0].encode()) if tail else None
    if after is None:
        return None
    return ErrorText(words=_from_json(after).words, crashed=True)


def row_problems(words: str, records: Collection[str], hidden: Collection[str]) -> tuple[RowProblem, ...]:
    """What REDCap says against rows with the given records, in its order, each problem once.

    What stands before the first problem of a row, or in place of any, is one without record and field.
    """
    starts = list(_START.finditer(words))
    begins = [start.start() for start in starts] + [len(words)]
    before = words[: begins[0]]
    problems = [_problem("", "", before, hidden)] if before.strip() else []
    for start, end in zip(starts, begins[1:], strict=True):
        record = start["record"].replace('""', '"')
        message = _last_cell(words[start.end() : end])
        if record in records:
            problems.append(_problem(record, start["field"], message, hidden))
        else:
            problems.append(_problem("", "", message, hidden))
    return tuple(dict.fromkeys(problems))


def unknown_fields(words: str) -> tuple[str, ...]:
    """The fields that the project does not have, if that is what the words say; else none."""
    match = _NOT_FOUND.match(words) or _NOT_VALID.match(words)
    return tuple(_names(match["names"])) if match else ()


def listed_fields(words: str, fields: Collection[str]) -> tuple[str, ...]:
    """The fields that the words end with, if all were asked for: so they say what a project lacks, in any language."""
    head, colon, names = words.rpartition(":")
    parts = [part.strip().strip("'\"").rstrip(".") for part in names.split(",")]
    is_list = bool(colon) and "\n" not in head.strip() and all(part in fields for part in parts)
    return tuple(parts) if is_list else ()


def _json_object(body: bytes) -> Mapping[str, object] | None:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, Mapping) else None


def _from_json(document: Mapping[str, object]) -> ErrorText:
    words, fields = document["error"], document.get("fields")
    names = tuple(name for name in fields if isinstance(name, str)) if isinstance(fields, list) else ()
    return ErrorText(words=words if isinstance(words, str) else "", fields=names)


def _from_xml(text: str) -> str | None:
    """What stands in the first `<error>`. Not looked for by an expression: many that do not end would take for ever."""
    _before, _begin, rest = text.partition("<error>")
    words, end, _after = rest.partition("</error>")
    return words.strip().removeprefix("<![CDATA[").removesuffix("]]>") if end else None


def _names(listed: str) -> Iterator[str]:
    for part in listed.split(","):
        name = part.strip().strip("'\"").rstrip(".")
        if _FIELD.fullmatch(name):
            yield name


def _last_cell(cells: str) -> str:
    """The message out of `"value","message"`; blank where there is none."""
    _value, comma, message = cells.rstrip().rpartition(',"')
    return message.removesuffix('"').replace('""', '"') if comma else ""


def _problem(record: str, field: str, message: str, hidden: Collection[str]) -> RowProblem:
    return RowProblem(
        record=record,
        field=field,
        message=shown(message, hidden) or _UNREADABLE,
        locked=_LOCKED.search(message) is not None or bool(record and not field),
        words=bounds.cut(masked(message, hidden), bounds.TEXT),
    )
