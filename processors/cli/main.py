"""The command `fiona-ledger`, and `populateIncoming`, the name under which cron tables know its run."""

from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from processors.cli import adoption, audit, collector, explaining, ledger, operations, privacy, reconciling
from processors.cli.exits import ATTENTION, exit_codes


class Processor(StrEnum):
    """The two halves of the periodic job."""

    INCOMING = "incoming"
    AUTOID = "autoid"


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="The configuration file (else $FIONA_LEDGER_CONFIG, ./fiona-ledger.toml, /etc/fiona-ledger.toml).",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print data for another program.")]

app = typer.Typer(
    name="fiona-ledger",
    help="From DICOM series summaries to REDCap, by way of a ledger that remembers what was decided and why.",
    no_args_is_help=True,
    # A pretty traceback shows the values of variables, which may be a patient's.
    pretty_exceptions_enable=False,
    add_completion=False,
)


def main() -> None:
    """Entry point of `fiona-ledger`."""
    collector.relax()
    app()


def populate_incoming() -> None:
    """Entry point of `populateIncoming`."""
    collector.relax()
    typer.run(_populate_incoming)


def populate_autoid() -> None:
    """Entry point of `populateAutoID`."""
    collector.relax()
    typer.run(_populate_autoid)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fiona-ledger {version('fiona-ledger')}")
        raise typer.Exit


@app.callback()
def _common(
    context: typer.Context,
    config: ConfigOption = None,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    context.obj = config


@app.command()
def migrate(context: typer.Context, json: JsonOption = False) -> None:
    """Set up the ledger's tables and, for a new ledger, its master key. Harmless to repeat.

    Example: fiona-ledger --config /etc/fiona-ledger.toml migrate
    """
    with exit_codes():
        from processors.cli.commands import migrate as work

        work(context.obj, json=json)


@app.command()
def run(
    context: typer.Context,
    only: Annotated[Processor | None, typer.Option("--only", help="Do this half of the job alone.")] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="The first run: what REDCap's Incoming holds already is strangers'.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    json: JsonOption = False,
) -> None:
    """Do the periodic job once: read new summaries, decide about transfers, write to REDCap.

    Example, in a cron table: * * * * * fiona-ledger run
    """
    with exit_codes():
        if dry_run:
            from processors.cli.operations_work import rehearse_run

            needs_attention = rehearse_run(context.obj, only=only, fresh=fresh, json=json)
        else:
            from processors.cli.commands import run as work

            needs_attention = work(context.obj, command="run", only=only, json=json, fresh=fresh)
        if needs_attention:
            raise typer.Exit(ATTENTION)


@app.command()
def status(context: typer.Context, json: JsonOption = False) -> None:
    """Show how the gateway is doing, and everything that a person must look at with what to do.

    Example: fiona-ledger status --json
    """
    with exit_codes():
        from processors.cli.commands import status as work

        if work(context.obj, json=json):
            raise typer.Exit(ATTENTION)


@app.command()
def acknowledge(
    context: typer.Context,
    position: Annotated[int, typer.Argument(help="The position that `status` shows.")],
    reason: Annotated[str, typer.Option("--reason", help="What was found and done.")],
    json: JsonOption = False,
) -> None:
    """Take a notice off the list of what needs attention, saying why; the ledger keeps both.

    Example: fiona-ledger acknowledge 4711 --reason "checked with the study nurse, right patient"
    """
    with exit_codes():
        from processors.cli.commands import acknowledge as work

        work(context.obj, position, reason, json=json)


@app.command()
def demo(
    folder: Annotated[Path, typer.Option("--folder", help="Where the demo keeps what it makes.")] = Path(".demo"),
) -> None:
    """Run the main job on real summaries against a simulated REDCap, and show what happened.

    Example: fiona-ledger demo --folder /tmp/demo
    """
    with exit_codes():
        from processors.cli.demo import demo as work

        work(folder)


def _populate_incoming(
    config: ConfigOption = None,
    import_all: Annotated[
        str | None,
        typer.Option("--importAll", metavar="PROJECT", help="Write all that is recorded again, and request for it."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Fill studies and series into REDCap's Incoming and request their transfers (as `fiona-ledger run` does).

    With --importAll, it is `fiona-ledger replay --project PROJECT`.

    Example: populateIncoming --importAll "Heart Study"
    """
    with exit_codes():
        if import_all is not None:
            from processors.cli.operations_work import import_all as work_on_all

            needs_attention = work_on_all(config, import_all, json=json)
        else:
            from processors.cli.commands import run as work

            needs_attention = work(config, command="populateIncoming", only=Processor.INCOMING, json=json)
        if needs_attention:
            raise typer.Exit(ATTENTION)


def _populate_autoid(
    config: ConfigOption = None,
    import_all: Annotated[
        str | None,
        typer.Option("--importAll", metavar="PROJECT", help="Consider all studies of this project, however old."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Give pseudonyms to new studies of projects that want them (as `fiona-ledger run --only autoid` does).

    Example: populateAutoID --importAll TEACHING
    """
    with exit_codes():
        from processors.cli.commands import run as work

        if work(config, command="populateAutoID", only=Processor.AUTOID, all_of=import_all, json=json):
            raise typer.Exit(ATTENTION)


adoption.register(app)
audit.register(app)
explaining.register(app)
ledger.register(app)
operations.register(app)
privacy.register(app)
reconciling.register(app)

if __name__ == "__main__":
    main()
