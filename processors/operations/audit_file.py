"""All of the audit's views in one SQLite file, for Datasette, R, or whatever else an auditor works with.

Each view is a table of its name; `comments` says what each table and column holds; the one row of `datasette` holds the
same as Datasette's metadata. Rows are passed on as they come, so that memory stays flat.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from processors.operations import audit
from processors.operations.audit import Row, Selection, View

Harmless = Callable[[str], str]
"""What is written instead of a text that a spreadsheet or terminal would act upon."""

_INTEGERS = ("bigint", "integer", "smallint", "boolean")
_REALS = ("double precision", "numeric", "real")


def write(connection: Connection, file: Path, harmless: Harmless) -> dict[str, int]:
    """Writes the views that this role may read into the file, which is empty; how many rows of each."""
    views = list(audit.views(connection).values())
    # Whoever writes it aside throws a half-written one away: nothing need be undone.
    with closing(sqlite3.connect(file, isolation_level=None)) as sqlite:
        sqlite.execute("pragma journal_mode = off")
        sqlite.execute("pragma synchronous = off")
        sqlite.execute("begin")
        rows = {view.name: _copy(connection, sqlite, view, harmless) for view in views}
        _describe(sqlite, views)
        sqlite.execute("commit")
    return rows


def _copy(connection: Connection, sqlite: sqlite3.Connection, view: View, harmless: Harmless) -> int:
    columns = ", ".join(f'"{column.name}" {_affinity(column.type)}' for column in view.columns)
    sqlite.execute(f'create table "{view.name}" ({columns})')
    places = ", ".join("?" * len(view.columns))
    rows = _values(audit.select(connection, view, Selection()), harmless)
    return sqlite.executemany(f'insert into "{view.name}" values ({places})', rows).rowcount


def _values(rows: Iterator[Row], harmless: Harmless) -> Iterator[list[Any]]:
    return ([_value(value, harmless) for value in row] for row in rows)


def _value(value: Any, harmless: Harmless) -> Any:
    match value:
        case None | int() | float():
            return value
        case datetime():
            return value.astimezone(UTC).isoformat(sep=" ")
        case date() | UUID():
            return str(value)
        case Decimal():
            return float(value)
        case list() | dict():
            return harmless(json.dumps(value, ensure_ascii=True, default=str))
        case _:
            return harmless(str(value))


def _affinity(type_: str) -> str:
    if type_ in _INTEGERS:
        return "integer"
    return "real" if type_ in _REALS else "text"


def _describe(sqlite: sqlite3.Connection, views: list[View]) -> None:
    sqlite.execute('create table comments ("table" text, "column" text, type text, comment text)')
    for view in views:
        sqlite.execute("insert into comments values (?, null, null, ?)", (view.name, view.description))
        sqlite.executemany(
            "insert into comments values (?, ?, ?, ?)",
            ((view.name, column.name, column.type, column.description) for column in view.columns),
        )
    tables = {
        view.name: {
            "description": view.description,
            "columns": {column.name: column.description for column in view.columns},
        }
        for view in views
    }
    sqlite.execute("create table datasette (metadata text)")
    sqlite.execute("insert into datasette values (?)", (json.dumps({"databases": {"audit": {"tables": tables}}}),))
