"""`fiona-ledger new-disk`: the raw folder lies on another disk for good."""

from typing import Annotated

import typer

from processors.cli import console
from processors.cli.bootstrap import opened_exclusively, operator
from processors.cli.options import JsonOption, require_reason
from processors.source.discover import accept_place


def command(
    context: typer.Context,
    *,
    reason: Annotated[str | None, typer.Option("--reason", help="What became of the other disk.")] = None,
    json: JsonOption = False,
) -> None:
    """Say that the raw folder lies on another disk for good: the next run records what it lacks as vanished.

    Until then, runs take a disk without any of the known studies for one that is not mounted.

    Example: fiona-ledger new-disk --reason "the old array failed, its studies are lost"
    """
    why = require_reason(reason)
    with opened_exclusively(context.obj) as (configuration, gateway):
        known = accept_place(gateway, configuration.source.raw, by=operator(), reason=why)
    if json:
        console.print_json({"known_studies": known})
    else:
        console.output().print(
            f"Recorded. Of {known} known studies, the next run records those as vanished that are not there."
        )
