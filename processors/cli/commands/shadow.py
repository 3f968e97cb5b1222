"""`fiona-ledger shadow`: decisions beside today's scripts, compared with theirs."""

from typing import Any

import typer

from processors.cli import console
from processors.cli.bootstrap import opened_exclusively, opened_run
from processors.cli.identity_counts import identity_counts, print_identity_counts
from processors.cli.options import JsonOption
from processors.operations.shadow.lasting import LastingDifference
from processors.operations.shadow.shadow import Shadowed, require_own_ledger, shadow
from processors.run import Report

_LISTED = 40
_SIDES = {
    "only here": ("asks", ""),
    "only in REDCap": ("", "asks"),
    "another pseudonym": ("asks", "another pseudonym"),
}


def command(context: typer.Context, *, json: JsonOption = False) -> bool:
    """Decide beside today's scripts without writing to REDCap, and tell where they decided otherwise.

    It keeps a ledger of its own: give it a configuration of its own. See docs/moving-in.md.

    Example: fiona-ledger --config /etc/fiona-shadow.toml shadow
    """
    with opened_exclusively(context.obj) as (configuration, gateway):
        require_own_ledger(gateway)
        report = Report()
        with opened_run(configuration, gateway, "shadow", report) as run:
            shadowed = shadow(run)
            if shadowed.differing:
                report.attention = {"difference": len(shadowed.differing)}
        counts = identity_counts(gateway, configuration.identity)
    if json:
        console.print_json(_as_data(shadowed) | {"identity": counts})
    else:
        _print(shadowed)
        print_identity_counts(console.output(), counts)
    return bool(shadowed.differing)


def _as_data(shadowed: Shadowed) -> dict[str, Any]:
    return {
        "studies": shadowed.studies,
        "same": shadowed.same,
        "would_get_an_id": shadowed.ids,
        "differences": [_difference(each) for each in shadowed.differing],
        "not_yet": [_difference(each) for each in shadowed.not_yet],
    }


def _difference(lasting: LastingDifference) -> dict[str, Any]:
    difference, since = lasting
    kept = difference._asdict()
    return {**kept.pop("key")._asdict(), **kept, "since": since}


def _print(shadowed: Shadowed) -> None:
    out = console.output()
    if shadowed.differing:
        rows = [
            (each.study, each.key.project, each.key.event_name, *_SIDES[each.kind], each.why)
            for each, _ in shadowed.differing[:_LISTED]
        ]
        columns = ("study", "project", "event", "here", "in REDCap", "why here")
        table = console.table("Where REDCap and this ledger differ", columns, rows)
        table.columns[0].no_wrap = True  # to be copied in one piece
        out.print(table)
    if len(shadowed.differing) > _LISTED:
        out.print(f"... and {len(shadowed.differing) - _LISTED} more (`--json` lists them all)")
    out.print(
        f"{shadowed.studies} studies compared: {shadowed.same} requests the same, {len(shadowed.differing)} different; "
        f"{shadowed.ids} studies would be given an ID."
    )
    if shadowed.not_yet:
        out.print(
            f"{len(shadowed.not_yet)} more differ, for less than ten minutes: the scripts may not have come to them "
            "yet. Give the command again."
        )
