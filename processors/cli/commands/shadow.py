"""`fiona-ledger shadow`: decisions beside today's scripts, compared with theirs."""

from typing import Any

import typer

from processors.cli import console
from processors.cli.bootstrap import opened_alone, recorded_redcap
from processors.cli.options import JsonOption
from processors.operations.shadow.lasting import Lasting
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
    with opened_alone(context.obj) as (configuration, gateway):
        require_own_ledger(gateway)
        report = Report()
        with recorded_redcap(configuration, gateway, "shadow", report) as redcap:
            found = shadow(gateway, redcap, configuration, report, console.step)
            if found.differing:
                report.attention = {"difference": len(found.differing)}
    if json:
        console.print_json(_as_data(found))
    else:
        _print(found)
    return bool(found.differing)


def _as_data(found: Shadowed) -> dict[str, Any]:
    return {
        "studies": found.studies,
        "same": found.same,
        "would_get_an_id": found.ids,
        "differences": [_difference(each) for each in found.differing],
        "not_yet": [_difference(each) for each in found.not_yet],
    }


def _difference(lasting: Lasting) -> dict[str, Any]:
    difference, since = lasting
    kept = difference._asdict()
    return {**kept.pop("key")._asdict(), **kept, "since": since}


def _print(found: Shadowed) -> None:
    out = console.output()
    if found.differing:
        rows = [
            (each.study, each.key.project, each.key.event_name, *_SIDES[each.kind], each.why)
            for each, _ in found.differing[:_LISTED]
        ]
        columns = ("study", "project", "event", "here", "in REDCap", "why here")
        table = console.table("Where REDCap and this ledger differ", columns, rows)
        table.columns[0].no_wrap = True  # to be copied in one piece
        out.print(table)
    if len(found.differing) > _LISTED:
        out.print(f"... and {len(found.differing) - _LISTED} more (`--json` lists them all)", markup=False)
    out.print(
        f"{found.studies} studies compared: {found.same} requests the same, {len(found.differing)} different; "
        f"{found.ids} studies would be given an ID."
    )
    if found.not_yet:
        out.print(
            f"{len(found.not_yet)} more differ, for less than ten minutes: the scripts may not have come to them yet. "
            "Give the command again."
        )
