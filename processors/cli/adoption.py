"""Commands for moving in beside a REDCap that has lived for years: `adopt`, `shadow`."""

from typing import Annotated

import typer

from processors.cli.exits import ATTENTION, exit_codes

JsonOption = Annotated[bool, typer.Option("--json", help="Print data for another program.")]


def register(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    app.command()(adopt)
    app.command()(shadow)


def adopt(context: typer.Context, *, json: JsonOption = False) -> None:
    """Record what REDCap holds already, so that nothing of it is requested or placed again.

    Reads Incoming and AutoID and writes nothing there. Interrupted, give it again: it goes on where it was.

    Example: fiona-ledger adopt
    """
    with exit_codes():
        from processors.cli.adoption_work import adopt as work

        work(context.obj, json=json)


def shadow(context: typer.Context, *, json: JsonOption = False) -> None:
    """Decide beside today's scripts without writing to REDCap, and tell where they decided otherwise.

    It keeps a ledger of its own: give it a configuration of its own. See docs/moving-in.md.

    Example: fiona-ledger --config /etc/fiona-shadow.toml shadow
    """
    with exit_codes():
        from processors.cli.adoption_work import shadow as work

        if work(context.obj, json=json):
            raise typer.Exit(ATTENTION)
