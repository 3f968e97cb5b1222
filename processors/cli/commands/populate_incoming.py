"""`populateIncoming`: the main half of the periodic run, by the name that cron tables know."""

from typing import Annotated

import typer

from processors.cli.news import Audience
from processors.cli.options import ConfigOption, JsonOption, VerboseOption
from processors.cli.replays import replay_run
from processors.cli.runs import Processor, periodic_run
from processors.errors import ConfigurationError
from processors.operations.replay import Scope

_NAME = "populateIncoming"


def command(
    *,
    config: ConfigOption = None,
    import_all: Annotated[
        str | None,
        typer.Option("--importAll", metavar="PROJECT", help="Write all that is recorded again, and request for it."),
    ] = None,
    verbose: VerboseOption = False,
    json: JsonOption = False,
) -> bool:
    """Fill studies and series into REDCap's Incoming and request their transfers (as `fiona-ledger run` does).

    With --importAll, it is `fiona-ledger replay --project PROJECT`.

    Example: populateIncoming --importAll "Heart Study"
    """
    audience = Audience.found(json=json, verbose=verbose)
    if import_all is None:
        return periodic_run(config, audience, command=_NAME, only=Processor.INCOMING)
    if not import_all.strip():
        raise ConfigurationError("--importAll: expected the name of a project, found a blank.")
    return replay_run(config, audience, Scope(project=import_all), command=_NAME)
