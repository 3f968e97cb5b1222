"""Ledgers as releases left them, kept as files: made by `python -m tests.upgrades NAME`, loaded for tests.

Of each, a folder holds `revision`, that of the tables; a file of COPY for each table of schema ledger that tells
something, its columns in the first line; the master key; and `redcap.json`, what the simulated REDCap held then. Tables
of schema gateway are derived anew, as an upgrade whose projections have changed does.
"""

import shutil
from pathlib import Path

import psycopg

from ledger import guards, migrations, views
from ledger.database import Database

FOLDER = Path(__file__).parent
KEY, REDCAP, REVISION = "vault.key", "redcap.json", "revision"
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
