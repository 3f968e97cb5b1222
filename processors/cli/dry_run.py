"""A dry run: what `run` and `replay` would do with the real ledger and REDCap, of which nothing is kept."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from ledger import store
from processors.cli import console
from processors.cli.bootstrap import prepare, rehearsed
from processors.configuration import Configuration
from processors.gateway import Gateway
from processors.operations.dry_run import Change, changes
from processors.redcap import Redcap
from processors.run import Report, attention

_LISTED = 40


class DryRun(NamedTuple):
    """What a dry run works with, and what it comes to."""

    configuration: Configuration
    gateway: Gateway
    redcap: Redcap
    report: Report


@contextmanager
def dry_run(config: Path | None, *, json: bool) -> Iterator[DryRun]:
    """What the work within needs; prints what that would have changed. Raises `ServiceError` beside a run."""
    with rehearsed(config) as (configuration, gateway, redcap):
        prepare(gateway, alone=True)
        with gateway.begin() as work:
            before = store.head(work.connection).position
        report = Report()
        yield DryRun(configuration, gateway, redcap, report)
        report.calls = redcap.calls
        report.attention = attention(gateway)
        with gateway.begin() as work:
            report.events = store.head(work.connection).position - before
            found = changes(work.connection, before)
    if json:
        data = {"dry_run": True, "changes": [change._asdict() for change in found]}
        console.print_json(report.as_data() | data)
    else:
        _print(report, found)


def _print(report: Report, found: Sequence[Change]) -> None:
    out = console.output()
    out.print("Dry run: nothing was recorded, and nothing written to REDCap. A real one would do this:")
    console.print_report(report)
    if not found:
        out.print("No transfer would change.")
    for project, group in groupby(found, key=lambda change: change.project):
        members = list(group)
        rows = [(change.study, change.event_name, change.change, change.why) for change in members[:_LISTED]]
        out.print(console.table(project or "No project", ("study", "event", "change", "why"), rows))
        if len(members) > _LISTED:
            out.print(f"... and {len(members) - _LISTED} more (`--json` lists them all)")
