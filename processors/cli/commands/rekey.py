"""`fiona-ledger rekey`: a new master key."""

from functools import partial

import typer

from processors.cli import console
from processors.cli.bootstrap import opened_gateway, operator
from processors.cli.key_changes import NOT_COMPACTED, say_waiting
from processors.cli.options import JsonOption
from processors.operations.forget.forget import compact
from processors.operations.forget.rekey import rekey


def command(
    context: typer.Context,
    *,
    json: JsonOption = False,
) -> bool:
    """Give the ledger a new master key: all data keys are wrapped anew, and the key file is replaced.

    Can be interrupted at any point. Backups of the database made before open with the old key only.

    Example: fiona-ledger rekey
    """
    with opened_gateway(context.obj) as (configuration, gateway):
        key_file = configuration.ledger.key_file
        with console.step("Wrapping keys anew") as progress:
            waiting = partial(say_waiting, json=json)
            count = rekey(gateway, key_file, by=operator(), progress=progress, waiting=waiting)
        compacted = compact(gateway.database)
    if json:
        console.print_json({"data_keys": count, "key_file": str(key_file), "compacted": compacted})
        return not compacted
    out = console.output()
    out.print(f"The master key in {key_file} is new; it wraps {count} data keys.")
    out.print(
        "Copy it now to where you keep the master key, apart from the database's backups, and to every other site of "
        "this ledger. Backups of the database made before open with the old key only: keep that as long as you keep "
        "them, and destroy it then.",
    )
    if not compacted:
        out.print(NOT_COMPACTED)
    return not compacted
