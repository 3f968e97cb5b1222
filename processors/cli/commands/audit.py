"""`fiona-ledger audit`: the audit's views as a table for people, as JSON or as CSV."""

import csv as rfc4180
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.measure import Measurement
from sqlalchemy import Connection

from processors.cli import console, dates
from processors.cli.bootstrap import opened_database
from processors.cli.exit_codes import readers_may_leave
from processors.cli.harmless import as_json, in_a_cell
from processors.cli.options import CsvOption, JsonOption
from processors.errors import ConfigurationError
from processors.operations import audit
from processors.operations.audit import Row, Selection, View

SHOWN = 100
"""Rows that a person is shown without having asked for a number."""

_DAY = "%Y-%m-%d"
_WIDEST = 250
"""Where no terminal sets a limit: wider tables become one block for each row."""


def command(
    context: typer.Context,
    *,
    name: Annotated[str | None, typer.Argument(help="The view to show; without it, they are listed.")] = None,
    since: Annotated[
        datetime | None, typer.Option("--since", metavar="DATE", formats=[_DAY], help="The first day (YYYY-MM-DD).")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option("--until", metavar="DATE", formats=[_DAY], help="The last day (YYYY-MM-DD).")
    ] = None,
    study: Annotated[str | None, typer.Option("--study", metavar="UID", help="A StudyInstanceUID.")] = None,
    project: Annotated[str | None, typer.Option("--project", metavar="NAME", help="A research project.")] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", min=1, help=f"At most so many rows, the newest (for people: {SHOWN})."),
    ] = None,
    json: JsonOption = False,
    csv: CsvOption = False,
) -> None:
    """Show what the ledger tells an auditor. No master key is needed, and a role that may only read the schema audit.

    Example: fiona-ledger audit transfer --study 1.2.840.113619.2.55 --csv
    """
    selection = Selection(
        since=since.date() if since is not None else None,
        until=until.date() if until is not None else None,
        study=study,
        project=project,
        limit=limit,
    )
    _check(name, selection, json=json, csv=csv)
    with (
        readers_may_leave(),
        opened_database(context.obj) as (_, database),
        database.begin() as connection,
    ):
        audit.require_views(connection)
        audit.in_zone(connection, dates.zone_name())
        if name is None:
            _print_list(list(audit.views(connection).values()), json=json, csv=csv)
            return
        view = audit.view(connection, name)
        if json:
            _print_json(view, audit.select(connection, view, selection))
        elif csv:
            _print_csv([column.name for column in view.columns], audit.select(connection, view, selection))
        else:
            _print_for_people(connection, view, selection)


def _check(name: str | None, selection: Selection, *, json: bool, csv: bool) -> None:
    given = {option: value for option, value in asdict(selection).items() if value is not None}
    if json and csv:
        raise ConfigurationError("Expected --json or --csv, found both.")
    if name is None and given:
        raise ConfigurationError(f"--{next(iter(given))} needs the name of a view. `fiona-ledger audit` lists them.")
    for option in ("study", "project"):
        # Bytes that are no text come as what PostgreSQL cannot be asked for.
        if not str(given.get(option, "")).isprintable():
            raise ConfigurationError(f"--{option}: expected printable text, found something else.")
    if selection.since and selection.until and selection.since > selection.until:
        raise ConfigurationError(
            f"Expected --since not to be after --until, found {selection.since} and {selection.until}."
        )


def _print_list(views: Sequence[View], *, json: bool, csv: bool) -> None:
    if json:
        console.print_json([asdict(view) for view in views])
    elif csv:
        _print_csv(["name", "description"], [(view.name, view.description) for view in views])
    else:
        out = console.output()
        for view in views:
            out.print(f"audit.{view.name}", style="bold")
            out.print(f"    {view.description}")
        out.print("`fiona-ledger audit NAME` shows one; in SQL, they are views of the schema audit.")


def _print_json(view: View, rows: Iterable[Row]) -> None:
    """One array, written as its rows come."""
    names = [column.name for column in view.columns]
    sys.stdout.write("[")
    for number, row in enumerate(rows):
        line = as_json(dict(zip(names, row, strict=True)))
        sys.stdout.write(f"{',' if number else ''}\n  {line}")
    sys.stdout.write("\n]\n")


def _print_csv(names: Sequence[str], rows: Iterable[Row]) -> None:
    writer = rfc4180.writer(sys.stdout)
    writer.writerow(names)
    writer.writerows([in_a_cell(_exact(value)) for value in row] for row in rows)


def _print_for_people(connection: Connection, view: View, selection: Selection) -> None:
    from processors.operations import audit

    shown = selection.limit or SHOWN
    # One more tells whether there are more.
    rows = list(audit.select(connection, view, replace(selection, limit=shown + 1)))
    out = console.output()
    out.print(f"audit.{view.name}: {view.description}", style="bold")
    if not rows:
        out.print("No rows.")
        return
    texts = [[_readable(value) for value in row] for row in rows[:shown]]
    filled = [index for index in range(len(view.columns)) if any(row[index] for row in texts)]
    names = [view.columns[index].name for index in filled]
    _print_rows(out, names, [[row[index] for index in filled] for row in texts])
    if len(rows) > shown:
        out.print(f"There are more: these are {shown}. `--limit N` shows more, `--csv` and `--json` all of them.")


def _print_rows(out: Console, names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table where it fits, else a block for each row."""
    table = console.table("", names, rows)
    room = out.width if sys.stdout.isatty() else _WIDEST
    needed = Measurement.get(out, out.options.update_width(room + 1), table).maximum
    if needed <= room:
        out.width = max(out.width, needed)
        out.print(table)
        return
    margin = max(len(name) for name in names)
    for row in rows:
        out.print()
        for name, cell in zip(names, row, strict=True):
            if cell:
                out.print(f"{name:{margin}}  {cell}")


def _exact(value: Any) -> Any:
    """As it stands in CSV."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat()
    return as_json(value) if isinstance(value, list | dict) else value


def _readable(value: Any) -> str:
    """As a person reads it."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat(" ", "seconds")
    if isinstance(value, list) and all(isinstance(item, str | int) for item in value):
        return "; ".join(str(item) for item in value)
    return str(_exact(value))
