"""`fiona-ledger adopt`: what REDCap holds already, recorded."""

from dataclasses import asdict

import typer

from processors.cli import console
from processors.cli.bootstrap import opened_exclusively, opened_run, operator
from processors.cli.identity_counts import identity_counts, print_identity_counts
from processors.cli.options import JsonOption
from processors.operations.adopt.adopt import adopt
from processors.run import Report


def command(context: typer.Context, *, json: JsonOption = False) -> None:
    """Record what REDCap holds already, so that nothing of it is requested or placed again.

    Reads Incoming and AutoID and writes nothing there. Interrupted, give it again: it goes on where it was.

    Example: fiona-ledger adopt
    """
    with opened_exclusively(context.obj) as (configuration, gateway):
        report = Report()
        with opened_run(configuration, gateway, "adopt", report) as run:
            adopted = adopt(run, by=operator())
        counts = identity_counts(gateway, configuration.identity)
    if json:
        console.print_json(asdict(adopted) | {"calls": report.calls, "identity": counts})
        return
    out = console.output()
    out.print(
        f"Adopted {adopted.studies} studies with {adopted.series} series, {adopted.transfers} transfer requests and "
        f"{adopted.ids} IDs; {report.calls} calls. Whatever else REDCap holds, the ledger knew already."
    )
    print_identity_counts(out, counts)
    if adopted.no_uids:
        out.print(f"Left alone: {adopted.no_uids} records of Incoming whose record id is no UID, and so no study's.")
