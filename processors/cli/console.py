"""What people see: lines, tables, and progress bars on a terminal (none in cron, where they would fill mails).

All that is printed goes through `Screen`, which makes it harmless: nobody has to know which words came from elsewhere.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from ledger.batching import Progress
from ledger.lease import Lease
from processors.cli.harmless import as_json, on_a_line
from processors.routing.decide import Decided
from processors.run import Report

# Elsewhere than on a terminal, lines are as long as they need to be.
_WIDE = 110


class Screen(Console):
    """A console that prints every text as it is, on one line and without what steers a terminal."""

    def render_str(self, text: str, **options: Any) -> Text:
        """What of lines, cells and titles the console makes its output of."""
        return super().render_str(on_a_line(text), **options)


def output() -> Console:
    """Where lines and tables go."""
    return Screen(
        width=None if sys.stdout.isatty() else _WIDE,
        soft_wrap=not sys.stdout.isatty(),
        highlight=False,
        markup=False,
        emoji=False,
    )


def print_json(data: Any) -> None:
    """Prints data as JSON for another program."""
    sys.stdout.write(as_json(data, indented=True) + "\n")


def begin_json(data: Mapping[str, Any]) -> None:
    """Prints the first members of an object as JSON and has them written out; `end_json` prints the others.

    Raises `OSError` where that cannot be.
    """
    sys.stdout.write(as_json(data, indented=True).removesuffix("\n}") + ",\n")
    sys.stdout.flush()


def end_json(data: Mapping[str, Any]) -> None:
    """Prints the other members of the object that `begin_json` has begun."""
    sys.stdout.write(as_json(data, indented=True).removeprefix("{\n") + "\n")


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


def print_table(out: Console, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table without a title."""
    out.print(table("", columns, rows))


def heading(out: Console, title: str) -> None:
    """Prints a title after an empty line."""
    out.print()
    say(out, title, style="bold")


def say(out: Console, line: str, style: str | None = None) -> None:
    """Prints a line."""
    out.print(line, style=style)


def say_busy(busy: Lease, *, json: bool) -> None:
    """Says that a run of the site, or a command that keeps all runs away, is under way, since when and where."""
    if json:
        print_json({"busy": True} | busy.as_data())
    else:
        output().print(f"{busy.sentence()} This one has nothing to do.")


def print_report(report: Report) -> None:
    """The outcome of a run in a few lines: cron mails them."""
    out = output()
    for line in _lines(report):
        out.print(line)
    for kind, count in report.attention.items():
        out.print(f"  needs attention: {count} x {kind}")
    if report.attention:
        out.print("  `fiona-ledger status` shows each with what to do.")


def _lines(report: Report) -> Iterator[str]:
    discovery = report.discovery
    if discovery is not None:
        yield (
            f"Source: {discovery.folders} study folders, {discovery.read} files read; "
            f"series: {discovery.discovered} discovered, {discovery.revised} revised; "
            f"{discovery.rejected} files rejected, {discovery.unsettled} still arriving; "
            f"studies: {discovery.vanished} vanished, {discovery.returned} returned."
        )
        if discovery.warning is not None:
            yield f"  WARNING: {discovery.warning}"
    if report.looked is not None and report.looked.is_anything:
        yield (
            f"Transfers: {report.looked.sent} reported sent, {report.looked.failed} failed, "
            f"{report.looked.reopened} opened again; {report.looked.requested} requested by others."
        )
    if report.decided is not None:
        yield from _decisions(report, report.decided)
    if report.assigned is not None:
        yield f"IDs: {report.assigned.drawn} drawn, {report.assigned.requested} transfers requested."
    if report.delivered is not None:
        yield (
            f"REDCap: {report.delivered.studies} studies, {report.delivered.series} series and "
            f"{report.delivered.transfers} transfers written, {report.withdrawn} withdrawn, "
            f"{report.delivered.refused} rows refused; {report.calls} calls."
        )
        yield from (f"  {warning}" for warning in report.delivered.warnings)
        if report.delivered.left_out:
            yield f"  Left out, as REDCap's dictionary lacks them: {', '.join(report.delivered.left_out)}."
    for warning in (*report.checked.warnings, *report.clock_warnings):
        yield f"  {warning}"
    if report.error is not None:
        yield (
            f"Then came an error. Until then, {report.events} events were recorded, and REDCap was called "
            f"{report.calls} times."
        )


def _decisions(report: Report, decided: Decided) -> Iterator[str]:
    held = f", {decided.held} held" * bool(decided.held)
    left_open = f", {decided.deferred} left open before the next export" * bool(decided.deferred)
    yield (
        f"Decisions: {report.observed_changes} changes of rules and couplings, {decided.studies} studies "
        f"looked at, {decided.requested} transfers requested{held}, {decided.retracted} withdrawn, "
        f"{decided.conflicts} conflicts{left_open}."
    )
    if decided.rules_switched_off:
        yield (
            "  WARNING: kept running out of time, and were switched off for the rest of this run: routing rules "
            f"{', '.join(decided.rules_switched_off)}. Studies that they may concern wait: simplify the "
            "patterns."
        )
