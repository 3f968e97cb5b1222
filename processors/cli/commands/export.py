"""`fiona-ledger export`: events as lines of JSON, disclosures as FHIR has them, or the audit's views as SQLite."""

import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import Connection

from ledger import scan
from ledger.export import export
from processors.cli import console
from processors.cli.bootstrap import opened_database, opened_ledger
from processors.cli.exit_codes import readers_may_leave
from processors.cli.files import made_privately, written_privately
from processors.cli.harmless import as_json, in_a_cell
from processors.errors import ConfigurationError
from processors.operations import audit, audit_file
from processors.operations.disclosures import audit_events

Write = Callable[[bytes], object]
_LINES_A_WRITE = 500


class Format(StrEnum):
    """What is written."""

    EVENTS = "events"
    AUDIT_EVENT = "audit-event"


def command(
    context: typer.Context,
    *,
    format_: Annotated[
        Format,
        typer.Option(
            "--format", help="The events; or, as FHIR's AuditEvent, those that tell that a study left the site."
        ),
    ] = Format.EVENTS,
    first: Annotated[int, typer.Option("--from", metavar="P", help="The first position.")] = 1,
    last: Annotated[int | None, typer.Option("--to", metavar="P", help="The last position; else the newest.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", help="The file to write, readable to its owner only; else standard output."),
    ] = None,
    sqlite: Annotated[
        Path | None, typer.Option("--sqlite", metavar="FILE", help="All audit views, with comments, in a SQLite file.")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="With --output or --sqlite: say what was written as data.")
    ] = False,
) -> None:
    """Write events as lines of JSON, for archives and auditors. What is sealed stays sealed.

    `ledger/chain.py`, copied alone to any machine with Python, verifies what this writes.

    With --format audit-event: each time that a study is known to have been sent, for the hospital's own audit trail, in
    FHIR R4 as IHE BALP has it (PrivacyDisclosure.Source). With --sqlite: what `fiona-ledger audit` shows, for Datasette
    or R.

    Example: fiona-ledger export --from 100001 --output events-2026-03.jsonl
    """
    if sqlite is not None:
        if (format_, first, last, output) != (Format.EVENTS, 1, None, None):
            raise ConfigurationError("--sqlite writes all audit views: expected no other option than --json beside it.")
        done, told = _views(context.obj, sqlite)
    else:
        write = {Format.EVENTS: _events, Format.AUDIT_EVENT: _disclosures}[format_]
        with opened_ledger(context.obj) as (configuration, database), database.begin() as connection:
            if output is None:
                with readers_may_leave():
                    write(connection, sys.stdout.buffer.write, first, last)
                return
            with written_privately(output, configuration) as file:
                done, told = write(connection, file.write, first, last)
        done, told = f"{done} to {output}.", told | {"file": str(output)}
    if json:
        console.print_json(told)
    else:
        console.output().print(done)


def _events(connection: Connection, write: Write, first: int, last: int | None) -> tuple[str, dict[str, Any]]:
    with console.step("Exporting") as progress:
        part = export(connection, write, first=first, last=last, progress=progress)
    told = {"from": part.first, "to": part.last, "hash": part.last_hash.hex()}
    return f"Exported events {part.first} to {part.last}", told


def _disclosures(connection: Connection, write: Write, first: int, last: int | None) -> tuple[str, dict[str, Any]]:
    scan.as_one_moment(connection)
    count = 0
    with console.step("Exporting"):
        for event in audit_events(connection, first=first, last=last):
            write(f"{as_json(event)}\n".encode())
            count += 1
    return f"Exported {count} disclosures", {"disclosures": count}


def _views(config: Path | None, file: Path) -> tuple[str, dict[str, Any]]:
    with (
        opened_database(config) as (configuration, database),
        database.begin() as connection,
        made_privately(file, configuration, "--sqlite") as aside,
        console.step("Exporting"),
    ):
        scan.as_one_moment(connection)
        audit.require_views(connection)
        rows = audit_file.write(connection, aside, in_a_cell)
    return f"Exported {len(rows)} views with {sum(rows.values())} rows to {file}.", {"rows": rows, "file": str(file)}
