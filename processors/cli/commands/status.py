"""`fiona-ledger status`: how the gateway is doing, and what needs a person."""

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from processors.cli import console
from processors.cli.bootstrap import opened_tables
from processors.cli.dates import local_time
from processors.cli.health_words import as_data as health_as_data
from processors.cli.health_words import moments
from processors.cli.options import JsonOption
from processors.cli.unrecorded import unrecorded_run
from processors.clocks import duration
from processors.operations.groups import Group, grouped
from processors.operations.health import Finding, Severity
from processors.operations.limits import Limits
from processors.operations.status import Sending, Status
from processors.operations.status import status as status_of

VERSION = 1
"""Of what `--json` prints: it is raised when a key goes or means something else, not when one is added."""

_STUDIES_LISTED = 3
_RECORDS_LISTED = 10
_SECONDS = "%Y-%m-%d %H:%M:%S"
_STYLES: Mapping[Severity, str] = {
    Severity.CRITICAL: "bold red",
    Severity.WARNING: "bold yellow",
    Severity.OK: "bold",
}

_OVERHEARD = "REDCap is called over http (redcap.insecure): anybody on the way reads tokens and patients' data."


def command(context: typer.Context, *, json: JsonOption = False) -> bool:
    """Show how the gateway is doing, and everything that a person must look at with what to do.

    Example: fiona-ledger status --json
    """
    with opened_tables(context.obj) as (configuration, gateway):
        status = status_of(gateway, Limits.of(configuration), unrecorded_run(context.obj))
    if json:
        console.print_json(as_data(status))
    else:
        if configuration.redcap_section is not None and configuration.redcap_section.is_overheard:
            console.say(console.output(), _OVERHEARD, "bold")
        _print_status(status, _program(context.obj))
    return status.needs_attention


def as_data(status: Status) -> dict[str, Any]:
    """The status for a program to read, as docs/health.md tells it; moments are in the machine's own zone."""
    data = asdict(status)
    totals = data.pop("totals")
    data |= {
        **{name: totals[name] for name in ("studies", "studies_on_disk", "series", "transfers")},
        "version": VERSION,
        "health": health_as_data(status.health),
        "under_way": None if status.under_way is None else status.under_way.as_data(),
        "pending": [waiting._asdict() for waiting in status.pending],
        "approvals": [approval._asdict() for approval in status.approvals],
        "attention": [notice._asdict() for notice in status.attention],
        "groups": [group.as_data() for group in grouped(status.attention)],
        "kinds": status.kinds,
        "needs_attention": status.needs_attention,
    }
    return {name: _here(value) for name, value in sorted(data.items())}


def _here(value: Any) -> Any:
    """The value with all moments in the machine's own zone."""
    match value:
        case datetime():
            return value.astimezone()
        case dict():
            return {name: _here(part) for name, part in value.items()}
        case list() | tuple():
            return [_here(part) for part in value]
        case _:
            return value


def _program(config: Path | None) -> str:
    """What a person types to start this program on the same configuration."""
    return "fiona-ledger" if config is None else f"fiona-ledger --config {shlex.quote(str(config))}"


def _print_status(status: Status, program: str) -> None:
    out = console.output()
    _print_health(out, status)
    for line in _facts(status):
        console.paragraph(out, line)
    _print_groups(out, grouped(status.attention), program)


def _print_health(out: Console, status: Status) -> None:
    where = f"Site {status.site}, {local_time(status.at)}: "
    if status.severity is Severity.OK:
        console.paragraph(out, f"{where}the gateway does its work.", style="bold green")
    else:
        console.paragraph(out, f"{where}{status.severity.name}", style=_STYLES[status.severity])
    for finding in status.health:
        _print_finding(out, finding, status.at)


def _print_finding(out: Console, finding: Finding, now: datetime) -> None:
    name = "SOON" if finding.severity is Severity.OK else finding.severity.name
    when = moments(finding, now)
    console.paragraph(out, f"{name} {when}".rstrip(), indent=2, style=_STYLES[finding.severity])
    console.paragraph(out, finding.words, indent=4)
    console.paragraph(out, f"-> {finding.advice}", indent=4)


def _facts(status: Status) -> Iterator[str]:
    """What there is, a line each, whether or not it needs anybody."""
    yield _last_run(status.last_run)
    if status.under_way is not None:
        yield status.under_way.sentence()
    if status.last_success:
        ago = duration(timedelta(seconds=status.silent_seconds or 0))
        yield f"Last run that got through: {local_time(status.last_success, _SECONDS)}, {ago} ago."
    totals = status.totals
    newest = f", the newest of {local_time(status.newest_event, _SECONDS)}" if status.newest_event else ""
    yield (
        f"Ledger: {status.head} events{newest}; {totals.studies} studies ({totals.studies_on_disk} on disk), "
        f"{totals.series} series."
    )
    states = ", ".join(f"{count} {state}" for state, count in totals.transfers.items())
    yield f"Transfers: {states or 'none'}. {_sending(status.sending)}"
    listed = Counter(forecast.project for forecast in status.autoid)
    for forecast in status.autoid:
        record = f" (record {forecast.record})" if listed[forecast.project] > 1 else ""
        left = "" if forecast.left is None else f", {forecast.left} left"
        until = "" if forecast.runs_out is None else f", at the present pace until {forecast.runs_out}"
        yield f"IDs of {forecast.project}{record}: {forecast.in_use} in use{left}{until}."
    if status.last_drill is not None:
        yield f"A backup was last tried on {local_time(status.last_drill)} (`fiona-ledger drill`)."
    for doubts in status.doubts:
        studies = f"; {doubts.studies} studies wait for that" * bool(doubts.studies)
        yield (
            f"Missing from REDCap's latest export of {doubts.list}: {len(doubts.records)} ({_listed(doubts.records)}), "
            f"since {local_time(doubts.since)}. Nothing is decided by them before the next run sees "
            f"the same{studies}."
        )
    for waiting in status.pending:
        oldest = "at a time when the clock was wrong" if waiting.oldest is None else local_time(waiting.oldest)
        yield f"To be written: {waiting.rows} {waiting.kind} rows, oldest of {oldest}."


def _listed(records: Sequence[str]) -> str:
    """The first few record ids."""
    more = ", ..." * (len(records) > _RECORDS_LISTED)
    return ", ".join(records[:_RECORDS_LISTED]) + more


def _sending(sending: Sending) -> str:
    oldest = "" if sending.oldest is None else f"; what waits longest has waited since {local_time(sending.oldest)}"
    return (
        f"Of those that we placed, {sending.sent} are reported sent, {sending.unsent} not yet; {sending.failed} failed"
        f"{oldest}."
    )


def _last_run(run_: Mapping[str, Any] | None) -> str:
    if run_ is None:
        return "No run yet."
    outcome = run_["outcome"] or "ended by an error"
    return f"Last run: {run_['command']} at {local_time(run_['started_at'], _SECONDS)}, {outcome}."


def _print_groups(out: Console, groups: Sequence[Group], program: str) -> None:
    """What a person must look at, group by group, each with the command that settles it, if one does."""
    if not groups:
        console.paragraph(out, "Nothing needs a person.")
        return
    out.print()
    members = sum(len(group.members) for group in groups)
    console.paragraph(out, f"Needs a person: {members}, in {len(groups)} groups (`--json` lists each)", style="bold")
    for group in groups:
        console.paragraph(out, f"{len(group.members)} x {group.title}", style="bold")
        if group.details:
            console.paragraph(out, group.details, indent=4)
        for line in group.examples(_STUDIES_LISTED):
            console.paragraph(out, line, indent=4)
        if len(group.members) > _STUDIES_LISTED:
            console.paragraph(out, f"and {len(group.members) - _STUDIES_LISTED} more", indent=4)
        console.paragraph(out, f"-> {group.advice}", indent=4)
        command = group.command(program)
        if command:
            out.print(f"       {command}", soft_wrap=True)
