"""What `replay` and the dry runs do, once their arguments are understood."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from ledger import store
from processors.cli import screen
from processors.cli.commands import prepare, say_busy
from processors.cli.exits import ending
from processors.cli.opening import opened_gateway, opened_redcap, operator, rehearsed
from processors.configuration import Configuration
from processors.errors import ConfigurationError
from processors.gateway import Gateway
from processors.locks import only_run
from processors.operations.adopt.guard import require_moved_in
from processors.operations.dry_run import Change, changes
from processors.operations.replay import Replayed, Scope
from processors.operations.replay import replay as replay_scope
from processors.redcap import Redcap
from processors.run import (
    Report,
    attention,
    decide_autoid,
    decide_incoming,
    recorded_run,
    wants_autoid,
    write_pending,
)

_LISTED = 40


def replay(config: Path | None, scope: Scope, *, command: str, dry_run: bool = False, json: bool) -> bool:
    """Replays and prints what it came to; True where something needs attention."""
    if dry_run:
        return _rehearse_replay(config, scope, json=json)
    with opened_gateway(config) as (configuration, gateway), only_run(gateway) as alone:
        if not alone:
            say_busy(gateway, json=json)
            return False
        report, replayed = Report(), None
        try:
            with recorded_run(gateway, command, report, ending=ending), opened_redcap(configuration, gateway) as redcap:
                replayed = _replay(gateway, redcap, configuration, scope, report)
                report.attention = attention(gateway)
        except (Exception, KeyboardInterrupt) as error:
            report.error = ending(error).message
            raise
        finally:
            _print_replay(report, replayed, json=json)
    return report.needs_attention


def import_all(config: Path | None, project: str, *, json: bool) -> bool:
    """Replays a project under the command that cron tables know; True where something needs attention."""
    if not project.strip():
        raise ConfigurationError("--importAll: expected the name of a project, found a blank.")
    return replay(config, Scope(project=project), command="populateIncoming", json=json)


def _replay(gateway: Gateway, redcap: Redcap, configuration: Configuration, scope: Scope, report: Report) -> Replayed:
    prepare(gateway)
    try:
        require_moved_in(gateway, redcap, fresh=False, by=operator())
        return replay_scope(gateway, redcap, configuration, scope, report, screen.step, by=operator())
    finally:
        report.calls = redcap.calls


def _print_replay(report: Report, replayed: Replayed | None, *, json: bool) -> None:
    if json:
        screen.print_json(report.as_data() | {"replayed": None if replayed is None else asdict(replayed)})
        return
    if replayed is not None:
        before = f", {replayed.written_before} of them written before it was interrupted" * bool(
            replayed.written_before
        )
        screen.console().print(f"Replayed: {replayed.studies} studies{before}.", markup=False)
    screen.print_report(report)


def _rehearse_replay(config: Path | None, scope: Scope, *, json: bool) -> bool:
    with rehearsed(config) as (configuration, gateway, redcap):
        report = Report()
        with _told(gateway, redcap, report, json=json):
            require_moved_in(gateway, redcap, fresh=False, by=operator())
            replay_scope(gateway, redcap, configuration, scope, report, screen.step, by=operator())
    return report.needs_attention


def rehearse_run(config: Path | None, *, only: str | None, fresh: bool, json: bool) -> bool:
    """Prints what a run would change; True where something would need attention."""
    with rehearsed(config) as (configuration, gateway, redcap):
        report = Report()
        with _told(gateway, redcap, report, json=json):
            require_moved_in(gateway, redcap, fresh=fresh, by=operator())
            if only != "autoid":
                decide_incoming(gateway, redcap, configuration, report, screen.step)
            if only != "incoming" and wants_autoid(redcap):
                decide_autoid(gateway, redcap, configuration, report, screen.step)
            # Once, at the end: REDCap does not have what a first delivery would have written.
            write_pending(gateway, redcap, configuration, report, screen.step)
    return report.needs_attention


@contextmanager
def _told(gateway: Gateway, redcap: Redcap, report: Report, *, json: bool) -> Iterator[None]:
    """Prints what has been rehearsed within."""
    prepare(gateway, alone=True)
    with gateway.begin() as work:
        before = store.head(work.connection).position
    yield
    report.calls = redcap.calls
    report.attention = attention(gateway)
    with gateway.begin() as work:
        report.events = store.head(work.connection).position - before
        found = changes(work.connection, before)
    if json:
        told = [change._asdict() for change in found]
        screen.print_json(report.as_data() | {"dry_run": True, "changes": told})
    else:
        screen.console().print(
            "Dry run: nothing was recorded, and nothing written to REDCap. A real one would do this:"
        )
        screen.print_report(report)
        _print_changes(found)


def _print_changes(found: Sequence[Change]) -> None:
    out = screen.console()
    if not found:
        out.print("No transfer would change.")
    for project, group in groupby(found, key=lambda change: change.project):
        members = list(group)
        rows = [(change.study, change.event_name, change.change, change.why) for change in members[:_LISTED]]
        out.print(screen.table(project or "No project", ("study", "event", "change", "why"), rows))
        if len(members) > _LISTED:
            out.print(f"... and {len(members) - _LISTED} more (`--json` lists them all)")
