"""What the commands about the ledger itself do, once their arguments are understood."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC
from pathlib import Path
from typing import Any

from ledger import roles, verification
from ledger.chain import KeptHead, Part, parse_heads
from ledger.database import Database
from ledger.errors import KeyProblem, Misconfigured
from ledger.export import export as write_events
from ledger.migrations import require_migrated
from ledger.roles import Roles
from ledger.verification import Difference, Verified
from processors.cli import screen
from processors.cli.opening import now, opened_database
from processors.configuration import Configuration
from processors.errors import ConfigurationError
from processors.locks import no_runs
from processors.operations.rebuild import emptied_tables
from processors.operations.rebuild import rebuild as rebuild_projections
from processors.projections import PROJECTIONS


def verify(
    config: Path | None, *, head: bool, kept: str | None, projections: bool, without_keys: bool, json: bool
) -> bool:
    """Verifies the ledger and says so; True where something else than the ledger needs attention."""
    heads = [] if kept is None else _kept_heads(kept)
    with _opened_ledger(config) as (configuration, database):
        with screen.step("Verifying events") as progress, database.begin() as connection:
            found = verification.verify(connection, heads=heads, progress=progress)
        keys, key_problem = (None, None) if without_keys else _verified_keys(database, configuration.ledger.key_file)
        with database.begin() as connection:
            emptied = emptied_tables(connection)
        different = _compared(database) if projections else None
    taken = now().astimezone(UTC).isoformat(timespec="seconds")
    outcome = _Outcome(
        found=found,
        head=KeptHead(found.position, found.hash, taken),
        kept_heads=len(heads),
        keys=keys,
        key_problem=key_problem,
        emptied=emptied,
        different=different,
    )
    if json:
        screen.print_json(outcome.as_data())
    elif head:
        sys.stdout.write(outcome.head.as_line() + "\n")
        sys.stderr.writelines(f"fiona-ledger: {line}\n" for line in outcome.attention())
    else:
        for line in [*outcome.lines(), *outcome.attention()]:
            screen.console().print(line, markup=False)
    return bool(outcome.attention())


class _Outcome:
    """What `verify` has found in a ledger that holds."""

    def __init__(
        self,
        *,
        found: Verified,
        head: KeptHead,
        kept_heads: int,
        keys: int | None,
        key_problem: str | None,
        emptied: list[tuple[str, str]],
        different: list[Difference] | None,
    ) -> None:
        self.found = found
        self.head = head
        self.kept_heads = kept_heads
        self.keys = keys
        self.key_problem = key_problem
        self.emptied = emptied
        self.different = different

    def lines(self) -> Iterator[str]:
        """What holds."""
        found = self.found
        yield (
            f"Verified {found.position} events: the chain holds, positions and the versions of {found.streams} streams "
            "have no gaps."
        )
        keys = "their keys were not tried" if self.keys is None else f"{self.keys} keys open with the master key"
        yield f"Subjects: {found.subjects}, {found.forgotten} of them forgotten; {keys}."
        if self.kept_heads:
            yield f"Heads kept elsewhere: {self.kept_heads}, each still part of the ledger."
        if self.different == []:
            yield f"Projections: {', '.join(p.name for p in PROJECTIONS)}, each as derived afresh from the events."
        yield f"Head: {self.head.as_line()}"

    def attention(self) -> list[str]:
        """What a person must look at."""
        found = [f"Keys were not verified: {self.key_problem}"] if self.key_problem else []
        found += [
            f"Table {table} has been emptied by hand. Run `fiona-ledger rebuild {projection}` before the next run."
            for projection, table in self.emptied
        ]
        found += [
            f"Table {d.table} is not what the events make of it: {d.missing} rows are missing or different, "
            f"{d.unexpected} should not be there. Run `fiona-ledger rebuild {d.projection}`."
            for d in self.different or []
        ]
        return found

    def as_data(self) -> dict[str, Any]:
        """The same for another program."""
        return {
            "position": self.head.position,
            "hash": self.head.hash.hex(),
            "time": self.head.taken,
            "streams": self.found.streams,
            "subjects": self.found.subjects,
            "forgotten": self.found.forgotten,
            "keys": self.keys,
            "key_problem": self.key_problem,
            "kept_heads": self.kept_heads,
            "emptied_tables": [table for _, table in self.emptied],
            "different_tables": None if self.different is None else [asdict(d) for d in self.different],
            "attention": self.attention(),
            "needs_attention": bool(self.attention()),
        }


def export(config: Path | None, *, first: int, last: int | None, output: Path | None, json: bool) -> None:
    """Writes events to standard output, or to a file and then says which."""
    with _opened_ledger(config) as (_, database):
        if output is None:
            with _broken_pipe_is_an_end():
                _exported(database, sys.stdout.buffer.write, first, last)
                sys.stdout.buffer.flush()
            return
        with _written_privately(output) as write:
            part = _exported(database, write, first, last)
    if json:
        screen.print_json({"from": part.first, "to": part.last, "hash": part.last_hash.hex(), "file": str(output)})
    else:
        screen.console().print(f"Exported events {part.first} to {part.last} to {output}.", markup=False)


def grant(config: Path | None, *, writer: str | None, auditor: str | None, sql: bool, json: bool) -> None:
    """Gives the roles their rights, or prints how."""
    wanted = Roles(writer, auditor)
    with _opened_ledger(config) as (_, database), database.begin() as connection:
        statements = roles.as_text(connection, wanted)
        if not sql:
            roles.grant(connection, wanted)
    if json:
        screen.print_json(wanted._asdict() | {"granted": not sql, "statements": statements.splitlines()})
    elif sql:
        sys.stdout.write(statements)
    else:
        for role, what in (
            (writer, "may do the periodic run: append events, keep the gateway's tables."),
            (auditor, "may read the views of schema audit, and nothing else."),
        ):
            if role is not None:
                screen.console().print(f"{role} {what}", markup=False)


def rebuild(config: Path | None, name: str | None, *, json: bool) -> None:
    """Rebuilds one projection or all, unless a run is under way."""
    names = [p.name for p in PROJECTIONS] if name is None else [name]
    unknown = [given for given in names if given not in {p.name for p in PROJECTIONS}]
    if unknown:
        known = ", ".join(p.name for p in PROJECTIONS)
        raise ConfigurationError(f"There is no projection {unknown[0]!r}. Expected one of: {known}.")
    with _opened_ledger(config) as (configuration, database), no_runs(database, configuration.ledger.site) as busy:
        if busy is None:
            with screen.step("Rebuilding") as progress:
                events = rebuild_projections(database, names, progress)
    if busy is not None:
        if json:
            screen.print_json({"busy": True, "site": busy})
        else:
            screen.console().print(
                f"A run for site {busy!r} is under way: nothing was rebuilt. Try again when it has ended.", markup=False
            )
    elif json:
        screen.print_json({"rebuilt": names, "events": events})
    else:
        screen.console().print(f"Rebuilt {', '.join(names)} from {events} events.", markup=False)


@contextlib.contextmanager
def _opened_ledger(config: Path | None) -> Iterator[tuple[Configuration, Database]]:
    """The configuration and a ledger that fits the program; its key is not asked for."""
    with opened_database(config) as (configuration, database):
        with database.begin() as connection:
            require_migrated(connection)
        yield configuration, database


def _kept_heads(name: str) -> list[KeptHead]:
    try:
        heads = parse_heads(sys.stdin.read() if name == "-" else Path(name).read_text("utf-8"))
    except ValueError as exc:  # what is not UTF-8 included
        raise ConfigurationError(f"--from {name}: {exc}.") from exc
    except OSError as exc:
        raise ConfigurationError(f"--from {name}: the file cannot be read: {exc.strerror}.") from exc
    if not heads:
        raise ConfigurationError(f"--from {name}: expected lines that `verify --head` printed, found none.")
    return heads


def _verified_keys(database: Database, key_file: Path) -> tuple[int | None, str | None]:
    try:
        with screen.step("Verifying keys") as progress, database.begin() as connection:
            return verification.verify_keys(connection, key_file, progress), None
    except KeyProblem as exc:
        return None, str(exc)


def _compared(database: Database) -> list[Difference]:
    with screen.step("Deriving projections") as progress, database.begin() as connection:
        return verification.compare(connection, PROJECTIONS, progress=progress)


def _exported(database: Database, write: Callable[[bytes], object], first: int, last: int | None) -> Part:
    with screen.step("Exporting") as progress, database.begin() as connection:
        return write_events(connection, write, first=first, last=last, progress=progress)


@contextlib.contextmanager
def _written_privately(path: Path) -> Iterator[Callable[[bytes], object]]:
    """Writes a file that appears under its name when it is whole, and is never readable to others."""
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
        aside = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file.write
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as exc:
        raise Misconfigured(f"--output {path}: the file cannot be written: {exc.strerror}.") from exc


@contextlib.contextmanager
def _broken_pipe_is_an_end() -> Iterator[None]:
    """Whoever reads our output may have enough of it, as `head` does."""
    try:
        yield
    except BrokenPipeError:
        # Python would try to write the rest at its exit, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
