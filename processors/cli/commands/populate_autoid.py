"""`populateAutoID`: the half of the periodic run that gives pseudonyms, by the name that cron tables know."""

from typing import Annotated

import typer

from processors.cli.options import ConfigOption, JsonOption
from processors.cli.runs import Processor, periodic_run


def command(
    *,
    config: ConfigOption = None,
    import_all: Annotated[
        str | None,
        typer.Option("--importAll", metavar="PROJECT", help="Consider all studies of this project, however old."),
    ] = None,
    json: JsonOption = False,
) -> bool:
    """Give pseudonyms to new studies of projects that want them (as `fiona-ledger run --only autoid` does).

    Example: populateAutoID --importAll TEACHING
    """
    return periodic_run(config, command="populateAutoID", only=Processor.AUTOID, all_of=import_all, json=json)
