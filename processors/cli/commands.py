"""What the commands do, once their arguments are understood."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unicodedata import category

from sqlalchemy import text

from ledger.events import NewEvent
from processors.cli import screen
from processors.cli.exits import ending
from processors.cli.opening import opened_database, opened_gateway, opened_redcap, operator
from processors.configuration import Configuration
from processors.errors import ConfigurationError
from processors.events import EventType, study_stream
from processors.gateway import Gateway, set_up
from processors.locks import only_run
from processors.operations.adopt.guard import require_moved_in
from processors.operations.rebuild import emptied_tables
from processors.operations.status import Sending, Status
from processors.operations.status import status as status_of
from processors.redcap import Redcap
from processors.run import Report, attention, recorded_run, run_autoid, run_incoming

# Control characters, line and paragraph separators, bytes that are no text.
_UNPRINTABLE = frozenset({"Cc", "Zl", "Zp", "Cs"})

_NOTICE = text("""
    select study, kind from gateway.notice where position = :position
    union all
    select study, kind || ' deleted or changed in REDCap' from gateway.missing_row
     where position = :position and not acknowledged
    union all
    select study, 'transfer failed' from gateway.outcome
     where position = :position and state = 'failed' and not acknowledged
""")


def migrate(config: Path | None, *, json: bool) -> None:
    """Sets up the ledger and says what was done."""
    with opened_database(config) as (configuration, database):
        changed, key_made = set_up(database, configuration.ledger.key_file)
    if json:
        screen.print_json({"migrated": changed, "key_file_made": key_made})
        return
    out = screen.console()
    out.print("The ledger's tables are set up." if changed else "The ledger's tables were up to date.")
    if key_made:
        out.print(
            f"Made the master key {configuration.ledger.key_file}. Keep a copy of it apart from the database's "
            "backups: without it, names and patient IDs in the ledger cannot be read.",
            markup=False,
        )


def run(
    config: Path | None,
    *,
    command: str,
    json: bool,
    only: str | None = None,
    all_of: str | None = None,
    fresh: bool = False,
) -> bool:
    """Does the periodic job and prints what it came to; True where something needs attention.

    `only` names the half of the job to do alone; `all_of` a project for which auto-ID drops its window; `fresh`:
    what REDCap holds before the first run is strangers'.
    """
    with opened_gateway(config) as (configuration, gateway), only_run(gateway) as alone:
        if not alone:
            say_busy(gateway, json=json)
            return False
        report = Report()
        try:
            # What is wrong with the tokens is a way for a run to end, and recorded as one.
            with recorded_run(gateway, command, report, ending=ending), opened_redcap(configuration, gateway) as redcap:
                _do(gateway, redcap, configuration, report, only=only, all_of=all_of, fresh=fresh)
        except (Exception, KeyboardInterrupt) as error:
            report.error = ending(error).message
            raise
        finally:
            # An error is told after what was done before it.
            _print_report(report, json=json)
    return report.needs_attention


def _do(
    gateway: Gateway,
    redcap: Redcap,
    configuration: Configuration,
    report: Report,
    *,
    only: str | None,
    all_of: str | None,
    fresh: bool,
) -> None:
    prepare(gateway)
    try:
        require_moved_in(gateway, redcap, fresh=fresh, by=operator())
        if only != "autoid":
            run_incoming(gateway, redcap, configuration, report, screen.step)
        if only != "incoming":
            run_autoid(gateway, redcap, configuration, report, screen.step, all_of=all_of)
    finally:
        report.calls = redcap.calls
    report.attention = attention(gateway)


def prepare(gateway: Gateway, *, alone: bool = False) -> None:
    """Brings the tables up to date. Raises `ConfigurationError` where somebody has emptied one by hand.

    `alone`: the caller keeps all runs away.
    """
    with screen.step("Catching up") as progress:
        gateway.catch_up(progress, alone=alone)
        require_whole_tables(gateway)


def _print_report(report: Report, *, json: bool) -> None:
    if json:
        screen.print_json(report.as_data())
    else:
        screen.print_report(report)


def require_whole_tables(gateway: Gateway) -> None:
    """Refuses to decide by tables that somebody has emptied by hand."""
    with gateway.begin() as work:
        emptied = emptied_tables(work.connection)
    if emptied:
        tables = ", ".join(table for _, table in emptied)
        raise ConfigurationError(
            f"Somebody has emptied {tables}: a run would decide by what is not there. Nothing is lost; derive "
            "the tables anew with `fiona-ledger rebuild`."
        )


def status(config: Path | None, *, json: bool) -> bool:
    """Prints how the gateway is doing; True where something needs attention."""
    with opened_gateway(config, with_keys=False) as (_, gateway):
        require_whole_tables(gateway)
        found = status_of(gateway)
    if json:
        screen.print_json(asdict(found) | {"kinds": found.kinds, "needs_attention": found.needs_attention})
    else:
        _print_status(found)
    return found.needs_attention


def acknowledge(config: Path | None, position: int, reason: str, *, json: bool) -> None:
    """Takes a notice off the list of what needs attention."""
    require_reason(reason)
    with opened_gateway(config, with_keys=False) as (_, gateway), gateway.begin() as work:
        row = work.execute(_NOTICE, {"position": position}).one_or_none()
        if row is None:
            raise ConfigurationError(
                f"Position {position} is no notice that waits to be acknowledged. `fiona-ledger status` lists those "
                "that do; everything else on the list settles itself when its cause is mended."
            )
        data = {"position": position, "by": operator(), "reason": reason.strip()}
        work.record([NewEvent(stream=study_stream(row.study), type=EventType.ACKNOWLEDGED, data=data)])
    if json:
        screen.print_json({"acknowledged": position})
    else:
        screen.console().print(f"Acknowledged: {row.kind}, study {row.study}.", markup=False)


def require_reason(reason: str) -> None:
    """Raises `ConfigurationError` for what is no reason, or could mislead whoever reads it in the ledger."""
    if not reason.strip():
        raise ConfigurationError("--reason: expected a few words about what was found, found none.")
    if any(category(character) in _UNPRINTABLE for character in reason):
        # On an auditor's terminal they could hide or rewrite lines.
        raise ConfigurationError("--reason: expected one line of text, found a line break or control character.")


def say_busy(gateway: Gateway, *, json: bool) -> None:
    """Says that another run of the site is under way."""
    if json:
        screen.print_json({"busy": True, "site": gateway.site})
    else:
        screen.console().print(f"Another run for site {gateway.site!r} is under way; this one has nothing to do.")


def _sending(sending: Sending) -> str:
    oldest = "" if sending.oldest is None else f", the oldest since {sending.oldest.astimezone():%Y-%m-%d %H:%M}"
    return (
        f"Of those that we placed, {sending.sent} are reported sent, {sending.unsent} not yet{oldest}; "
        f"{sending.failed} failed."
    )


def _in_words(seconds: int | None) -> str:
    minutes = (seconds or 0) // 60
    if minutes < 120:
        return f"{minutes} minutes"
    return f"{minutes // 60} hours" if minutes < 48 * 60 else f"{minutes // (24 * 60)} days"


def _facts(found: Status) -> Iterator[str]:
    """What there is, in a few lines, whether or not it needs anybody."""
    yield _last_run(found.last_run)
    if found.last_success:
        ago = _in_words(found.silent_seconds)
        yield f"Last run that got through: {found.last_success:%Y-%m-%d %H:%M:%S}, {ago} ago."
    newest = f", the newest of {found.newest_event.astimezone():%Y-%m-%d %H:%M:%S}" if found.newest_event else ""
    yield (
        f"Ledger: {found.head} events{newest}; {found.studies} studies ({found.studies_on_disk} on disk), "
        f"{found.series} series."
    )
    states = ", ".join(f"{count} {state}" for state, count in found.transfers.items())
    yield f"Transfers: {states or 'none'}. {_sending(found.sending)}"
    for outlook in found.autoid:
        left = "" if outlook.left is None else f", {outlook.left} left"
        until = "" if outlook.runs_out is None else f", at the present pace until {outlook.runs_out}"
        yield f"IDs of {outlook.project}: {outlook.in_use} in use{left}{until}."
    for waiting in found.pending:
        yield f"To be written: {waiting.rows} {waiting.kind} rows, oldest of {waiting.oldest:%Y-%m-%d %H:%M}."


def _last_run(run_: Mapping[str, Any] | None) -> str:
    if run_ is None:
        return "No run yet."
    outcome = run_["outcome"] or "ended by an error"
    return f"Last run: {run_['command']} at {run_['started_at']:%Y-%m-%d %H:%M:%S}, {outcome}."


def _print_status(found: Status) -> None:
    out = screen.console()
    for line in _facts(found):
        out.print(line, markup=False)
    if found.stalled_since is not None:
        out.print(
            f"Needs attention: since {found.stalled_since:%Y-%m-%d %H:%M}, runs are started and none gets through. "
            "Start `fiona-ledger run` by hand to see why.",
            markup=False,
            style="bold",
        )
    if found.overdue_since is not None:
        out.print(
            f"Needs attention: rows have waited to be written since {found.overdue_since:%Y-%m-%d %H:%M}. "
            "They are written when a run reaches REDCap and REDCap takes them.",
            markup=False,
            style="bold",
        )
    screen.print_attention(found.attention)
