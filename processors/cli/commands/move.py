"""`fiona-ledger move`: the ledger copied to another database."""

from typing import Annotated

import typer

from ledger.database import open_database
from processors.cli import console
from processors.cli.bootstrap import opened_gateway, prepare
from processors.cli.options import JsonOption
from processors.errors import ConfigurationError, ServiceError
from processors.locks import no_runs
from processors.operations.move import Moved, move


def command(
    context: typer.Context,
    *,
    to: Annotated[
        str,
        typer.Option("--to", metavar="URL", help="An empty database, as ledger.url would name it; no password in it."),
    ],
    json: JsonOption = False,
) -> None:
    """Copy the ledger to another database, verify the copy, and say how to switch. The ledger stays where it is.

    No run of any site begins meanwhile. Interrupted, give it again: it goes on where it was. A database that holds
    another ledger is refused.

    Example: fiona-ledger move --to postgresql://fiona@db.hospital.example/fiona
    """
    if not to.startswith(("postgresql://", "postgres://")):
        raise ConfigurationError("--to: expected the address of a server's database, postgresql://USER@HOST/DATABASE.")
    with opened_gateway(context.obj) as (configuration, gateway), no_runs(gateway.database) as busy:
        if busy is not None:
            raise ServiceError(f"{busy.sentence()} Nothing was copied: stop the timer, and give this again.")
        prepare(gateway, exclusive=True)
        gateway.attest()
        target = open_database(to, configuration.ledger.data_dir)
        try:
            with console.step("Copying events") as progress:
                moved = move(gateway.database, target, configuration.ledger.key_file, progress=progress)
        finally:
            target.close()
    if json:
        console.print_json(moved._asdict())
    else:
        _print(moved)


def _print(moved: Moved) -> None:
    out = console.output()
    before = f", {moved.there} of them by an earlier move" * bool(moved.there)
    out.print(
        f"Copied {moved.position} events{before}. All verify, the keys open, and {moved.tables} tables derived from "
        "them are the same there."
    )
    out.print(
        "To switch, with the timer stopped: give this once more, if anything ran since; write the address into "
        "ledger.url of every site; give roles their rights there (`fiona-ledger grant`); start `fiona-ledger run` by "
        "hand, then the timer. The key file and what lies beside it stay. Then keep the old database as a backup, and "
        "let nothing use it. See docs/moving.md."
    )
