"""REDCap's words against an import or an export, read apart: rows, fields, messages. Values are dropped here.

A problem of a row is one line `"record","field","value","message"`, but values may run over lines and
hold quotes of their own, which not all servers double. So a problem is found by how it begins, ends
where the next one begins, and everything between its field and its message is value.
"""

import re
from collections.abc import Collection, Iterator
from typing import Final

from .errors import RowProblem
from .wording import cleaned

_START = re.compile(r'^"(?P<record>(?:[^"\n]|"")*)","(?P<field>[a-z0-9_]*)",(?=")', re.MULTILINE)
_FIELD = re.compile(r"[a-z][a-z0-9_]*")
_NOT_FOUND = re.compile(
    r"\s*The following fields were not found in the project(?: as real data fields)?\s*:(?P<names>.*)",
    re.DOTALL,
)
_NOT_VALID = re.compile(r'\s*The following values in the parameter "fields" are not valid:(?P<names>.*)', re.DOTALL)
_LOCKED = re.compile(r"\blocked\b", re.IGNORECASE)
_UNREADABLE: Final = "REDCap's reason could not be read."


def row_problems(words: str, records: Collection[str], hidden: Collection[str]) -> tuple[RowProblem, ...]:
    """What REDCap says against rows with the given records, in its order, each problem once.

    What stands before the first problem of a row, or in place of any, is one without record and field.
    """
    starts = list(_START.finditer(words))
    begins = [start.start() for start in starts] + [len(words)]
    before = words[: begins[0]]
    found = [_problem("", "", before, hidden)] if before.strip() else []
    for start, end in zip(starts, begins[1:], strict=True):
        record = start["record"].replace('""', '"')
        message = _last_cell(words[start.end() : end])
        if record in records:
            found.append(_problem(record, start["field"], message, hidden))
        else:
            found.append(_problem("", "", message, hidden))
    return tuple(dict.fromkeys(found))


def unknown_fields(words: str) -> tuple[str, ...]:
    """The fields that the project does not have, if that is what the words say; else none."""
    match = _NOT_FOUND.match(words) or _NOT_VALID.match(words)
    return tuple(_names(match["names"])) if match else ()


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
        message=cleaned(message, hidden) or _UNREADABLE,
        locked=_LOCKED.search(message) is not None,
    )
