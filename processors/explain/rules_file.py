"""Routing rules in a file: JSON or CSV, by REDCap's field names, every rule whole.

Nothing is guessed: a column that is missing or unknown, a field that says neither yes nor no, a record id that
stands there twice are errors that say where. `routing_dest_project` is the project's name: which code of
REDCap's dropdown means which project cannot be known without asking REDCap.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from processors.errors import ConfigurationError
from processors.redcap.needed import LISTS
from processors.routing.rules import Rule, rules_from_rows
from processors.text import without_padding

FIELDS = tuple(LISTS["routing"])
_OF_REDCAP = (
    "redcap_event_name",
    "redcap_repeat_instrument",
    "redcap_repeat_instance",
    "redcap_data_access_group",
    "redcap_survey_identifier",
)
_COMPLETE = "_complete"
_PATTERNS = ("routing_allowed_patientid", "routing_allowed_patientname")
_ANSWERS = {"1": "1", "yes": "1", "0": "0", "no": "0", "": "0"}
_LARGEST = 16 * 1024 * 1024
_SEPARATORS = (",", ";", "\t")


class FileRule(NamedTuple):
    """A rule as the file has it, and where it stands there, in words."""

    place: str
    fields: Mapping[str, str]


def read_rules(path: Path, known_projects: Collection[str]) -> list[Rule]:
    """The rules in the file. Raises `ConfigurationError` where it is malformed.

    A pattern that does not compile is no matter of form: the rule says so in its problems. A project's name
    that is a number is taken for a choice's code, unless it is one of the `known_projects`.
    """
    content = _text(path)
    is_json = path.suffix.lower() == ".json" or (
        path.suffix.lower() != ".csv" and content.lstrip().startswith(("[", "{"))
    )
    rows = _json_rows(path, content) if is_json else _csv_rows(path, content)
    rows = [row for row in rows if not row.fields.get("redcap_repeat_instrument")]
    if not rows:
        raise ConfigurationError(f"{path}: expected at least one rule, found none.")
    _check_record_ids(path, rows)
    answered = [_answered(path, row, known_projects) for row in rows]
    return rules_from_rows(answered, {row["routing_dest_project"]: row["routing_dest_project"] for row in answered})


def _text(path: Path) -> str:
    if not path.exists():
        raise ConfigurationError(f"{path}: expected a file with routing rules, found no such file.")
    if not path.is_file():
        raise ConfigurationError(f"{path}: expected a file with routing rules, found something else than a file.")
    try:
        if path.stat().st_size > _LARGEST:
            raise ConfigurationError(f"{path}: expected a file of at most 16 MiB, found a larger one.")
        content = path.read_bytes().decode("utf-8-sig")
    except OSError as exc:
        raise ConfigurationError(f"{path}: the file cannot be read: {exc.strerror}.") from exc
    except UnicodeDecodeError as exc:
        line = exc.object.count(b"\n", 0, exc.start) + 1
        raise ConfigurationError(
            f"{path}, line {line}: expected UTF-8, found a byte that is none. Save the file as UTF-8."
        ) from exc
    if not content.strip():
        raise ConfigurationError(f"{path}: expected routing rules, found an empty file.")
    return content


def _json_rows(path: Path, content: str) -> list[FileRule]:
    try:
        document = json.loads(content, object_pairs_hook=_object)
    except json.JSONDecodeError as exc:
        raise ConfigurationError(
            f"{path}, line {exc.lineno}, column {exc.colno}: expected JSON, found something else ({exc.msg})."
        ) from exc
    except _Twice as exc:
        raise ConfigurationError(f"{path}: expected each field once in a rule, found one twice.") from exc
    except (RecursionError, ValueError) as exc:
        raise ConfigurationError(
            f"{path}: expected a list of rules, found values nested too deeply or numbers too long."
        ) from exc
    rules = [document] if isinstance(document, dict) else document
    if not isinstance(rules, list):
        raise ConfigurationError(f"{path}: expected a rule or a list of rules, found {_kind(document)}.")
    return [_json_row(path, f"rule {number}", rule) for number, rule in enumerate(rules, 1)]


def _json_row(path: Path, place: str, rule: Any) -> FileRule:
    if not isinstance(rule, dict):
        raise ConfigurationError(f"{path}, {place}: expected a rule with its fields, found {_kind(rule)}.")
    _check_fields(f"{path}, {place}", list(rule))
    for name, value in rule.items():
        if isinstance(value, bool | float | list | dict):
            raise ConfigurationError(f"{path}, {place}, {name}: expected a text, found {_kind(value)}.")
    return FileRule(place, {name: "" if value is None else str(value) for name, value in rule.items()})


class _Twice(Exception):
    """A field that stands twice in one rule."""


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise _Twice
    return fields


def _kind(value: object) -> str:
    return {
        dict: "an object",
        list: "a list",
        str: "a text",
        int: "a number",
        float: "a number with a point",
        bool: "true or false",
    }.get(type(value), "null")


def _csv_rows(path: Path, content: str) -> list[FileRule]:
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=_separator(content), strict=True)
    rows: list[FileRule] = []
    header: list[str] = []
    try:
        for cells in reader:
            if not any(cells):
                continue
            if not header:
                header = [cell.strip() for cell in cells]
                _check_fields(f"{path}, line {reader.line_num}", header)
            else:
                rows.append(_csv_row(path, f"line {reader.line_num}", header, cells))
    except csv.Error as exc:
        raise ConfigurationError(
            f"{path}, line {reader.line_num}: expected CSV, found something else ({exc})."
        ) from exc
    return rows


def _separator(content: str) -> str:
    """What separates columns: Excel writes semicolons or tabs in some countries."""
    header = content.lstrip().splitlines()[0]
    return max(_SEPARATORS, key=header.count)


def _csv_row(path: Path, place: str, header: Sequence[str], cells: Sequence[str]) -> FileRule:
    if len(cells) != len(header):
        raise ConfigurationError(f"{path}, {place}: expected {len(header)} columns, found {len(cells)}.")
    return FileRule(place, dict(zip(header, cells, strict=True)))


def _check_fields(place: str, names: Sequence[str]) -> None:
    known = {*FIELDS, *_OF_REDCAP, *(name for name in names if name.endswith(_COMPLETE))}
    unknown = [number for number, name in enumerate(names, 1) if name not in known]
    if unknown:
        # Not what stands there: another file than is meant may begin with a person's data.
        raise ConfigurationError(
            f"{place}: expected REDCap's names of the routing fields, found something else in {_places(unknown)}. "
            f"Known are {', '.join(FIELDS)}."
        )
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise ConfigurationError(f"{place}: expected each field once, found {', '.join(twice)} twice.")
    missing = [name for name in FIELDS if name not in names]
    if missing:
        raise ConfigurationError(f"{place}: expected also {', '.join(missing)}, which may be blank; found none.")


def _places(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:8])) + (f" and {len(numbers) - 8} more" if len(numbers) > 8 else "")
    return f"field {shown}" if len(numbers) == 1 else f"fields {shown}"


def _check_record_ids(path: Path, rows: Sequence[FileRule]) -> None:
    first: dict[str, str] = {}
    for row in rows:
        record = row.fields["record_id"].strip()
        if not record or not record.isprintable():
            raise ConfigurationError(
                f"{path}, {row.place}, record_id: expected the rule's record id, found nothing printable."
            )
        if record in first:
            raise ConfigurationError(
                f"{path}, {row.place}, record_id: expected each rule once, found {record!r} again, which stands in "
                f"{first[record]} already."
            )
        first[record] = row.place


def _answered(path: Path, row: FileRule, known_projects: Collection[str]) -> dict[str, str]:
    """The row as REDCap exports it: yes and no by their codes."""
    place = f"{path}, {row.place} (record {row.fields['record_id'].strip()})"
    active = _ANSWERS.get(row.fields["routing_active"].strip().lower())
    if active is None:
        raise ConfigurationError(f"{place}, routing_active: expected 1, 0, Yes or No, found something else.")
    project = row.fields["routing_dest_project"].strip()
    if project.isdigit() and project not in known_projects:
        raise ConfigurationError(
            f"{place}, routing_dest_project: expected the project's name, found {project!r}, which looks like the code "
            "of a choice. What it stands for is known to REDCap alone: export the rules with labels."
        )
    for name in FIELDS:
        if name not in _PATTERNS and not without_padding(row.fields[name]).isprintable():
            raise ConfigurationError(f"{place}, {name}: expected one line of text, found a control character in it.")
    return {
        **row.fields,
        "record_id": row.fields["record_id"].strip(),
        "routing_active": active,
        "routing_dest_project": project,
    }
