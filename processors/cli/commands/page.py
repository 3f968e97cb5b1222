"""`fiona-ledger page`: the overview as files."""

from pathlib import Path
from typing import Annotated

import typer

from processors.cli import console
from processors.cli.bootstrap import opened_tables
from processors.cli.page_files import write_page
from processors.cli.unrecorded import unrecorded_run
from processors.operations.limits import Limits
from processors.operations.status import status


def command(
    context: typer.Context,
    *,
    output: Annotated[Path, typer.Option("--output", metavar="FOLDER", help="Where to write it; it must be there.")],
) -> None:
    """Write the page's overview as files that any web server can serve. `health.page` has each run do so.

    Example: fiona-ledger page --output /var/www/fiona-ledger
    """
    with opened_tables(context.obj) as (configuration, gateway):
        write_page(
            output, configuration, gateway, status(gateway, Limits.of(configuration), unrecorded_run(context.obj))
        )
    console.output().print(f"Written: {output / 'index.html'}")
