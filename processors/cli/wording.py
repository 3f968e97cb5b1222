"""How the commands about decisions open the ledger and print: headings, lines and tables, safe for a terminal."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from processors.cli import screen
from processors.cli.commands import require_whole_tables
from processors.cli.opening import opened_gateway
from processors.configuration import Configuration
from processors.explain.near_miss import Matching
from processors.gateway import Gateway


@contextmanager
def opened_ledger(config: Path | None) -> Iterator[tuple[Configuration, Gateway]]:
    """The configuration and the ledger as it stands; its keys are opened at need."""
    with opened_gateway(config, with_keys=False) as (configuration, gateway):
        require_whole_tables(gateway)
        yield configuration, gateway


def matching_of(configuration: Configuration) -> Matching:
    """How rules are matched here."""
    return Matching(configuration.routing.match, configuration.routing.time_limit_seconds)


def heading(out: Console, title: str) -> None:
    """Prints a title after an empty line."""
    out.print()
    say(out, title, style="bold")


def say(out: Console, line: str, style: str | None = None) -> None:
    """Prints a line as it is."""
    out.print(printable(line), markup=False, style=style)


def printable(words: str) -> str:
    """Without what would steer the terminal: names come from files and from REDCap."""
    return "".join(character if character.isprintable() else "\ufffd" for character in words)


def print_table(out: Console, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table of such words."""
    out.print(screen.table("", columns, [[escape(printable(cell)) for cell in row] for row in rows]))


def minute(gateway: Gateway, moment: datetime) -> str:
    """The moment as people read it, in the hospital's zone."""
    return f"{gateway.local(moment):%Y-%m-%d %H:%M}"
