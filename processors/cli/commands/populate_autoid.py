"""`populateAutoID`: the half of the periodic run that gives pseudonyms, by the name that cron tables know."""

from typing import Annotated

import typer

from processors.cli.news import Audience
from processors.cli.options import ConfigOption, JsonOption, VerboseOption
from processors.cli.runs import Processor, periodic_run


def command(
    *,
    config: ConfigOption = None,
    import_all: Annotated[
        str | None,
        typer.Option("--importAll", metavar="PROJECT", help="Consider all studies of this project, however old."),
    ] = None,
    verbose: VerboseOption = False,
    json: JsonOption = False,
) -> bool:
    """Give pseudonyms to new studies of projects that want them (as `fiona-ledger run --only autoid` does).

    Example: populateAutoID --importAll TEACHING
    """
    audience = Audience.found(json=json, verbose=verbose)
    return periodic_run(config, audience, command="populateAutoID", only=Processor.AUTOID, all_of=import_all)
