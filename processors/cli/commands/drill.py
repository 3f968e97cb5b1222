"""`fiona-ledger drill`: whether a backup could be gone on from, tried."""

from pathlib import Path
from typing import Annotated

import typer

from processors.cli import console
from processors.cli.bootstrap import opened_gateway, operator
from processors.cli.dates import local_time
from processors.cli.options import JsonOption
from processors.operations.drill import drill, newest_backup


def command(
    context: typer.Context,
    *,
    backup: Annotated[
        Path, typer.Argument(metavar="BACKUP", help="A backup, or the folder of which the newest one is taken.")
    ],
    json: JsonOption = False,
) -> None:
    """Restore the newest backup beside the ledger, verify it with the master key, and derive its tables anew.

    It needs PostgreSQL's programs on this machine and room for the ledger in ledger.data_dir, and leaves nothing there.
    The ledger keeps that it was tried; `status` tells when. Ends with 4 where the backup could not be gone on from.

    Example: fiona-ledger drill /mnt/backup
    """
    file = newest_backup(backup)
    with opened_gateway(context.obj) as (configuration, gateway):
        section = configuration.ledger
        with console.step("Restoring and verifying"):
            done = drill(gateway, file, folder=section.data_dir / "drill", key_file=section.key_file, by=operator())
    if json:
        console.print_json({**done._asdict(), "file": str(done.file)})
        return
    counts = ", ".join(f"{count} {name}" for name, count in done.rows.items())
    console.output().print(
        f"Restored {done.file} of {local_time(done.made)} beside the ledger: {done.position} events verify, its keys "
        f"open with the master key, and its tables are what its events make of them ({counts}). The ledger has had "
        f"{done.behind} events since."
    )
