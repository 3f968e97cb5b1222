"""What people see: tables, and progress bars on a terminal (none in cron, where they would fill mails)."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any

import orjson
from rich import box
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from ledger.batching import Progress
from processors.run import Report

# Elsewhere than on a terminal, lines are as long as they need to be.
_WIDE = 110
# Of what needs attention, all kinds together: it is to fit on one screen.
_LISTED = 24
_LEAST_LISTED = 2


def console() -> Console:
    """Where tables go."""
    return Console(width=None if sys.stdout.isatty() else _WIDE, soft_wrap=not sys.stdout.isatty(), highlight=False)


def print_json(data: Any) -> None:
    """Prints data as JSON for another program."""
    sys.stdout.write(orjson.dumps(data, option=orjson.OPT_INDENT_2, default=str).decode() + "\n")


@contextmanager
def step(name: str) -> Iterator[Progress | None]:
    """A progress bar for a piece of work, on a terminal; else nothing."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """A table of text; `rows` are cells in the order of `columns`."""
    made = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*("" if cell is None else str(cell) for cell in row))
    return made


def print_report(report: Report) -> None:
    """The outcome of a run in a few lines: cron mails them."""
    out = console()
    for line in _lines(report):
        out.print(line, markup=False)
    for kind, count in report.attention.items():
        out.print(f"  needs attention: {count} x {kind}", markup=False)
    if report.attention:
        out.print("  `fiona-ledger status` shows each with what to do.", markup=False)


def _lines(report: Report) -> Iterator[str]:
    found = report.discovery
    if found is not None:
        yield (
            f"Source: {found.folders} study folders, {found.read} files read; series: {found.discovered} discovered, "
            f"{found.revised} revised; {found.rejected} files rejected, {found.unsettled} still arriving; "
            f"studies: {found.vanished} vanished, {found.returned} returned."
        )
        if found.warning is not None:
            yield f"  WARNING: {found.warning}"
    if report.looked is not None and report.looked.is_anything:
        yield (
            f"Transfers: {report.looked.sent} reported sent, {report.looked.failed} failed, "
            f"{report.looked.reopened} opened again; {report.looked.requested} requested by others."
        )
    if report.decided is not None:
        yield (
            f"Decisions: {report.observed_changes} changes of rules and couplings, {report.decided.studies} studies "
            f"looked at, {report.decided.requested} transfers requested, {report.decided.retracted} withdrawn, "
            f"{report.decided.conflicts} conflicts."
        )
    if report.assigned is not None:
        yield f"IDs: {report.assigned.drawn} drawn, {report.assigned.requested} transfers requested."
    if report.delivered is not None:
        yield (
            f"REDCap: {report.delivered.studies} studies, {report.delivered.series} series and "
            f"{report.delivered.transfers} transfers written, {report.withdrawn} withdrawn, "
            f"{report.delivered.refused} rows refused; {report.calls} calls."
        )
        if report.delivered.left_out:
            yield f"  Left out, as REDCap's dictionary lacks them: {', '.join(report.delivered.left_out)}."
    for warning in report.checked.warnings:
        yield f"  {warning}"
    if report.error is not None:
        yield (
            f"Then came an error. Until then, {report.events} events were recorded, and REDCap was called "
            f"{report.calls} times."
        )


def print_attention(rows: Sequence[Mapping[str, Any]]) -> None:
    """The list of what a person must look at, kind by kind; long lists are cut, `--json` is whole."""
    out = console()
    if not rows:
        out.print("Nothing needs attention.")
    kinds = [(what, list(group)) for what, group in groupby(rows, key=lambda row: (row["kind"], row["advice"]))]
    if len(kinds) > 1:
        counts = ", ".join(f"{len(members)} x {kind}" for (kind, _), members in kinds)
        out.print(f"Needs attention: {counts}.", markup=False, style="bold")
    listed = max(_LEAST_LISTED, _LISTED // max(len(kinds), 1))
    for (kind, advice), members in kinds:
        out.print(f"Needs attention: {len(members)} x {kind}. {advice}", markup=False, style="bold")
        for row in members[:listed]:
            parts = (f"[{row['position']}]", row["study"], row["project"], row["subject"], row["details"])
            out.print("    " + "  ".join(str(part) for part in parts if part), markup=False)
        if len(members) > listed:
            out.print(f"    ... and {len(members) - listed} more (`--json` lists them all)", markup=False)
