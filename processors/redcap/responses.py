"""Reading responses: success is HTTP 200 *and* the expected JSON *and* no error *and* the expected count.

Everything else is raised as what it is: REDCap and what stands before it answer 200 to many failures.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from processors.bounds import read_json
from processors.errors import Refused, Unanswered

from .calls import Call
from .error_text import error_text
from .refusals import refusal
from .rows import Row, text_row
from .transport import Response

_OK: Final = 200
_RECORD_NAME = re.compile(r'"?(?P<name>[0-9]+(-[0-9]+)?)"?')
_NEW_TOKEN = re.compile(r'(?<![0-9A-Za-z])(?P<token>[0-9A-Fa-f]{32})"?\s*\Z')
_DESCRIPTION: Final = frozenset({"field_name", "form_name", "field_type", "select_choices_or_calculations"})


def read_rows(call: Call, response: Response) -> list[Row]:
    """The rows of an export."""
    document = _json(call, response)
    if not isinstance(document, list):
        raise _wrong_shape(call, "JSON that is not a list")
    try:
        rows = [text_row(each) for each in document]
    except ValueError as exc:
        raise _wrong_shape(call, str(exc)) from exc
    if rows:
        _check_columns(call, rows)
    return rows


def read_metadata(call: Call, response: Response) -> list[Row]:
    """The rows of a data dictionary."""
    rows = read_rows(call, response)
    if not rows or not all(row.keys() >= _DESCRIPTION for row in rows):
        raise _wrong_shape(call, "an empty list" if not rows else "rows that describe no fields")
    return rows


def read_object(call: Call, response: Response) -> dict[str, str]:
    """The values of a JSON object, as text."""
    document = _json(call, response)
    if not isinstance(document, Mapping):
        raise _wrong_shape(call, "JSON that is not an object")
    return {name: "" if value is None else str(value) for name, value in document.items()}


def read_count(call: Call, response: Response) -> int:
    """The count of an import: its distinct records, all of them."""
    document = _json(call, response)
    if not isinstance(document, Mapping) or not re.fullmatch(r"[0-9]{1,9}", str(document.get("count"))):
        raise _wrong_shape(call, "JSON without a count")
    count = int(document["count"])
    if count != len(call.records):
        raise _wrong_shape(call, f"a count of {count}")
    return count


def read_record_name(call: Call, response: Response) -> str:
    """The next record name, which comes as plain text: a number, after a group's number for some users."""
    match = _RECORD_NAME.fullmatch(response.text.strip()) if response.status == _OK else None
    if match is None:
        raise refusal(call, response)
    return match["name"]


def read_new_token(call: Call, response: Response) -> str:
    """The token of a new project, which comes as plain text; some servers print other things before it."""
    is_error = response.status != _OK or error_text(response.body) is not None
    match = None if is_error else _NEW_TOKEN.search(response.text)
    if match is None:
        raise refusal(call, response)
    return match["token"]


def _json(call: Call, response: Response) -> Any:
    """The body of a successful response, decoded. Raises what `refusal` makes of any other."""
    if response.status == _OK and error_text(response.body) is None:
        try:
            return read_json(response.body, surrogates="replace")
        except ValueError:
            pass
    raise refusal(call, response)


def _wrong_shape(call: Call, found: str) -> Unanswered:
    return Unanswered(call.message(found, call.outcome))


def _check_columns(call: Call, rows: Sequence[Row]) -> None:
    """REDCap silently leaves out what a user may not see: to plan on that would repeat what is there."""
    missing = [name for name in call.columns if not all(name in row for row in rows) and not _is_checkbox(name, rows)]
    if missing:
        raise Refused(
            call.message(
                f"rows without {', '.join(missing)}",
                f"Check that the token in redcap.tokens.{call.project} is the one of this project, that its data "
                "dictionary has these fields, and that the token's user has the data export right Full Data Set: "
                "REDCap leaves out what a user may not see.",
            )
        )


def _is_checkbox(name: str, rows: Sequence[Row]) -> bool:
    """Whether the rows have the field's columns, one for each of its choices, in its place."""
    return any(column.startswith(f"{name}___") for column in rows[0])
