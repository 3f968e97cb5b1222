"""`fiona-ledger status`: how the gateway is doing, and what needs a person."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

import typer

from processors.cli import console
from processors.cli.bootstrap import opened_tables
from processors.cli.dates import local_time
from processors.cli.options import JsonOption
from processors.operations.status import Sending, Status
from processors.operations.status import status as status_of

# Of what needs attention, all kinds together: it is to fit on one screen.
_LISTED = 24
_LEAST_LISTED = 2
_RECORDS_LISTED = 10
_SECONDS = "%Y-%m-%d %H:%M:%S"

_OVERHEARD = "REDCap is called over http (redcap.insecure): anybody on the way reads tokens and patients' data."


def command(context: typer.Context, *, json: JsonOption = False) -> bool:
    """Show how the gateway is doing, and everything that a person must look at with what to do.

    Example: fiona-ledger status --json
    """
    with opened_tables(context.obj) as (configuration, gateway):
        status = status_of(gateway)
    if json:
        console.print_json(_as_data(status))
    else:
        if configuration.redcap.is_overheard:
            console.say(console.output(), _OVERHEARD, "bold")
        _print_status(status)
    return status.needs_attention


def _as_data(status: Status) -> dict[str, Any]:
    under_way = None if status.under_way is None else status.under_way.as_data()
    more = {"under_way": under_way, "kinds": status.kinds, "needs_attention": status.needs_attention}
    return asdict(status) | more


def _sending(sending: Sending) -> str:
    oldest = "" if sending.oldest is None else f", the oldest since {local_time(sending.oldest)}"
    return (
        f"Of those that we placed, {sending.sent} are reported sent, {sending.unsent} not yet{oldest}; "
        f"{sending.failed} failed."
    )


def _in_words(seconds: int | None) -> str:
    minutes = (seconds or 0) // 60
    if minutes < 120:
        return f"{minutes} minutes"
    return f"{minutes // 60} hours" if minutes < 48 * 60 else f"{minutes // (24 * 60)} days"


def _facts(status: Status) -> Iterator[str]:
    """What there is, in a few lines, whether or not it needs anybody."""
    yield _last_run(status.last_run)
    if status.under_way is not None:
        yield status.under_way.sentence()
    if status.last_success:
        ago = _in_words(status.silent_seconds)
        yield f"Last run that got through: {local_time(status.last_success, _SECONDS)}, {ago} ago."
    newest = f", the newest of {local_time(status.newest_event, _SECONDS)}" if status.newest_event else ""
    yield (
        f"Ledger: {status.head} events{newest}; {status.studies} studies ({status.studies_on_disk} on disk), "
        f"{status.series} series."
    )
    states = ", ".join(f"{count} {state}" for state, count in status.transfers.items())
    yield f"Transfers: {states or 'none'}. {_sending(status.sending)}"
    for outlook in status.autoid:
        left = "" if outlook.left is None else f", {outlook.left} left"
        until = "" if outlook.runs_out is None else f", at the present pace until {outlook.runs_out}"
        yield f"IDs of {outlook.project}: {outlook.in_use} in use{left}{until}."
    for approval in status.approvals:
        yield f"The approval of {approval.project} ends on {approval.ends}: nothing new goes there afterwards."
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


def _last_run(run_: Mapping[str, Any] | None) -> str:
    if run_ is None:
        return "No run yet."
    outcome = run_["outcome"] or "ended by an error"
    return f"Last run: {run_['command']} at {local_time(run_['started_at'], _SECONDS)}, {outcome}."


def _print_status(status: Status) -> None:
    out = console.output()
    for line in _facts(status):
        out.print(line)
    if status.stalled_since is not None:
        out.print(
            f"Needs attention: since {local_time(status.stalled_since)}, runs are started and none gets through. "
            "Start `fiona-ledger run` by hand to see why.",
            style="bold",
        )
    if status.overdue_since is not None:
        out.print(
            f"Needs attention: rows have waited to be written since {local_time(status.overdue_since)}. "
            "They are written when a run reaches REDCap and REDCap takes them.",
            style="bold",
        )
    _print_attention(status.attention)


def _print_attention(rows: Sequence[Mapping[str, Any]]) -> None:
    """The list of what a person must look at, kind by kind; long lists are cut, `--json` is whole."""
    out = console.output()
    if not rows:
        out.print("Nothing needs attention.")
    kinds = [(what, list(group)) for what, group in groupby(rows, key=lambda row: (row["kind"], row["advice"]))]
    if len(kinds) > 1:
        counts = ", ".join(f"{len(members)} x {kind}" for (kind, _), members in kinds)
        out.print(f"Needs attention: {counts}.", style="bold")
    listed = max(_LEAST_LISTED, _LISTED // max(len(kinds), 1))
    for (kind, advice), members in kinds:
        out.print(f"Needs attention: {len(members)} x {kind}. {advice}", style="bold")
        for row in members[:listed]:
            position = "" if row["position"] is None else f"[{row['position']}]"
            parts = (position, row["study"], row["project"], row["subject"], row["details"])
            out.print("    " + "  ".join(str(part) for part in parts if part))
        if len(members) > listed:
            out.print(f"    ... and {len(members) - listed} more (`--json` lists them all)")
