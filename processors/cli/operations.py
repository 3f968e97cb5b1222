"""Commands for what an operator does by hand: `replay`, `retract`, `reassign`."""

from typing import Annotated

import typer

from processors.cli.exits import ATTENTION, exit_codes

JsonOption = Annotated[bool, typer.Option("--json", help="Print data for another program.")]
StudyArgument = Annotated[str, typer.Argument(help="Its StudyInstanceUID.")]
ProjectOption = Annotated[str, typer.Option("--project", metavar="NAME", help="The project that it was requested for.")]
EventOption = Annotated[
    str | None, typer.Option("--event", metavar="NAME", help="Its event, where there are several in the project.")
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; the ledger keeps it, with your account's name.")]


def register(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    app.command()(replay)
    app.command()(retract)
    app.command()(reassign)


def replay(
    context: typer.Context,
    *,
    project: Annotated[
        str, typer.Option("--project", metavar="NAME", help="Request what its rules and couplings ask for today, too.")
    ] = "",
    since: Annotated[str | None, typer.Option(metavar="DATE", help="Studies that arrived then or later.")] = None,
    until: Annotated[str | None, typer.Option(metavar="DATE", help="Studies that arrived up to then.")] = None,
    include_vanished: Annotated[
        bool,
        typer.Option("--include-vanished", help="Request studies that are not on disk, too; the sender will fail."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    json: JsonOption = False,
) -> None:
    """Write all recorded studies and series to REDCap again, and place what a project's rules ask for today.

    Needs no file on disk. Rows that somebody deleted come back, unless that was acknowledged. Nothing is requested
    twice, nothing that was sent is sent again, no ID is drawn. Interrupted, the same command goes on where it was.

    Example: fiona-ledger replay --project "Heart Study" --since 2026-01-01 --dry-run
    """
    with exit_codes():
        from processors.cli import dates
        from processors.cli.operations_work import replay as work
        from processors.operations.replay import Scope

        scope = Scope(
            project=project,
            since=dates.since("--since", since),
            until=dates.until("--until", until),
            include_vanished=include_vanished,
        )
        if work(context.obj, scope, command="replay", dry_run=dry_run, json=json):
            raise typer.Exit(ATTENTION)


def retract(
    context: typer.Context,
    study: StudyArgument,
    *,
    project: ProjectOption,
    reason: ReasonOption,
    event: EventOption = None,
    json: JsonOption = False,
) -> None:
    """Withdraw a transfer request, for good: no rule, and no coupling entry of before, asks for it again.

    If it has not been sent, its row in REDCap is emptied. If it has, this says what must be removed downstream.

    Example: fiona-ledger retract 1.2.840.1 --project "Heart Study" --reason "wrong patient, ticket 4711"
    """
    with exit_codes():
        from processors.cli.amending_work import amend as work

        if work(context.obj, study, project=project, event=event, pseudonym=None, reason=reason, json=json):
            raise typer.Exit(ATTENTION)


def reassign(
    context: typer.Context,
    study: StudyArgument,
    *,
    project: ProjectOption,
    to_subject: Annotated[str, typer.Option("--to-subject", metavar="ID", help="The pseudonym that is right.")],
    reason: ReasonOption,
    event: EventOption = None,
    json: JsonOption = False,
) -> None:
    """Give a transfer request another pseudonym. It stands over rules, and over coupling entries of before.

    If it has not been sent, its row in REDCap is amended. If it has, a new one is placed, and this says what must be
    removed downstream.

    Example: fiona-ledger reassign 1.2.840.1 --project "Heart Study" --to-subject H-017 --reason "ticket 4711"
    """
    with exit_codes():
        from processors.cli.amending_work import amend as work

        if work(context.obj, study, project=project, event=event, pseudonym=to_subject, reason=reason, json=json):
            raise typer.Exit(ATTENTION)
