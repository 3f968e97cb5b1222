"""A dry run: what `run` and `replay` would do with the real ledger and REDCap, of which nothing is kept."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

from ledger import store
from processors.cli import console
from processors.cli.bootstrap import opened_dry_run, prepare
from processors.operations.dry_run import PlannedChange, planned_changes
from processors.run import Report, Run

_LISTED = 40


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
