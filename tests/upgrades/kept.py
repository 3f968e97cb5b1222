"""Ledgers as releases left them, kept as files: made by `python -m tests.upgrades NAME`, loaded for tests.

Of each, a folder holds `revision`, that of the tables; a file of COPY for each table of schema ledger that tells
something, its columns in the first line; the master key; and `redcap.json`, what the simulated REDCap held then. Tables
of schema gateway are derived anew, as an upgrade whose projections have changed does. As a small ledger holds few types
of events, `events.json` has what one of each type looks like as it is stored.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin

import orjson
import psycopg
from msgspec.structs import fields

from ledger import codec, guards, migrations, views
from ledger.database import Database
from processors.events import FACTS
from processors.events.fact import Cause

FOLDER = Path(__file__).parent
KEY, REDCAP, REVISION, EVENTS = "vault.key", "redcap.json", "revision", "events.json"
TABLES = ("event", "head", "subject", "vault", "attestation")


def releases() -> list[Path]:
    """The folders of the ledgers that are kept."""
    return sorted(path.parent for path in FOLDER.glob(f"*/{REVISION}"))


def keep(url: str, folder: Path) -> None:
    """Writes the ledger's own tables into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with psycopg.connect(url) as connection:
        for table in TABLES:
            columns = ", ".join(
                row[0]
                for row in connection.execute(
                    "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 order by attnum",
                    [f"ledger.{table}"],
                )
            )
            order = " order by 1"
            with connection.cursor().copy(f"copy (select {columns} from ledger.{table}{order}) to stdout") as copy:
                rows = b"".join(copy)
            (folder / f"{table}.copy").write_bytes(f"{columns}\n".encode() + rows)
    (folder / REVISION).write_text(f"{migrations.revisions()[-1]}\n", "ascii")


def keep_types(folder: Path) -> None:
    """Writes what an event of each type looks like, stored."""
    stored = {
        name: codec.decode(codec.encode(fact(**{field.name: _example(field.type) for field in fields(fact)}).data))
        for name, fact in FACTS.items()
    }
    content = orjson.dumps(stored, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
    (folder / EVENTS).write_bytes(content + b"\n")


def _example(of: Any) -> Any:
    """A value that a field of this type may hold."""
    kind, arguments = get_origin(of) or of, [each for each in get_args(of) if each not in (NoneType, Ellipsis)]
    if kind is UnionType:
        return _example(arguments[0])
    if kind is Literal:
        return arguments[0]
    if kind in (tuple, list):
        return (_example(arguments[0]),)
    if kind in (dict, Mapping):
        return {"key": _example(arguments[1])}
    if kind is Cause:
        return Cause(kind="rule", record_id="1", position=1)
    return kind(1)


def load(database: Database, folder: Path, key_file: Path) -> None:
    """Makes the kept ledger in an empty database, as it was, and brings its tables up to date."""
    shutil.copyfile(folder / KEY, key_file)
    key_file.chmod(0o600)
    revision = (folder / REVISION).read_text("ascii").strip()
    with database.begin() as connection:
        migrations.upgrade(connection, migrations.FOLDER, revision)
        driver = connection.connection.driver_connection
        assert driver is not None
        for table in TABLES:
            _fill(driver, table, (folder / f"{table}.copy").read_bytes())
        with views.made_anew(connection, migrations.FOLDER / "views"):
            guards.make(connection, migrations.FOLDER)
    migrations.migrate(database)


def _fill(driver: psycopg.Connection, table: str, content: bytes) -> None:
    columns, _, rows = content.partition(b"\n")
    driver.execute(f"delete from ledger.{table}".encode())  # the first row of ledger.head
    with driver.cursor().copy(b"copy ledger." + table.encode() + b" (" + columns + b") from stdin") as copy:
        copy.write(rows)
