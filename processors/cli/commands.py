"""What the commands do, once their arguments are understood."""

from dataclasses import asdict
from pathlib import Path
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
from processors.rebuild import emptied_tables
from processors.redcap import Redcap
from processors.run import Report, attention, recorded_run, run_autoid, run_incoming
from processors.status import Status
from processors.status import status as status_of

# Control characters, line and paragraph separators, bytes that are no text.
_UNPRINTABLE = frozenset({"Cc", "Zl", "Zp", "Cs"})

_NOTICE = text("""
    select study, kind from gateway.notice where position = :position
    union all
    select study, kind || ' deleted or changed in REDCap' from gateway.missing_row
     where position = :position and not acknowledged
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


def run(config: Path | None, *, command: str, json: bool, only: str | None = None, all_of: str | None = None) -> bool:
    """Does the periodic job and prints what it came to; True where something needs attention.

    `only` names the half of the job to do alone; `all_of` a project for which auto-ID drops its window.
    """
    with opened_gateway(config) as (configuration, gateway), only_run(gateway) as alone:
        if not alone:
            _say_busy(gateway, json=json)
            return False
        report = Report()
        try:
            # What is wrong with the tokens is a way for a run to end, and recorded as one.
            with recorded_run(gateway, command, report, ending=ending), opened_redcap(configuration, gateway) as redcap:
                _do(gateway, redcap, configuration, report, only=only, all_of=all_of)
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
) -> None:
    with screen.step("Catching up") as progress:
        gateway.catch_up(progress)
        _require_whole_tables(gateway)
    try:
        if only != "autoid":
            run_incoming(gateway, redcap, configuration, report, screen.step)
        if only != "incoming":
            run_autoid(gateway, redcap, configuration, report, screen.step, all_of=all_of)
    finally:
        report.calls = redcap.calls
    report.attention = attention(gateway)


def _print_report(report: Report, *, json: bool) -> None:
    if json:
        screen.print_json(report.as_data())
    else:
        screen.print_report(report)


def _require_whole_tables(gateway: Gateway) -> None:
    """Refuses to decide by tables that somebody has emptied by hand."""
    with gateway.begin() as connection:
        emptied = emptied_tables(connection)
    if emptied:
        tables = ", ".join(table for _, table in emptied)
        raise ConfigurationError(
            f"Somebody has emptied {tables}: a run would decide by what is not there. Nothing is lost; derive "
            "the tables anew with `fiona-ledger rebuild`."
        )


def status(config: Path | None, *, json: bool) -> bool:
    """Prints how the gateway is doing; True where something needs attention."""
    with opened_gateway(config, with_keys=False) as (_, gateway):
        _require_whole_tables(gateway)
        found = status_of(gateway)
    if json:
        screen.print_json(asdict(found) | {"needs_attention": found.needs_attention})
    else:
        _print_status(found)
    return found.needs_attention


def acknowledge(config: Path | None, position: int, reason: str, *, json: bool) -> None:
    """Takes a notice off the list of what needs attention."""
    if not reason.strip():
        raise ConfigurationError("--reason: expected a few words about what was found, found none.")
    if any(category(character) in _UNPRINTABLE for character in reason):
        # On an auditor's terminal they could hide or rewrite lines.
        raise ConfigurationError("--reason: expected one line of text, found a line break or control character.")
    with opened_gateway(config, with_keys=False) as (_, gateway), gateway.begin() as connection:
        row = connection.execute(_NOTICE, {"position": position}).one_or_none()
        if row is None:
            raise ConfigurationError(
                f"Position {position} is no notice that waits to be acknowledged. `fiona-ledger status` lists those "
                "that do; everything else on the list settles itself when its cause is mended."
            )
        data = {"position": position, "by": operator(), "reason": reason.strip()}
        gateway.record(connection, [NewEvent(stream=study_stream(row.study), type=EventType.ACKNOWLEDGED, data=data)])
    if json:
        screen.print_json({"acknowledged": position})
    else:
        screen.console().print(f"Acknowledged: {row.kind}, study {row.study}.", markup=False)


def _say_busy(gateway: Gateway, *, json: bool) -> None:
    if json:
        screen.print_json({"busy": True, "site": gateway.site})
    else:
        screen.console().print(f"Another run for site {gateway.site!r} is under way; this one has nothing to do.")


def _print_status(found: Status) -> None:
    out = screen.console()
    run_ = found.last_run
    out.print(
        "No run yet."
        if run_ is None
        else f"Last run: {run_['command']} at {run_['started_at']:%Y-%m-%d %H:%M:%S}, "
        + (f"ended with {run_['exit_code']}." if run_["finished_at"] else "still under way or killed.")
    )
    if found.last_success:
        out.print(f"Last run that got through: {found.last_success:%Y-%m-%d %H:%M:%S}.")
    out.print(
        f"Ledger: {found.head} events; {found.studies} studies ({found.studies_on_disk} on disk), "
        f"{found.series} series."
    )
    states = ", ".join(f"{count} {state}" for state, count in found.transfers.items())
    out.print(f"Transfers: {states or 'none'}.")
    for outlook in found.autoid:
        left = "" if outlook.left is None else f", {outlook.left} left"
        until = "" if outlook.runs_out is None else f", at the present pace until {outlook.runs_out}"
        out.print(f"IDs of {outlook.project}: {outlook.in_use} in use{left}{until}.", markup=False)
    for waiting in found.pending:
        out.print(f"To be written: {waiting.rows} {waiting.kind} rows, oldest of {waiting.oldest:%Y-%m-%d %H:%M}.")
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
