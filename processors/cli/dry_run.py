"""A dry run: what `run` and `replay` would do with the real ledger and REDCap, of which nothing is kept."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

from ledger import store
from ledger.dry_run import DryRun
from ledger.events import new_event_id
from processors.cli import console
from processors.cli.bootstrap import compared_clocks, now, opened_database, prepare, redcap_client
from processors.errors import ServiceError
from processors.gateway import Gateway, open_gateway
from processors.locks import no_runs
from processors.operations.dry_run import PlannedChange, planned_changes
from processors.redcap.dry_run import DryRunRedcap
from processors.run import Report, Run

_LISTED = 40


@contextmanager
def opened_dry_run(config: Path | None) -> Iterator[Run]:
    """A run on the ledger and REDCap of which what is recorded is taken back, and what is written is not.

    No run of any site can begin meanwhile. Raises `ServiceError` where one is under way.
    """
    with opened_database(config, with_redcap=True) as (configuration, database):
        section = configuration.ledger
        real = open_gateway(
            database,
            section,
            clock=now,
            run=new_event_id(),
            key_made=console.say_key_made,
            sender=configuration.sender,
            raw=configuration.source.raw,
            placeholders=configuration.autoid.nobody,
        )
        with no_runs(database) as busy, DryRun(database) as dry_run:
            if busy is not None:
                raise ServiceError(
                    f"{busy.sentence()} A dry run wants to be alone: give the command again in a moment."
                )
            gateway = Gateway(
                database=dry_run,
                vault=real.vault,
                site=section.site,
                clock=now,
                run=real.run,
                sender=real.sender,
                raw=real.raw,
                placeholders=real.placeholders,
                loss=real.loss,
            )
            with redcap_client(DryRunRedcap, configuration, database, compared_clocks(configuration, now)) as redcap:
                yield Run(gateway, redcap, configuration, Report(), console.step)


@contextmanager
def printed_dry_run(config: Path | None, *, json: bool) -> Iterator[Run]:
    """The run to go through; prints what it would have changed. Raises `ServiceError` beside a real one."""
    with opened_dry_run(config) as run:
        prepare(run.gateway, exclusive=True)
        with run.gateway.begin() as work:
            before = store.head(work.connection).position
        yield run
        report = run.report
        report.calls = run.redcap.calls
        run.count_attention()
        with run.gateway.begin() as work:
            report.events = store.head(work.connection).position - before
            changes = planned_changes(work, before)
    if json:
        data = {"dry_run": True, "changes": [change._asdict() for change in changes]}
        console.print_json(report.as_data() | data)
    else:
        _print(report, changes)


def _print(report: Report, changes: Sequence[PlannedChange]) -> None:
    out = console.output()
    out.print("Dry run: nothing was recorded, and nothing written to REDCap. A real one would do this:")
    console.print_report(report)
    if not changes:
        out.print("No transfer would change.")
    for project, group in groupby(changes, key=lambda change: change.project):
        members = list(group)
        rows = [(change.study, change.event_name, change.change, change.why) for change in members[:_LISTED]]
        out.print(console.table(project or "No project", ("study", "event", "change", "why"), rows))
        if len(members) > _LISTED:
            out.print(f"... and {len(members) - _LISTED} more (`--json` lists them all)")
