"""`fiona-ledger psql`: the ledger's database in PostgreSQL's own client."""

import signal
import subprocess
import sys
from typing import Annotated

import typer

from ledger import clients
from processors.cli.bootstrap import opened_database


def command(
    context: typer.Context,
    *,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="-- [ARGUMENTS]", help="What psql is given besides, after two hyphens."),
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Let statements change what they may.")] = False,
) -> None:
    """Open the ledger, an embedded one too, in psql: `select * from transfer` reads audit.transfer.

    The schema audit comes before gateway and ledger. Without --write nothing can be changed. Ends with psql's code.

    Example: fiona-ledger psql -- --command 'select * from run limit 3'
    """
    settings = {"search_path": "audit,gateway,ledger"}
    if not write:
        settings["default_transaction_read_only"] = "on"
    with opened_database(context.obj) as (_, database):
        # Ctrl-C is for psql, which ends a statement with it.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            done = subprocess.run(  # noqa: S603 - the system's or our installation's  # nosec B603
                [clients.program(database, "psql"), *(arguments or [])],
                env=clients.environment(database, settings),
                check=False,
            )
        finally:
            signal.signal(signal.SIGINT, before)
    sys.exit(done.returncode)
