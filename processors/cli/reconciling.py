"""The command `reconcile`."""

from enum import StrEnum
from typing import Annotated

import typer

from processors.cli.exits import ATTENTION, exit_codes


class Format(StrEnum):
    """How differences are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def register(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command()(reconcile)


def reconcile(
    context: typer.Context,
    *,
    project: Annotated[
        str | None, typer.Option("--project", metavar="NAME", help="Studies that were requested for it.")
    ] = None,
    study: Annotated[str | None, typer.Option("--study", metavar="UID", help="This study alone.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="DATE", help="Studies that arrived since then.")
    ] = None,
    restore: Annotated[
        bool, typer.Option("--restore", help="Write ours again where rows are gone or changed.")
    ] = False,
    accept: Annotated[bool, typer.Option("--accept", help="Record that REDCap may say what it says.")] = False,
    reason: Annotated[
        str | None, typer.Option("--reason", help="Why it may differ; the ledger keeps it. With --accept.")
    ] = None,
    output: Annotated[Format, typer.Option("--format", help="How to print what differs.")] = Format.TABLE,
    json: Annotated[bool, typer.Option("--json", help="Print data for another program: as --format json.")] = False,
) -> None:
    """Compare REDCap with the ledger: rows missing, changed or extra, requests by others, deleted records.

    Reports only, unless told otherwise; ends with 1 where something differs. Values are never shown, only the names
    of fields. Rows that still wait to be written are no differences. Interrupted, what was settled stays settled.

    Example: fiona-ledger reconcile --since 2026-03-01 --format csv
    """
    with exit_codes():
        from processors.cli.reconciling_work import Settle
        from processors.cli.reconciling_work import reconcile as work

        settle = Settle(restore=restore, accept=accept, reason=reason)
        shown = Format.JSON if json else output
        if work(context.obj, project=project, study=study, since=since, settle=settle, output=shown):
            raise typer.Exit(ATTENTION)
