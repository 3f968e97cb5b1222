"""`gen-id`: draws new names of a pattern, one a line, and keeps the list of those that are in use.

The list is a text file with one name a line. Whoever appends to it holds an exclusive lock from reading
it to having it on disk, and a name is printed only afterwards: a name that was seen is never given again,
and of two processes at once the second sees what the first has drawn.
"""

from __future__ import annotations

import fcntl
import os
import stat
import sys
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path  # noqa: TC003  # typer looks the types of options up when it runs
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from processors.naming import Pattern

EXHAUSTED = 1
UNUSABLE = 2

# A blank line in a list of names means nothing, so the empty name could never be put on record.
_NEVER_GIVEN = ""

_EXAMPLE = """\b
Example:
  gen-id -r 'PROJ_[0-9]{4}' -e used.txt -a -n 3

\b
prints three names that are not in used.txt, each as likely as any other,
and appends them to it. How many names there are:
  gen-id -r 'PROJ_[0-9]{4}' --count

\b
Patterns are regular expressions of a bounded length: text, [a-z0-9], \\d, \\w,
. (a letter or digit), (a|bc|), (?:...), ?, {n}, {n,m},
and \\1 for a group again.

\b
Exit status: 0 done; 1 the pattern has too few unused names left;
2 the pattern, the file or an option cannot be used.
"""

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Method(StrEnum):
    """How names are made."""

    RANDOM_ID = "random-id"


class Unusable(Exception):
    """The command cannot be carried out as it was given; the message is for the person who gave it."""


@app.command(epilog=_EXAMPLE)
def gen_id(
    *,
    argument: Annotated[
        str | None, typer.Argument(metavar="PATTERN", show_default=False, help="The same as -r PATTERN.")
    ] = None,
    pattern: Annotated[
        str | None,
        typer.Option("-r", "--regexp", metavar="PATTERN", show_default=False, help="What names look like."),
    ] = None,
    exclude: Annotated[
        Path | None,
        typer.Option("-e", "--exclude", metavar="FILE", show_default=False, help="Names not to use, one a line."),
    ] = None,
    append: Annotated[
        bool,
        typer.Option("-a", "--append", help="Append the new names to the file, which is made if missing."),
    ] = False,
    number: Annotated[int, typer.Option("-n", "--number", min=1, metavar="N", help="How many names.")] = 1,
    method: Annotated[Method, typer.Option("-m", "--method", help="How names are made.")] = Method.RANDOM_ID,
    count: Annotated[
        bool, typer.Option("--count", help="Print how many names the pattern has, and draw none.")
    ] = False,
) -> None:
    """Draw names that match a pattern and are not in use yet, one a line."""
    # Today there is one way of making names; the option is there for the callers that spell it out.
    del method
    from processors.naming import Exhausted, PatternError, parse

    try:
        wanted = parse(_one_pattern(argument, pattern))
        if count:
            typer.echo(wanted.count - wanted.matches(_NEVER_GIVEN))
            return
        names = _draw(wanted, exclude, number, append=append)
    except Exhausted as problem:
        raise _failure(str(problem), EXHAUSTED) from problem
    except (PatternError, Unusable) as problem:
        raise _failure(str(problem), UNUSABLE) from problem
    _print(names)


def main() -> None:
    """Run the command."""
    app(prog_name="gen-id")


def _print(names: Sequence[str]) -> None:
    try:
        # As bytes, because the names are UTF-8 in the file and must be the same here whatever the locale is.
        typer.echo("\n".join(names).encode())
    except OSError as problem:
        # What could not be printed must not be tried again, with a traceback, when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        message = f"expected to print the names, found: {problem.strerror}; with -a they count as used"
        raise _failure(message, UNUSABLE) from problem


def _failure(message: str, status: int) -> typer.Exit:
    typer.echo(f"gen-id: {message}", err=True)
    return typer.Exit(status)


def _one_pattern(argument: str | None, option: str | None) -> str:
    given = [text for text in (argument, option) if text is not None]
    if len(given) != 1:
        given_count = "none" if not given else "two"
        raise Unusable(f"expected one pattern (-r PATTERN), found {given_count}; see gen-id --help")
    return given[0]


def _draw(pattern: Pattern, file: Path | None, number: int, *, append: bool) -> list[str]:
    from processors.naming import draw

    if file is None:
        if append:
            raise Unusable("expected a file to append to (-e FILE) with -a, found none")
        return draw(pattern, {_NEVER_GIVEN}, number)
    with _reported(file, append=append), _locked(file, append=append) as descriptor:
        content = _read(descriptor)
        names = draw(pattern, _names_in(content, pattern) | {_NEVER_GIVEN}, number)
        if append:
            _record(descriptor, content, names)
    return names


@contextmanager
def _reported(file: Path, *, append: bool) -> Iterator[None]:
    """Turn what the system or the decoder says about the file into a message that names the file."""
    try:
        yield
    except UnicodeDecodeError as problem:
        raise Unusable(
            f"expected UTF-8 text in {file}, found byte {problem.object[problem.start]:#04x} "
            f"at position {problem.start}"
        ) from problem
    except OSError as problem:
        hint = "; -a makes it" if isinstance(problem, FileNotFoundError) and not append else ""
        raise Unusable(f"expected a file that can be used for -e, found {file}: {problem.strerror}{hint}") from problem


@contextmanager
def _locked(file: Path, *, append: bool) -> Iterator[int]:
    """The open file, locked: for ourselves alone if it will be appended to."""
    flags = os.O_RDWR | os.O_APPEND if append else os.O_RDONLY
    descriptor = _open_or_make(file, flags) if append else os.open(file, flags | os.O_CLOEXEC)
    try:
        if append and not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Unusable(f"expected a plain file to append to, found {file}")
        fcntl.flock(descriptor, fcntl.LOCK_EX if append else fcntl.LOCK_SH)
        yield descriptor
    finally:
        os.close(descriptor)


def _open_or_make(file: Path, flags: int) -> int:
    try:
        return os.open(file, flags | os.O_CLOEXEC)
    except FileNotFoundError:
        # Two processes may both find it missing: the one that comes second opens the other's.
        descriptor = os.open(file, flags | os.O_CREAT | os.O_CLOEXEC, 0o600)
    _sync_folder(file)
    return descriptor


def _sync_folder(file: Path) -> None:
    # A new file is only there after a power cut if its folder's entry is on disk as well.
    folder = os.open(file.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read(descriptor: int) -> bytes:
    with open(descriptor, "rb", closefd=False) as opened:
        return opened.read()


def _names_in(content: bytes, pattern: Pattern) -> set[str]:
    """The names in a list. Blanks around a name are left out unless the pattern asks for them."""
    lines = (line.removesuffix("\r") for line in content.decode("utf-8-sig").split("\n"))
    return {line if pattern.matches(line) else line.strip() for line in lines}


def _record(descriptor: int, content: bytes, names: Sequence[str]) -> None:
    """Append names to the list so that they are on disk; if that fails, the list is as it was."""
    # A process killed while it wrote, or an editor, may have left a last line without its end.
    start = b"\n" if content and not content.endswith(b"\n") else b""
    new = start + "".join(f"{name}\n" for name in names).encode()
    size = os.fstat(descriptor).st_size
    try:
        _write_all(new, lambda rest: os.write(descriptor, rest))
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, size)
        raise


def _write_all(data: bytes, write: Callable[[bytes], int]) -> None:
    while data:
        data = data[write(data) :]


if __name__ == "__main__":
    main()
