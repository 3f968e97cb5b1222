"""`fiona-ledger run`: the periodic run."""

from typing import Annotated

import typer

from processors.cli import console
from processors.cli.bootstrap import operator
from processors.cli.dry_run import dry_run as rehearsal
from processors.cli.options import DryRunOption, JsonOption
from processors.cli.runs import Processor, periodic_run
from processors.operations.adopt.guard import require_moved_in
from processors.run import decide_autoid, decide_incoming, wants_autoid, write_pending


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
    with rehearsal(context.obj, json=json) as (configuration, gateway, redcap, report):
        require_moved_in(gateway, redcap, fresh=fresh, by=operator())
        if only != Processor.AUTOID:
            decide_incoming(gateway, redcap, configuration, report, console.step)
        if only != Processor.INCOMING and wants_autoid(redcap):
            decide_autoid(gateway, redcap, configuration, report, console.step)
        # Once, at the end: REDCap does not have what a first delivery would have written.
        write_pending(gateway, redcap, configuration, report, console.step)
    return report.needs_attention
