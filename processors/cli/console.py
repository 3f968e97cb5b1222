"""What people see: lines, tables, and progress bars on a terminal (none in cron, where they would fill mails).

All that is printed goes through `Screen`, which makes it harmless: nobody has to know which words came from elsewhere.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from ledger.batching import Progress
from ledger.lease import Lease
from processors.cli.harmless import as_json, on_a_line
from processors.cli.reports import lines
from processors.run import Report

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

# `screen` is imported where something is shown: cron's runs mostly show nothing, and loading it takes a while.

# Elsewhere than on a terminal, lines are as long as they need to be.
_WIDE = 110
_BETWEEN_COLUMNS = 3


def output() -> "Console":
    """Where lines and tables go."""
    from processors.cli.screen import Screen

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
    from processors.cli.screen import progress_bar

    with progress_bar(name) as progress:
        yield progress


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> "Table":
    """A table of text; `rows` are cells in the order of `columns`."""
    from processors.cli import screen

    return screen.table(title, columns, rows)


def print_table(out: "Console", columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table without a title; where it would have to break words to fit, each row as a paragraph."""
    if _narrowest(columns, rows) <= out.width:
        out.print(table("", columns, rows))
        return
    for first, *cells in rows:
        told = [f"{column}: {cell}" for column, cell in zip(columns[1:], cells, strict=True) if cell]
        paragraph(out, f"{columns[0]} {first}; {'; '.join(told)}", hanging=4)


def _narrowest(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """How wide a table must be for the longest word of each column."""
    longest = [
        max(len(word) for cell in cells for word in ["", *cell.split()]) for cells in zip(columns, *rows, strict=True)
    ]
    return sum(longest) + _BETWEEN_COLUMNS * len(columns)


def heading(out: "Console", title: str) -> None:
    """Prints a title after an empty line."""
    out.print()
    say(out, title, style="bold")


def say(out: "Console", line: str, style: str | None = None) -> None:
    """Prints a line."""
    out.print(line, style=style)


def say_whole(line: str) -> None:
    """Prints a line for another program, however wide the terminal is."""
    sys.stdout.write(f"{on_a_line(line)}\n")


def paragraph(out: "Console", words: str, *, indent: int = 0, hanging: int = 0, style: str | None = None) -> None:
    """Prints words, broken between them where a terminal is narrower; elsewhere they stay on one line.

    All lines are `indent` to the right, those after the first `hanging` more.
    """
    width = out.width if sys.stdout.isatty() else sys.maxsize
    first, others = " " * indent, " " * (indent + hanging)
    lines = wrap(
        on_a_line(words),
        width,
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
    )
    for line in lines:
        out.print(line, style=style, soft_wrap=True)


def key_made_in_words(key_file: Path) -> str:
    """That there is a master key from now on, and what is to be done with it."""
    return (
        f"Made the master key {key_file}. Keep a copy of it apart from the database's backups: without it, names and "
        "patient IDs in the ledger cannot be read."
    )


def say_key_made(key_file: Path) -> None:
    """Says that a command has made the master key, where cron's mail and the journal tell of it, too.

    At once, and not with what the command comes to: that is told by no run which an error ends.
    """
    sys.stderr.write(f"{on_a_line(key_made_in_words(key_file))}\n")


def busy_in_words(busy: Lease) -> str:
    """That a run of the site, or a command that keeps all runs away, is under way, since when and where."""
    return f"{busy.sentence()} This one has nothing to do."


def say_busy(busy: Lease, *, json: bool) -> None:
    """Says who is at work instead."""
    if json:
        print_json({"busy": True} | busy.as_data())
    else:
        output().print(busy_in_words(busy))


def print_timing(report: Report) -> None:
    """How long each step of a run took, and where that time went."""
    places = ("REDCap", "disk", "PostgreSQL", "Python")
    rows = [
        [step, f"{seconds:.2f} s", *(f"{report.step_shares[step][place] / max(seconds, 1e-9):.0%}" for place in places)]
        for step, seconds in report.step_seconds.items()
    ]
    print_table(output(), ["step", "time", *places], rows)


def print_report(report: Report) -> None:
    """The outcome of a run in a few lines."""
    out = output()
    for line in lines(report):
        out.print(f"  {line.words}" if line.is_warning else line.words)
    for kind, count in report.attention.items():
        out.print(f"  needs attention: {count} x {kind}")
    if report.attention:
        out.print("  `fiona-ledger status` shows each with what to do.")
