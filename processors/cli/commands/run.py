"""`fiona-ledger run`: the periodic run."""

from typing import Annotated

import typer

from processors.cli.bootstrap import operator
from processors.cli.dry_run import printed_dry_run
from processors.cli.options import DryRunOption, JsonOption
from processors.cli.runs import Processor, periodic_run
from processors.operations.adopt.guard import require_moved_in


def command(
    context: typer.Context,
    *,
    only: Annotated[Processor | None, typer.Option("--only", help="Do this half of the job alone.")] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="The first run: what REDCap's Incoming holds already is strangers'.")
    ] = False,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> bool:
    """Do the periodic job once: read new summaries, decide about transfers, write to REDCap.

    Example, in a cron table: * * * * * fiona-ledger run
    """
    if not dry_run:
        return periodic_run(context.obj, command="run", only=only, json=json, fresh=fresh)
    with printed_dry_run(context.obj, json=json) as run:
        require_moved_in(run.gateway, run.redcap, fresh=fresh, by=operator())
        if only != Processor.AUTOID:
            run.decide_incoming()
        if only != Processor.INCOMING and run.wants_autoid():
            run.assign()
        # Once, at the end: REDCap does not have what a first delivery would have written.
        run.deliver()
    return run.report.needs_attention
