"""docs/fiona-ledger.1, kept true: `python -m tests.cli.manual` writes anew what the commands say of themselves.

All of it comes from elsewhere: usage, options and examples from the commands' declarations, exit codes from the README.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import typer

from processors.cli.commands import COMMANDS
from processors.cli.main import app, load
from tests.processes import ROOT

MANUAL = ROOT / "docs" / "fiona-ledger.1"

_HEAD = r""".\" Written by `python -m tests.cli.manual`.
.TH FIONA\-LEDGER 1 "" fiona\-ledger "User Commands"
.SH NAME
fiona\-ledger \- a ledger between a DICOM research gateway and REDCap
.SH SYNOPSIS
.B fiona\-ledger
[\fIOPTIONS\fR] \fICOMMAND\fR [\fIARGS\fR]...
"""


def manual() -> str:
    """The page, in the macros of man(7)."""
    program = typer.main.get_command(app)
    return "\n".join([_HEAD.rstrip(), *_program(program), *_commands(), *_exit_codes(), *_see_also(), ""])


def _program(program: Any) -> Iterator[str]:
    yield ".SH DESCRIPTION"
    yield _escaped(program.help)
    yield ".SH OPTIONS"
    yield from _options(program, "fiona-ledger")


def _commands() -> Iterator[str]:
    for heading, commands in COMMANDS.items():
        yield f".SH {_escaped(heading.upper())}"
        for name in commands:
            yield from _command(load(name), f"fiona-ledger {name}")


def _command(command: Any, name: str) -> Iterator[str]:
    context = _context(command, name)
    yield f".SS {_escaped(' '.join([name, *command.collect_usage_pieces(context)]))}"
    for paragraph in command.help.split("\n\n"):
        told, example, typed = paragraph.partition("Example: ")
        yield ".PP"
        if told:
            yield _escaped(told)
        if example:
            yield from ("Example:", ".RS", ".nf", _escaped(" ".join(typed.split())), ".fi", ".RE")
    yield from _options(command, name, told=("-h, --help",))


def _options(command: Any, name: str, told: Sequence[str] = ()) -> Iterator[str]:
    """The options and arguments but for those told already."""
    context = _context(command, name)
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and record[0] not in told:
            yield from (".TP", f".B {_escaped(record[0])}", _escaped(record[1]))


def _context(command: Any, name: str) -> Any:
    return command.context_class(command, info_name=name, **command.context_settings)


def _exit_codes() -> Iterator[str]:
    yield ".SH EXIT STATUS"
    table = (ROOT / "README.md").read_text("utf-8").partition("| code | meaning |")[2].partition("\n\n")[0]
    for code, meaning in re.findall(r"^\| ([0-9, ]+) \| (.*) \|$", table, re.MULTILINE):
        yield from (".TP", f".B {code}", _escaped(meaning.replace("`", "")))


def _see_also() -> Iterator[str]:
    yield ".SH SEE ALSO"
    yield _escaped("`fiona-ledger docs` tells where the documentation of this very version is.")


def _escaped(text: str) -> str:
    """Words as roff prints them: none is taken for a request, and flags can be copied."""
    line = " ".join(text.split()).replace("\\", r"\e").replace("-", r"\-").replace("`", "")
    return rf"\&{line}" if line.startswith((".", "'")) else line


if __name__ == "__main__":
    Path(MANUAL).write_text(manual(), "utf-8")
