"""REDCap's log of a project, read: what was done to its records, by whomever, in the order in which it was done."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from processors.requests import MINUTE

from .rows import Row

_INSTANCE: Final = re.compile(r"\[instance = (?P<number>[0-9]{1,9})\]")
# A value may hold quotes and commas of its own: it ends where the next field or nothing follows.
_VALUE: Final = re.compile(
    r"(?:^|,\s*)(?P<field>[a-z][a-z0-9_]*) = '(?P<value>.*?)'(?=,\s*[a-z][a-z0-9_]*(?:\([^)]*\))? = |\s*$)", re.DOTALL
)


@dataclass(frozen=True, kw_only=True, slots=True)
class LogLine:
    """One change of one record. `values` are those of text fields that became different, blanks included.

    `instance` is that of the repeating instrument changed, whichever it is: the fields tell. It is 1 where
    nothing is said, as servers leave the first one out, and None where more than one instance was deleted.
    `of_record`: it was the record as a whole that was deleted. `minute` is when, in REDCap's own time, and `user` by
    whom, as REDCap names them.
    """

    record: str
    instance: int | None
    deleted: bool
    of_record: bool = False
    minute: str = ""
    user: str = ""
    values: Mapping[str, str] = field(repr=False)


def log_lines(rows: list[Row]) -> list[LogLine]:
    """The changes that an export of the log tells of, oldest first: REDCap gives the newest first."""
    return [_line(row) for row in reversed(rows)]


def log_time(text: str) -> datetime | None:
    """The time of a line, in REDCap's own; None where it is written in another way."""
    try:
        return datetime.strptime(text, MINUTE)  # noqa: DTZ007 - no call tells REDCap's zone
    except ValueError:
        return None


def _line(row: Row) -> LogLine:
    action, details = row.get("action", ""), row.get("details", "").strip()
    named = _INSTANCE.match(details)
    rest = details[named.end() :] if named else details
    deleted = action.startswith("Delete") or rest.lstrip(", \n").startswith("Delete")
    numbered = named or (_INSTANCE.search(rest) if deleted else None)
    return LogLine(
        record=row.get("record") or action.rpartition(" ")[2],
        instance=int(numbered["number"]) if numbered else None if deleted else 1,
        deleted=deleted,
        of_record=action.startswith("Delete record"),
        minute=row.get("timestamp", ""),
        user=row.get("username", ""),
        values={} if deleted else dict(_values(rest)),
    )


def _values(details: str) -> Iterator[tuple[str, str]]:
    for match in _VALUE.finditer(details):
        yield match["field"], match["value"]
