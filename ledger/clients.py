"""PostgreSQL's own clients, psql, pg_dump and pg_restore, on a ledger's database."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo
from sqlalchemy import text

from ledger.database import Database
from ledger.errors import Corrupt, Misconfigured, Unreachable
from ledger.programs import installed

SCHEMAS = ("ledger", "gateway", "audit")
_IS_LEDGER = text("select to_regclass('ledger.event') is not null")
_ANOTHER = "Take an older backup; where the ledger is still there, save it again."
_NOT_THE_FILE = r"No space left|could not extend|out of memory|connection|server closed|terminating"
"""What pg_restore says where not the file is to blame, but the disk or the server."""


def program(database: Database, name: str) -> Path:
    """A client of the embedded server's version; for another server, the system's. Raises `Misconfigured`."""
    if database.programs is not None:
        found = database.programs.folder / name
        return _present(found if found.exists() else None, name)
    on_path = shutil.which(name)
    newest = max(installed(), default=None)
    return _present(Path(on_path) if on_path else newest and newest.folder / name, name)


def _present(found: Path | None, name: str) -> Path:
    if found is None:
        raise Misconfigured(f"Expected PostgreSQL's program {name}, found none: apt install postgresql-client.")
    return found


def environment(database: Database, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Variables by which a client reaches the database: what stands on a command line, others can read.

    `more` are settings of the session.
    """
    variables = {option.keyword.decode(): option.envvar.decode() for option in Conninfo.get_defaults() if option.envvar}
    parts = {name: str(value) for name, value in conninfo_to_dict(database.conninfo).items()}
    settings = [parts.get("options", ""), *(f"-c {name}={value}" for name, value in (more or {}).items())]
    parts["options"] = " ".join(filter(None, settings))
    return {**os.environ, **{variables[name]: value for name, value in parts.items() if name in variables and value}}


def dump(database: Database, output: IO[bytes]) -> None:
    """Writes the three schemas as pg_restore reads them, as they are at one moment."""
    schemas = [f"--schema={name}" for name in SCHEMAS]
    _run(database, "pg_dump", ["--format=custom", "--no-owner", "--no-acl", *schemas], output=output)


def restore(database: Database, file: Path) -> None:
    """Makes what `dump` wrote in a database without it: all of it, or nothing.

    Raises `Corrupt` where the file is cut off or spoilt, or holds no ledger.
    """
    options = ["--exit-on-error", "--single-transaction", "--no-owner", "--no-acl"]
    try:
        _run(database, "pg_restore", [*options, f"--dbname={database.name}", str(file)])
    except Unreachable as exc:
        if "unsupported version" in str(exc):
            raise Misconfigured(
                f"{file}: expected a backup that this PostgreSQL reads, found one of a newer one. {exc} Install the "
                "programs of that version (apt install postgresql-NN), or restore it where they are."
            ) from exc
        if re.search(_NOT_THE_FILE, str(exc)):
            raise
        raise Corrupt(
            f"{file}: expected a whole backup, found one that is cut off or spoilt. {exc} {_ANOTHER}"
        ) from exc
    with database.begin() as connection:
        if not connection.execute(_IS_LEDGER).scalar_one():
            raise Corrupt(f"{file}: expected a backup of a ledger, found one of another database. {_ANOTHER}")


def _run(database: Database, name: str, arguments: Sequence[str], output: IO[bytes] | None = None) -> None:
    done = subprocess.run(  # noqa: S603 - the system's or our installation's  # nosec B603
        [program(database, name), *arguments],
        env=environment(database),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        # The first line only: others may quote values.
        said = next(iter(done.stderr.splitlines()), f"it ended with {done.returncode}")
        raise Unreachable(f"PostgreSQL's {name} cannot do its part: {said.rstrip('.')}.")
