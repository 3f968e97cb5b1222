"""The programs `fiona-ledger`, and `populateIncoming` and `populateAutoID`, by which cron tables know its two halves.

A command's file is imported when the command is called, so that `--help` and `--version` answer at once.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from processors.cli import collector, surroundings
from processors.cli.commands import COMMANDS
from processors.cli.exit_codes import ATTENTION, end_in_order_on_sigterm, exit_codes, readers_may_leave
from processors.cli.options import ConfigOption

# Inherited by the commands of a group.
_HELP = {"help_option_names": ["-h", "--help"]}


class Command(TyperCommand):
    """A command that ends with the code of its error, and with 1 where it gives True: something needs a person."""

    def invoke(self, ctx: Any) -> None:
        """Does the work."""
        needs_attention = False
        with exit_codes(), readers_may_leave():
            needs_attention = super().invoke(ctx)
        if needs_attention:
            sys.exit(ATTENTION)


class Commands(TyperGroup):
    """The commands whose names begin with `prefix`, each imported when it is called."""

    def __init__(self, *, prefix: str = "", **attributes: Any) -> None:
        super().__init__(**attributes)
        self._prefix = prefix
        for _, name, line in self._listed():
            word, *more = name.split(" ")
            self.add_command(
                Commands(name=word, prefix=f"{prefix}{word} ", no_args_is_help=True, rich_markup_mode=None)
                if more
                else TyperCommand(word, help=line)
            )

    def _listed(self) -> Iterator[tuple[str, str, str]]:
        """Of each command: its heading, what of its name follows the prefix, and its line."""
        for heading, commands in COMMANDS.items():
            for name, line in commands.items():
                if name.startswith(self._prefix):
                    yield heading, name.removeprefix(self._prefix), line

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The name and the command that `args` begin with, and the rest of them."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command if isinstance(command, Commands) else load(f"{self._prefix}{name}"), rest

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - typer's signature
        """Writes the commands under their headings, all lines beginning in one column."""
        listed = list(self._listed())
        margin = max(len(name) for _, name, _ in listed)
        for heading in dict.fromkeys(heading for heading, _, _ in listed):
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(margin), line) for its, name, line in listed if its == heading])


def load(name: str) -> Any:
    """The command of that name, from its file in `commands/`."""
    with exit_codes():
        module = import_module(f"processors.cli.commands.{name.replace(' ', '_').replace('-', '_')}")
    program = typer.Typer(context_settings=_HELP, rich_markup_mode=None, add_completion=False)
    program.command(cls=Command)(module.command)
    return typer.main.get_command(program)


app = typer.Typer(
    name="fiona-ledger",
    cls=Commands,
    help="From DICOM series summaries to REDCap, by way of a ledger that remembers what was decided and why.",
    epilog="`fiona-ledger COMMAND -h` explains a command, with an example.",
    no_args_is_help=True,
    context_settings=_HELP,
    # Plain text: it answers sooner, and goes through a pager and into a mail.
    rich_markup_mode=None,
    # A pretty traceback shows the values of variables, which may be a patient's.
    pretty_exceptions_enable=False,
    add_completion=True,
)


@contextmanager
def _program() -> Iterator[None]:
    """What every program begins and ends with. Help, too, may be for a full disk, or for a reader who has left."""
    surroundings.settle()
    end_in_order_on_sigterm()
    collector.relax()
    with exit_codes(), readers_may_leave():
        yield


def main() -> None:
    """Entry point of `fiona-ledger`."""
    with _program():
        app()


def populate_incoming() -> None:
    """Entry point of `populateIncoming`."""
    with _program():
        load("populate-incoming")(prog_name="populateIncoming")


def populate_autoid() -> None:
    """Entry point of `populateAutoID`."""
    with _program():
        load("populate-autoid")(prog_name="populateAutoID")


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer's signature
    if wanted:
        typer.echo(f"fiona-ledger {version('fiona-ledger')}")
        raise typer.Exit


@app.callback()
def _common(
    context: typer.Context,
    *,
    config: ConfigOption = None,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    context.obj = config


if __name__ == "__main__":
    main()
