"""The calls of REDCap's API: what each asks for, in words for messages and as the form that is sent."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Final

import orjson

from .rows import INSTANCE, INSTRUMENT

# PHP silently drops what exceeds max_input_vars, 1,000 unless changed: half a filter would be no filter.
MOST_MEMBERS: Final = 500
# Requests above 16 MB were cut off on their way and answered with an empty error; PHP's own limit is 8 MB.
LARGEST_BODY: Final = 7_000_000

_BREAK: Final = re.compile(r'["\n\r]')

Form = dict[str, str | bytes]
Rows = Sequence[Mapping[str, str | int]]


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call: our name for the project, what it is, the expected response in words, and the form that is sent.

    `columns` are to be in each row of the response. `rows` are those of an import, under the record ids
    in their `record_field`. `unknown_outcome` is what is said of what stands in REDCap where the response of another
    call cannot be trusted. The token is never part of a message.
    """

    project: str
    name: str
    expected: str
    token: str = field(repr=False)
    form: Form = field(repr=False)
    columns: Sequence[str] = ()
    rows: Rows = field(default=(), repr=False)
    record_field: str = ""
    unknown_outcome: str = "Nothing was changed by this call; the next run tries again."

    @property
    def is_import(self) -> bool:
        """Whether the call writes."""
        return bool(self.record_field)

    @cached_property
    def records(self) -> frozenset[str]:
        """The distinct records of an import."""
        return frozenset(str(row[self.record_field]) for row in self.rows)

    @cached_property
    def fields(self) -> frozenset[str]:
        """The names of the fields asked for or written."""
        names = (str(name) for key, name in self.form.items() if key.startswith("fields["))
        return frozenset(names).union(*self.rows)

    @cached_property
    def hidden(self) -> frozenset[str]:
        """What must not be shown if the response repeats it: the token, and the values of the rows."""
        shown = (self.record_field, INSTRUMENT, INSTANCE)
        values = {str(value) for row in self.rows for name, value in row.items() if name not in shown}
        # What is in quotes is removed from messages; a value with quotes of its own leaves pieces behind.
        pieces = {piece.strip() for value in values for piece in _BREAK.split(value)}
        return frozenset({self.token, *values, *pieces}) - self.records

    def message(self, found: str, advice: str) -> str:
        """What was expected, what was found, and what to do."""
        found = found.rstrip(".")
        return f"REDCap project {self.project}, {self.name}: expected {self.expected}, found {found}. {advice}"

    @property
    def outcome(self) -> str:
        """What a response that cannot be trusted means for what stands in REDCap."""
        if self.is_import:
            return "Whether the rows were stored is not known; the next run looks, and adds what is missing."
        return self.unknown_outcome


def export_records(
    project: str,
    token: str,
    *,
    records: Sequence[str] | None,
    fields: Sequence[str] | None,
    columns: Sequence[str],
    changed_since: datetime | None,
    where: str | None = None,
) -> Call:
    """Rows of these records and fields, where REDCap's own logic holds.

    REDCap reads the time as its own local one. No call tells which that is: it is taken to be ours.
    """
    form: Form = {"content": "record", "type": "flat", "rawOrLabel": "raw", "exportDataAccessGroups": "false"}
    form |= _array("records", records)
    form |= _array("fields", fields)
    if changed_since is not None:
        form["dateRangeBegin"] = changed_since.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if where is not None:
        form["filterLogic"] = where
    return Call(
        project=project,
        name="export of records" if records is None else f"export of {_number(len(records), 'record')}",
        expected="a JSON list of rows",
        token=token,
        form=_as_json(form),
        columns=columns,
    )


def import_records(
    project: str, token: str, rows: Rows, *, overwrite: bool, largest_body: int = LARGEST_BODY
) -> Iterator[Call]:
    """The rows stored under their own record ids and instances. Blanks erase only with `overwrite`.

    As few calls as the largest body allows; a single row is sent as it is. Raises `ValueError` where the
    record id does not stand first, or is missing from a row.
    """
    record_field = next(iter(rows[0]), "")
    if not record_field or not all(str(row.get(record_field, "")).strip() for row in rows):
        raise ValueError("expected the record id first in the first row, and in every row")
    form: Form = {
        "content": "record",
        "type": "flat",
        "overwriteBehavior": "overwrite" if overwrite else "normal",
        "forceAutoNumber": "false",
        "dateFormat": "YMD",
        "returnContent": "count",
    }
    for part, data in _bodies(rows, largest_body):
        records = len({str(row[record_field]) for row in part})
        yield Call(
            project=project,
            name=f"import of {_number(len(part), 'row')}",
            expected=f"a count of {_number(records, 'record')}",
            token=token,
            form=_as_json({**form, "data": data}),
            rows=part,
            record_field=record_field,
        )


def metadata(project: str, token: str) -> Call:
    """The data dictionary."""
    return Call(
        project=project,
        name="export of the data dictionary",
        expected="a JSON list of fields",
        token=token,
        form=_as_json({"content": "metadata"}),
    )


def project_info(project: str, token: str) -> Call:
    """What the project is."""
    return Call(
        project=project,
        name="export of project information",
        expected="a JSON object",
        token=token,
        form=_as_json({"content": "project"}),
    )


def create_project(project: str, super_token: str, title: str, purpose: str, odm: bytes) -> Call:
    """A new project, made of project XML; what it is called, and for, is asked for beside it."""
    return Call(
        project=project,
        name="creation of the project",
        expected="the new project's token",
        token=super_token,
        form=_as_json(
            {
                "content": "project",
                "data": orjson.dumps([{"project_title": title, "purpose": int(purpose)}]),
                "odm": odm,
            }
        ),
        unknown_outcome="Whether it was made is not known: look under My Projects, where its token can be requested "
        "(API), or have it deleted, before this is given again.",
    )


def repeating_instruments(project: str, token: str) -> Call:
    """Which instruments repeat."""
    return Call(
        project=project,
        name="export of repeating instruments",
        expected="a JSON list of instruments",
        token=token,
        form=_as_json({"content": "repeatingFormsEvents"}),
    )


def import_nothing(project: str, token: str, record_field: str) -> Call:
    """No row at all: whether the token's user may import is looked at first."""
    form: Form = {"content": "record", "type": "flat", "returnContent": "count", "data": b"[]"}
    return Call(
        project=project,
        name="import of no record",
        expected="a count of 0",
        token=token,
        form=_as_json(form),
        record_field=record_field,
    )


def export_log(project: str, token: str, *, since: datetime, record: str | None, kind: str = "record") -> Call:
    """What was done to records, or to one; or the lines of another of REDCap's kinds.

    The time is taken as REDCap's own local one, to the minute.
    """
    form: Form = {"content": "log", "logtype": kind, "beginTime": since.strftime("%Y-%m-%d %H:%M")}
    return Call(
        project=project,
        name="export of the log",
        expected="a JSON list of log entries",
        token=token,
        form=_as_json(form if record is None else {**form, "record": record}),
    )


def next_record_name(project: str, token: str) -> Call:
    """The next free record name."""
    return Call(
        project=project,
        name="question for the next record name",
        expected="a number",
        token=token,
        form=_as_json({"content": "generateNextRecordName"}),
    )


def _bodies(rows: Rows, largest: int) -> Iterator[tuple[Rows, bytes]]:
    data = orjson.dumps(rows)
    if len(rows) > 1 and len(data) > largest:
        middle = len(rows) // 2
        yield from _bodies(rows[:middle], largest)
        yield from _bodies(rows[middle:], largest)
    else:
        yield rows, data


def _as_json(form: Form) -> Form:
    return {**form, "format": "json", "returnFormat": "json"}


def _array(name: str, members: Sequence[str] | None) -> Form:
    if members is None:
        return {}
    if not 1 <= len(members) <= MOST_MEMBERS:
        raise ValueError(f"expected 1 to {MOST_MEMBERS} {name} in one call, found {len(members)}")
    return {f"{name}[{index}]": member for index, member in enumerate(members)}


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
