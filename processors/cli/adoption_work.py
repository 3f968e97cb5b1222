"""What `adopt` and `shadow` do, once their arguments are understood."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from processors.cli import screen
from processors.cli.commands import prepare
from processors.cli.exits import ending
from processors.cli.opening import opened_gateway, opened_redcap, operator
from processors.configuration import Configuration
from processors.errors import ServiceError
from processors.gateway import Gateway
from processors.locks import only_run
from processors.operations.adopt.adopt import adopt as adopt_records
from processors.operations.shadow.lasting import Lasting
from processors.operations.shadow.shadow import Shadowed, require_own_ledger
from processors.operations.shadow.shadow import shadow as shadow_scripts
from processors.redcap import Redcap
from processors.run import Report, recorded_run

_LISTED = 40
_SIDES = {
    "only here": ("asks", ""),
    "only in REDCap": ("", "asks"),
    "another pseudonym": ("asks", "another pseudonym"),
}


def adopt(config: Path | None, *, json: bool) -> None:
    """Records what REDCap holds and says how much it was."""
    with _alone(config) as (configuration, gateway):
        report = Report()
        with _recorded(configuration, gateway, "adopt", report) as redcap:
            adopted = adopt_records(gateway, redcap, by=operator(), step=screen.step)
    if json:
        screen.print_json(asdict(adopted) | {"calls": report.calls})
        return
    out = screen.console()
    out.print(
        f"Adopted {adopted.studies} studies with {adopted.series} series, {adopted.transfers} transfer requests and "
        f"{adopted.ids} IDs; {report.calls} calls. Whatever else REDCap holds, the ledger knew already."
    )
    if adopted.no_uids:
        out.print(f"Left alone: {adopted.no_uids} records of Incoming whose record id is no UID, and so no study's.")


def shadow(config: Path | None, *, json: bool) -> bool:
    """Decides, compares and says what differs; True where something does."""
    with _alone(config) as (configuration, gateway):
        require_own_ledger(gateway)
        report = Report()
        with _recorded(configuration, gateway, "shadow", report) as redcap:
            found = shadow_scripts(gateway, redcap, configuration, report, screen.step)
            if found.differing:
                report.attention = {"difference": len(found.differing)}
    if json:
        screen.print_json(_as_data(found))
    else:
        _print(found)
    return bool(found.differing)


@contextmanager
def _alone(config: Path | None) -> Iterator[tuple[Configuration, Gateway]]:
    """The gateway, as long as no run is under way. Raises `ServiceError` where one is: nothing would be done."""
    with opened_gateway(config) as (configuration, gateway), only_run(gateway) as alone:
        if not alone:
            raise ServiceError(
                f"A run for site {gateway.site!r} is under way: nothing was done. Try again when it has ended."
            )
        prepare(gateway)
        yield configuration, gateway


@contextmanager
def _recorded(configuration: Configuration, gateway: Gateway, command: str, report: Report) -> Iterator[Redcap]:
    """The client for REDCap, within a run that the ledger keeps a row of."""
    with recorded_run(gateway, command, report, ending=ending), opened_redcap(configuration, gateway) as redcap:
        try:
            yield redcap
        finally:
            report.calls = redcap.calls


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
    out = screen.console()
    if found.differing:
        rows = [
            (each.study, each.key.project, each.key.event_name, *_SIDES[each.kind], each.why)
            for each, _ in found.differing[:_LISTED]
        ]
        columns = ("study", "project", "event", "here", "in REDCap", "why here")
        table = screen.table("Where REDCap and this ledger differ", columns, rows)
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
