"""Commands for whoever keeps or audits the ledger: `verify`, `export`, `grant`, `rebuild`."""

from pathlib import Path
from typing import Annotated

import typer

from processors.cli.exits import ATTENTION, exit_codes

JsonOption = Annotated[bool, typer.Option("--json", help="Print data for another program.")]


def register(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    app.command()(verify)
    app.command()(export)
    app.command()(grant)
    app.command()(rebuild)


def verify(
    context: typer.Context,
    *,
    head: Annotated[
        bool, typer.Option("--head", help="Print one line only, to keep elsewhere: position, hash and time.")
    ] = False,
    kept: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="FILE", help="Lines kept from --head: each must still be part of the ledger ('-': stdin)."
        ),
    ] = None,
    projections: Annotated[
        bool, typer.Option("--projections", help="Derive all projections afresh and compare them row by row.")
    ] = False,
    without_keys: Annotated[
        bool, typer.Option("--without-keys", help="This machine is not meant to have the master key.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Recompute the ledger's chain of hashes, and check positions, streams, subjects and keys.

    Ends with 4 and names the first event that fails, and how. Changes nothing; runs may go on meanwhile.

    Example: fiona-ledger verify --from heads.txt --head >> heads.txt
    """
    with exit_codes():
        from processors.cli.ledger_work import verify as work

        if work(context.obj, head=head, kept=kept, projections=projections, without_keys=without_keys, json=json):
            raise typer.Exit(ATTENTION)


def export(
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
    with exit_codes():
        from processors.cli.ledger_work import export as work

        work(context.obj, first=first, last=last, output=output, json=json)


def grant(
    context: typer.Context,
    *,
    writer: Annotated[
        str | None, typer.Option("--writer", metavar="ROLE", help="The PostgreSQL role of the periodic run.")
    ] = None,
    auditor: Annotated[
        str | None, typer.Option("--auditor", metavar="ROLE", help="The PostgreSQL role that may read the audit views.")
    ] = None,
    sql: Annotated[bool, typer.Option("--sql", help="Print the statements instead of executing them.")] = False,
    json: JsonOption = False,
) -> None:
    """Give PostgreSQL roles the least privileges that work. Harmless to repeat.

    The writer appends, and keeps the gateway's tables; it cannot change or delete an event. The auditor reads
    the views of schema audit and nothing else. To be run by the role that owns the tables, after each `migrate`.

    Example: fiona-ledger grant --writer fiona_writer --auditor fiona_auditor
    """
    with exit_codes():
        from processors.cli.ledger_work import grant as work

        work(context.obj, writer=writer, auditor=auditor, sql=sql, json=json)


def rebuild(
    context: typer.Context,
    projection: Annotated[str | None, typer.Argument(help="The projection; else all of them.")] = None,
    *,
    json: JsonOption = False,
) -> None:
    """Empty the tables derived from events and derive them again. Events are not touched.

    Needs no master key. While a run is under way it does nothing, says so and ends with 0.

    Example: fiona-ledger rebuild studies
    """
    with exit_codes():
        from processors.cli.ledger_work import rebuild as work

        work(context.obj, projection, json=json)
