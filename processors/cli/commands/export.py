"""`fiona-ledger export`: events as lines of JSON."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from ledger.chain import Part
from ledger.database import Database
from ledger.export import export
from processors.cli import console
from processors.cli.bootstrap import opened_ledger
from processors.cli.exit_codes import readers_may_leave
from processors.cli.files import written_privately


def command(
    context: typer.Context,
    *,
    first: Annotated[int, typer.Option("--from", metavar="P", help="The first position.")] = 1,
    last: Annotated[int | None, typer.Option("--to", metavar="P", help="The last position; else the newest.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", help="The file to write, readable to its owner only; else standard output."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="With --output: say what was written as data.")] = False,
) -> None:
    """Write events as lines of JSON, for archives and auditors. What is sealed stays sealed.

    `ledger/chain.py`, copied alone to any machine with Python, verifies what this writes.

    Example: fiona-ledger export --from 100001 --output events-2026-03.jsonl
    """
    with opened_ledger(context.obj) as (_, database):
        if output is None:
            with readers_may_leave():
                _exported(database, sys.stdout.buffer.write, first, last)
            return
        with written_privately(output) as file:
            part = _exported(database, file.write, first, last)
    if json:
        console.print_json({"from": part.first, "to": part.last, "hash": part.last_hash.hex(), "file": str(output)})
    else:
        console.output().print(f"Exported events {part.first} to {part.last} to {output}.")


def _exported(database: Database, write: Callable[[bytes], object], first: int, last: int | None) -> Part:
    with console.step("Exporting") as progress, database.begin() as connection:
        return export(connection, write, first=first, last=last, progress=progress)
