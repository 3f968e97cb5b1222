"""`fiona-ledger migrate`: the ledger's tables and its master key."""

from functools import partial

import typer

from ledger.lease import Lease
from processors.cli import console
from processors.cli.bootstrap import opened_database
from processors.cli.harmless import on_a_line
from processors.cli.options import JsonOption
from processors.gateway import set_up


def command(context: typer.Context, *, json: JsonOption = False) -> None:
    """Set up the ledger's tables and, for a new ledger, its master key. Harmless to repeat.

    A run that is under way is waited for, a minute at most; none begins meanwhile.

    Example: fiona-ledger --config /etc/fiona-ledger.toml migrate
    """
    with opened_database(context.obj) as (configuration, database):
        changed, key_made = set_up(database, configuration.ledger.key_file, waiting=partial(_say_waiting, json=json))
    if json:
        console.print_json({"migrated": changed, "key_file_made": key_made})
        return
    out = console.output()
    out.print("The ledger's tables are set up." if changed else "The ledger's tables were up to date.")
    if key_made:
        out.print(console.key_made_in_words(configuration.ledger.key_file))


def _say_waiting(busy: Lease, *, json: bool) -> None:
    """Tells the person who watches, if it is one, whose end the command waits for."""
    if not json:
        typer.echo(on_a_line(f"{busy.sentence()} Waiting for its end."), err=True)
