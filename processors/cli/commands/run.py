"""`fiona-ledger run`: the periodic run."""

from typing import Annotated

import typer

from processors.cli.bootstrap import operator
from processors.cli.dry_run import printed_dry_run
from processors.cli.news import Audience
from processors.cli.options import DryRunOption, JsonOption, QuietOption, VerboseOption
from processors.cli.runs import Processor, periodic_run
from processors.errors import ConfigurationError
from processors.operations.adopt.guard import require_moved_in


def command(
    context: typer.Context,
    *,
    only: Annotated[Processor | None, typer.Option("--only", help="Do this half of the job alone.")] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="The first run: what REDCap's Incoming holds already is strangers'.")
    ] = False,
    timing: Annotated[
        bool, typer.Option("--timing", help="Tell how long each step took, and where that time went.")
    ] = False,
    dry_run: DryRunOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> bool:
    """Do the periodic job once: read new summaries, decide about transfers, write to REDCap.

    Elsewhere than on a terminal it prints news alone: what happened, and what needs a person when it is new or a day
    old. When nothing happened, it prints nothing.

    Example, in a cron table: * * * * * fiona-ledger run
    """
    if not dry_run:
        audience = Audience.found(json=json, verbose=verbose, quiet=quiet)
        name = "run" if only is None else f"run --only {only}"
        return periodic_run(context.obj, audience, command=name, only=only, fresh=fresh, timing=timing)
    if timing:
        raise ConfigurationError("--timing measures what a run does: expected no --dry-run beside it.")
    with printed_dry_run(context.obj, json=json) as run:
        require_moved_in(run.gateway, run.redcap, fresh=fresh, by=operator())
        if only != Processor.AUTOID:
            run.decide_incoming()
        if only != Processor.INCOMING and run.wants_autoid():
            run.assign()
        # Once, at the end: REDCap does not have what a first delivery would have written.
        run.deliver()
    return run.report.needs_attention
