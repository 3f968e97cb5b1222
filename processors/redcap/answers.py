"""Reading answers: success is HTTP 200 *and* the expected JSON *and* no error *and* the expected count.

Everything else is raised as what it is: REDCap and what stands before it answer 200 to many failures.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from processors.errors import Refused, Unanswered

from .answer import Answer
from .asked import Asked
from .complaint import complaint
from .failures import failure
from .rows import Row, text_row

_OK: Final = 200
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_RECORD_NAME = re.compile(r'"?(?P<name>[0-9]+(-[0-9]+)?)"?')
_DESCRIPTION: Final = frozenset({"field_name", "form_name", "field_type", "select_choices_or_calculations"})


def read_rows(asked: Asked, answer: Answer) -> list[Row]:
    """The rows of an export."""
    found = _json(asked, answer)
    if not isinstance(found, list):
        raise _wrong_shape(asked, "JSON that is not a list")
    try:
        rows = [text_row(each) for each in found]
    except ValueError as exc:
        raise _wrong_shape(asked, str(exc)) from exc
    if rows:
        _check_columns(asked, rows[0])
    return rows


def read_metadata(asked: Asked, answer: Answer) -> list[Row]:
    """The rows of a data dictionary."""
    rows = read_rows(asked, answer)
    if not rows or not all(row.keys() >= _DESCRIPTION for row in rows):
        raise _wrong_shape(asked, "an empty list" if not rows else "rows that describe no fields")
    return rows


def read_count(asked: Asked, answer: Answer) -> int:
    """The count of an import: its distinct records, all of them."""
    found = _json(asked, answer)
    if not isinstance(found, Mapping) or not re.fullmatch(r"[0-9]{1,9}", str(found.get("count"))):
        raise _wrong_shape(asked, "JSON without a count")
    count = int(found["count"])
    if count != len(asked.records):
        raise _wrong_shape(asked, f"a count of {count}")
    return count


def read_record_name(asked: Asked, answer: Answer) -> str:
    """The next record name, which comes as plain text: a number, after a group's number for some users."""
    match = _RECORD_NAME.fullmatch(answer.text.strip()) if answer.status == _OK else None
    if match is None:
        raise failure(asked, answer)
    return match["name"]


def _json(asked: Asked, answer: Answer) -> Any:
    """The body of a successful answer, decoded. Raises what `failure` makes of any other."""
    if answer.status == _OK and complaint(answer.body) is None:
        try:
            return orjson.loads(answer.body.removeprefix(_BYTE_ORDER_MARK))
        except orjson.JSONDecodeError:
            pass
    raise failure(asked, answer)


def _wrong_shape(asked: Asked, found: str) -> Unanswered:
    return Unanswered(asked.message(found, asked.outcome))


def _check_columns(asked: Asked, row: Row) -> None:
    """REDCap silently leaves out what a user may not see: to plan on that would repeat what is there."""
    missing = [
        name for name in asked.fields if name not in row and not any(column.startswith(f"{name}___") for column in row)
    ]
    if missing:
        raise Refused(
            asked.message(
                f"rows without {', '.join(missing)}",
                f"Give the user of redcap.tokens.{asked.project} the data export right Full Data Set: "
                "REDCap leaves out what a user may not see.",
            )
        )
