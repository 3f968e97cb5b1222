"""`fiona-ledger redcap check`: whether each project of REDCap is as it must be."""

import sys

import typer

from processors.cli.doctor import examine
from processors.cli.options import JsonOption


def command(context: typer.Context, *, json: JsonOption = False) -> None:
    """Tell of each project of REDCap whether it is as it must be, and what to click where it is not.

    Fields, their types and validations, repeating instruments, missing data codes, the rights of the token's user, its
    data access group, the server's clock, its zone and its certificate. Nothing is written. Ends with 0 where all is
    well, 1 where something may do harm, and 2 where runs cannot do their work.

    Example: fiona-ledger redcap check
    """
    sys.exit(examine(context.obj, json=json, redcap_alone=True))
