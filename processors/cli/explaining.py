"""Commands that tell why studies go where they go: `explain`, `what-if`, `rules check`."""

from pathlib import Path
from typing import Annotated

import typer

from processors.cli.exits import ATTENTION, exit_codes

JsonOption = Annotated[bool, typer.Option("--json", help="Print data for another program.")]


def register(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    app.command()(explain)
    app.command(name="what-if")(what_if)
    rules = typer.Typer(help="Look at the routing rules.", no_args_is_help=True)
    rules.callback()(_rules)
    rules.command(name="check")(check)
    app.add_typer(rules, name="rules")


def _rules() -> None:
    """Look at the routing rules."""


def explain(
    context: typer.Context,
    study: Annotated[str, typer.Argument(metavar="STUDY", help="A StudyInstanceUID or an accession number.")],
    *,
    json: JsonOption = False,
) -> None:
    """Tell what happened to a study and why: its timeline, and which condition of which rule and entry held.

    From the ledger alone; REDCap is not asked. Of PatientID and PatientName, only whether a pattern matched.

    Example: fiona-ledger explain 1.2.840.113619.2.55
    """
    with exit_codes():
        from processors.cli.explaining_work import explain as work

        work(context.obj, study, json=json)


def what_if(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Changed or new rules: JSON or CSV, with labels.")],
    *,
    since: Annotated[
        str | None, typer.Option("--since", metavar="DATE", help="Only studies that arrived since (YYYY-MM-DD).")
    ] = None,
    whole_table: Annotated[
        bool, typer.Option("--whole-table", help="FILE holds all rules: those that are not in it are dropped.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Try routing rules before they go live: which recorded studies would gain, lose or change a request.

    FILE holds rules by REDCap's field names, routing_dest_project being the project's name. Nothing is recorded.

    Example: fiona-ledger what-if new-rules.csv --since 2026-01-01
    """
    with exit_codes():
        from processors.cli.rules_work import what_if as work

        work(context.obj, file, since=since, whole_table=whole_table, json=json)


def check(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Rules to look at instead: JSON or CSV, with labels.")
    ] = None,
    *,
    json: JsonOption = False,
) -> None:
    """Look for routing rules that cannot be used, never match, are slow, or contradict each other.

    Those in force, or those of FILE; they are tried on everything that was recorded. Ends with 1 where
    something was found.

    Example: fiona-ledger rules check
    """
    with exit_codes():
        from processors.cli.rules_work import check as work

        if work(context.obj, file, json=json):
            raise typer.Exit(ATTENTION)
