"""`fiona-ledger run`: the periodic run."""

from typing import Annotated

import typer

from processors.cli.bootstrap import operator
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
    every: Annotated[
        float | None,
        typer.Option(
            "--every", metavar="SECONDS", help="Stay, and do it again and again, begun every so many seconds."
        ),
    ] = None,
    timing: Annotated[
        bool, typer.Option("--timing", help="Tell how long each step took, and where that time went.")
    ] = False,
    dry_run: DryRunOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> bool:
    """Do the periodic job: read new summaries, decide about transfers, write to REDCap.

    Elsewhere than on a terminal it prints news alone: what happened, and what needs a person when it is new or a day
    old. When nothing happened, it prints nothing. So it does with --every, wherever it is; SIGHUP has it read the
    configuration again, SIGTERM ends it.

    Example, in a cron table: * * * * * fiona-ledger run
    """
    name = "run" if only is None else f"run --only {only}"
    if every is not None:
        _require_alone(dry_run=dry_run, fresh=fresh, json=json, timing=timing)
        # Imported here, as what a dry run needs is below: cron's runs are neither.
        from processors.cli.resident import stay

        stay(context.obj, Audience(verbose=verbose, stays=True), every, command=name, only=only)
        return False
    if not dry_run:
        audience = Audience.found(json=json, verbose=verbose, quiet=quiet)
        return periodic_run(context.obj, audience, command=name, only=only, fresh=fresh, timing=timing)
    if timing:
        raise ConfigurationError("--timing measures what a run does: expected no --dry-run beside it.")
    from processors.cli.dry_run import printed_dry_run

    with printed_dry_run(context.obj, json=json) as run:
        require_moved_in(run.gateway, run.redcap, fresh=fresh, by=operator())
        if only != Processor.AUTOID:
            run.decide_incoming()
        if only != Processor.INCOMING and run.wants_autoid():
            run.assign()
        # Once, at the end: REDCap does not have what a first delivery would have written.
        run.deliver()
    return run.report.needs_attention


def _require_alone(**others: bool) -> None:
    """Raises `ConfigurationError` for what does not go with staying."""
    given = [f"--{name.replace('_', '-')}" for name, is_given in others.items() if is_given]
    if given:
        raise ConfigurationError(f"--every: expected without {', '.join(given)}, which is for one run; give it first.")
