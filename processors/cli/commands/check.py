"""`fiona-ledger check`: whether the gateway does its work, for Nagios, Icinga, Docker and their like."""

import sys
from typing import Annotated

import typer

from processors.cli import console
from processors.cli.bootstrap import now, opened_gateway
from processors.cli.doctor import examine
from processors.cli.exit_codes import ending, readers_may_leave
from processors.cli.health_words import as_data, in_a_sentence, is_told
from processors.cli.options import JsonOption
from processors.cli.unrecorded import unrecorded_run
from processors.operations.health import Facts, findings, worst
from processors.operations.limits import Limits
from processors.operations.status import Status
from processors.operations.status import status as status_of


def command(
    context: typer.Context,
    *,
    deep: Annotated[
        bool, typer.Option("--deep", help="Look at everything that a run needs instead, and tell a line of each.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Tell in one line whether the gateway does its work; ends with 0 OK, 1 WARNING or 2 CRITICAL, as monitors expect.

    What needs a person study by study is counted and no alarm: `fiona-ledger status` shows it, and what to do. With
    --deep: whether configuration, folders, key file, database and each project of REDCap are as they must be, for the
    account that asks, and what to click or to type where they are not. It writes nothing.

    Example: fiona-ledger check
    """
    if deep:
        sys.exit(examine(context.obj, json=json))
    unrecorded, status = unrecorded_run(context.obj), None
    try:
        with opened_gateway(context.obj, with_keys=False) as (configuration, gateway):
            status = status_of(gateway, Limits.of(configuration), unrecorded)
        found, moment = status.health, status.at
    # Whatever it is, it is what the monitor must be told.
    except Exception as error:
        moment = now()
        found = findings(Facts.of_nothing(moment, ending(error).message, unrecorded))
    severity = worst(found)
    told = " ".join(in_a_sentence(finding, moment) for finding in found if is_told(finding))
    with readers_may_leave():
        if json:
            console.print_json({"site": None if status is None else status.site} | as_data(found))
        else:
            console.say_whole(f"FIONA-LEDGER {severity.name} - {_line(told, status)}")
    sys.exit(severity)


def _line(told: str, status: Status | None) -> str:
    """What is told, and after a bar the numbers that monitors draw: the bar is theirs, so words have none."""
    if status is None:
        return told.replace("|", "/")
    silent = "" if status.silent_seconds is None else f" silent={status.silent_seconds}s;;;0"
    rows = sum(waiting.rows for waiting in status.pending)
    seconds = status.silent_seconds
    well = "No run has got through yet." if seconds is None else f"Last run that got through {seconds} s ago."
    words = f"Site {status.site}: {told or well}".replace("|", "/")
    return f"{words} |{silent} attention={len(status.attention)};;;0 rows_waiting={rows};;;0"
