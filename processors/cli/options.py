"""Options that several commands have, and what they accept."""

import sys
from pathlib import Path
from typing import Annotated
from unicodedata import category

import typer

from processors.errors import ConfigurationError

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="The configuration; without it, the first there is of $FIONA_LEDGER_CONFIG, ./fiona-ledger.toml and, "
        "at last, /etc/fiona-ledger.toml.",
    ),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", help="Tell all that was done, as on a terminal; else news alone.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Tell news alone on a terminal, too, as in cron.")]
DestinationsOption = Annotated[
    list[str] | None,
    typer.Option("--project", metavar="NAME", help="A research project that routing rules may name; again for each."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print data for another program.")]

# Control characters, line and paragraph separators, bytes that are no text.
_UNPRINTABLE = frozenset({"Cc", "Zl", "Zp", "Cs"})


def project_names(given: list[str] | None) -> list[str]:
    """The names as choices of a dropdown. Raises `ConfigurationError` for what cannot be one."""
    names = [name.strip() for name in given or ()]
    if any(not name or not name.isprintable() or "|" in name for name in names):
        raise ConfigurationError("--project: expected a name, without | and control characters.")
    return names


def require_reason(reason: str | None) -> str:
    """The reason; where none was given, whoever sits at a terminal is asked for it.

    Raises `ConfigurationError` for what is no reason, or could mislead whoever reads it in the ledger.
    """
    if reason is None and sys.stdin is not None and sys.stdin.isatty():
        reason = typer.prompt("Reason")
    if reason is None or not reason.strip():
        raise ConfigurationError("--reason: expected a few words about what was found, found none.")
    if any(category(character) in _UNPRINTABLE for character in reason):
        # On an auditor's terminal they could hide or rewrite lines.
        raise ConfigurationError("--reason: expected one line of text, found a line break or control character.")
    return reason.strip()
