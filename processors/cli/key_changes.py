"""What `forget` and `rekey` tell alike: whom they wait for, and what is left in the database's files."""

import typer

from processors.cli.harmless import on_a_line

NOT_COMPACTED = (
    "NOTE: the tables' files still hold the old row versions with their keys, because somebody else is using the "
    "tables or this role does not own them. Later, as their owner: "
    "VACUUM (FULL, ANALYZE) ledger.subject, ledger.vault;"
)


def say_waiting(holder: str, *, json: bool) -> None:
    """Tells the person who watches, if it is one, whose end the command waits for."""
    if not json:
        typer.echo(on_a_line(f"Waiting for {holder} to end."), err=True)
