"""`fiona-ledger replay`: everything that is recorded, decided and written again."""

from typing import Annotated

import typer

from processors.cli import dates
from processors.cli.bootstrap import operator
from processors.cli.dry_run import printed_dry_run
from processors.cli.news import Audience
from processors.cli.options import DryRunOption, JsonOption
from processors.cli.replays import replay_run
from processors.operations.adopt.guard import require_moved_in
from processors.operations.replay import Scope, replay


def command(
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
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> bool:
    """Write all recorded studies and series to REDCap again, and place what a project's rules ask for today.

    Needs no file on disk. Rows that somebody deleted come back; where that was acknowledged, only those of studies
    that the project asks for. Nothing is requested twice, nothing that was sent is sent again, no ID is drawn.
    Interrupted, the same command goes on where it was.

    Example: fiona-ledger replay --project "Heart Study" --since 2026-01-01 --dry-run
    """
    scope = Scope(
        project=project,
        since=dates.since("--since", since),
        until=dates.until("--until", until),
        include_vanished=include_vanished,
    )
    if not dry_run:
        audience = Audience.found(json=json, verbose=True)
        return replay_run(context.obj, audience, scope, command="replay")
    with printed_dry_run(context.obj, json=json) as run:
        require_moved_in(run.gateway, run.redcap, fresh=False, by=operator())
        replay(run, scope, by=operator())
    return run.report.needs_attention
