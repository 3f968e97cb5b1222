"""The parameters of the calls, as REDCap's API wants them in a form."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

import orjson

# PHP silently drops what exceeds max_input_vars, 1,000 unless changed: half a filter would be no filter.
MOST_MEMBERS: Final = 500
# Requests above 16 MB were cut off on their way and answered with an empty error; PHP's own limit is 8 MB.
LARGEST_BODY: Final = 7_000_000

Form = dict[str, str | bytes]
Rows = Sequence[Mapping[str, str | int]]


def export_records(records: Sequence[str] | None, fields: Sequence[str] | None, changed_since: datetime | None) -> Form:
    """Rows of these records and fields.

    REDCap reads the time as its own local one. No call tells which that is: it is taken to be ours.
    """
    form: Form = {"content": "record", "type": "flat", "rawOrLabel": "raw", "exportDataAccessGroups": "false"}
    form |= _array("records", records)
    form |= _array("fields", fields)
    if changed_since is not None:
        form["dateRangeBegin"] = changed_since.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return _as_json(form)


def import_records(rows: Rows, *, overwrite: bool) -> Form:
    """The rows stored under their own record ids and instances. Blanks erase only with `overwrite`."""
    form: Form = {
        "content": "record",
        "type": "flat",
        "overwriteBehavior": "overwrite" if overwrite else "normal",
        "forceAutoNumber": "false",
        "dateFormat": "YMD",
        "returnContent": "count",
        "data": orjson.dumps(rows),
    }
    return _as_json(form)


def record_field(rows: Rows) -> str:
    """The name of the record id, which stands first. Raises `ValueError` for a row without one."""
    first = next(iter(rows[0]), "")
    if not first or not all(str(row.get(first, "")).strip() for row in rows):
        raise ValueError("expected the record id first in the first row, and in every row")
    return first


def import_parts(rows: Rows, *, overwrite: bool, largest_body: int = LARGEST_BODY) -> Iterator[tuple[Rows, Form]]:
    """The rows in few bodies as the largest one allows, each as parameters; a single row is sent as it is."""
    form = import_records(rows, overwrite=overwrite)
    if len(rows) > 1 and len(form["data"]) > largest_body:
        middle = len(rows) // 2
        yield from import_parts(rows[:middle], overwrite=overwrite, largest_body=largest_body)
        yield from import_parts(rows[middle:], overwrite=overwrite, largest_body=largest_body)
    else:
        yield rows, form


def metadata() -> Form:
    """The data dictionary."""
    return _as_json({"content": "metadata"})


def log(since: datetime, record: str | None) -> Form:
    """What was done to records, or to one. The time is taken as REDCap's own local one, to the minute."""
    form: Form = {"content": "log", "logtype": "record", "beginTime": since.strftime("%Y-%m-%d %H:%M")}
    return _as_json(form if record is None else {**form, "record": record})


def next_record_name() -> Form:
    """The next free record name."""
    return _as_json({"content": "generateNextRecordName"})


def _as_json(form: Form) -> Form:
    return {**form, "format": "json", "returnFormat": "json"}


def _array(name: str, members: Sequence[str] | None) -> Form:
    if members is None:
        return {}
    if not 1 <= len(members) <= MOST_MEMBERS:
        raise ValueError(f"expected 1 to {MOST_MEMBERS} {name} in one call, found {len(members)}")
    return {f"{name}[{place}]": member for place, member in enumerate(members)}
