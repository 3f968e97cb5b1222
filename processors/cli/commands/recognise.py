"""`fiona-ledger recognise`: REDCap as it is now, taken for the ledger's."""

from typing import Annotated

import typer

from processors.cli import console
from processors.cli.bootstrap import opened_exclusively, opened_redcap, operator
from processors.cli.options import JsonOption, require_reason
from processors.delivery.recognition import accept


def command(
    context: typer.Context,
    *,
    reason: Annotated[str | None, typer.Option("--reason", help="What was done to REDCap.")] = None,
    json: JsonOption = False,
) -> None:
    """Take REDCap as it is now for this ledger's, after a move or a restore from a backup.

    Runs go on then. Drawn IDs that AutoID lacks are stored there again by the next run; what else REDCap
    lacks, `reconcile` tells, and `reconcile --restore` writes.

    Example: fiona-ledger recognise --reason "restored from the backup of Sunday"
    """
    why = require_reason(reason)
    with opened_exclusively(context.obj) as (configuration, gateway), opened_redcap(configuration, gateway) as redcap:
        lost = accept(gateway, redcap, by=operator(), reason=why)
    if json:
        console.print_json({"recognised": True, "ids_to_store_again": lost})
    else:
        again = f" The next run stores {lost} IDs in AutoID again." if lost else ""
        console.output().print(f"Recognised.{again} `fiona-ledger reconcile` tells what else REDCap lacks.")
