"""Setting up the ledger's tables and the views over them, and telling whether they are set up.

Migrations are Alembic's; in a checkout they lie in the folder `alembic/`, in an installed package
in `ledger/_migrations`. The file names in `versions/` begin with their revisions, four digits that
only grow, so that a run checks the tables without loading Alembic.

A migration that was released is never changed, so a ledger holds the sum of those that made it: tables that
others made under the same revision, as commits between releases do, are told apart before anything relies on them.
"""

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path

import psycopg
from psycopg.errors import LockNotAvailable
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from ledger import guards, lease, views
from ledger.database import Database
from ledger.errors import LedgerIsNewer, Misconfigured, NotMigrated, Unreachable
from ledger.lease import Waiting, unwatched

_FIRST_LOCK = 0x66696F6E61  # "fiona"; any number that nobody else locks
_ASKED_EVERY = 0.25


def _shipped() -> Path:
    here = Path(__file__).parent
    packaged = here / "_migrations"
    return packaged if packaged.is_dir() else here.parent / "alembic"


FOLDER = _shipped()
"""The folder with the migrations, the guards and the views."""

PATIENCE = timedelta(seconds=60)


def migrate(
    database: Database, folder: Path = FOLDER, *, waiting: Waiting = unwatched, patience: timedelta = PATIENCE
) -> bool:
    """Brings tables and views to the folder's newest revision, all or nothing; True where something was changed.

    No run is under way meanwhile: one that is, is waited for, and `waiting` is told. Whoever still stands in the way
    after `patience` raises `Unreachable`. Raises `LedgerIsNewer` where a newer program has been here, and
    `Misconfigured` where the database cannot hold a ledger, views of somebody's own depend on ours, or other migrations
    than the folder's have made the tables.
    """
    known = revisions(folder)
    with database.begin() as connection:
        before = revision(connection)
        _refuse_others(connection, before, folder)
    if before == known[-1]:
        return False
    # Where there are no tables yet, nobody can be at work on them.
    with nullcontext() if before is None else lease.alone(database, patience=patience, waiting=waiting) as busy:
        if busy is not None:
            raise Unreachable(f"{busy.sentence()} It did not end in time: nothing was changed. Run this again.")
        with database.begin() as connection, _explained():
            return _migrate(connection, folder, known, patience)


def _migrate(connection: Connection, folder: Path, known: Sequence[str], patience: timedelta) -> bool:
    # Two at once: the second waits, and finds nothing left to do.
    if revision(connection) is None:
        _wait_for_first(connection, patience)
    else:
        # Only the owner can lock the table, in a mode that conflicts with itself and with nobody who reads.
        connection.execute(text("lock table ledger.alembic_version in share update exclusive mode"))
    before = revision(connection)
    if before == known[-1]:
        return False
    if before is None:
        _refuse_taken_schemas(connection)
    # All who come after wait behind whoever waits for a table.
    connection.execute(text(f"set local lock_timeout = '{round(patience.total_seconds() * 1000)}ms'"))
    with views.made_anew(connection, folder / "views"):
        upgrade(connection, folder)
    guards.make(connection, folder)
    return True


_TRY = text("select pg_try_advisory_xact_lock(:lock)")
_WHO = text("""
    select usename, pg_locks.pid from pg_locks left join pg_stat_activity using (pid)
     where locktype = 'advisory' and (classid, objid, objsubid) = (:lock >> 32, :lock & 4294967295, 1) and granted
       and pg_locks.database = (select oid from pg_database where datname = current_database())
""")


def _wait_for_first(connection: Connection, patience: timedelta) -> None:
    """Waits until nobody else makes the first tables. Raises `Unreachable`, which names who keeps it waiting.

    There is no table yet that only the owner could lock, and an advisory lock is anybody's.
    """
    deadline = time.monotonic() + patience.total_seconds()
    while not connection.execute(_TRY, {"lock": _FIRST_LOCK}).scalar_one():
        if time.monotonic() >= deadline:
            holder = connection.execute(_WHO, {"lock": _FIRST_LOCK}).one_or_none()
            who = "Somebody" if holder is None else f"Role {holder.usename!r}, process {holder.pid} of the server,"
            raise Unreachable(
                f"{who} holds the lock under which a ledger's first tables are made: expected another `fiona-ledger "
                "migrate` to be done with it. Nothing was changed: run this again, or have that session ended."
            )
        time.sleep(_ASKED_EVERY)


def require_migrated(connection: Connection, folder: Path = FOLDER) -> None:
    """Raises `NotMigrated` or `LedgerIsNewer` unless the tables are at the folder's newest revision.

    Raises `Misconfigured` where other migrations than the folder's have made them.
    """
    current = revision(connection)
    known = revisions(folder)
    _refuse_others(connection, current, folder)
    if current != known[-1]:
        outdated = f"is at revision {current}, this program needs {known[-1]}"
        state = "has no tables yet" if current is None else outdated
        raise NotMigrated(f"The ledger {state}. Run `fiona-ledger migrate` once, then this again.")


def revision(connection: Connection) -> str | None:
    """The revision of the tables; None where there are none yet."""
    # Others use Alembic, too. What was made while this transaction waited for a lock, to_regclass may not know yet.
    is_ledger = text("""
        select count(*) = 2 from pg_class join pg_namespace on pg_namespace.oid = relnamespace
         where nspname = 'ledger' and relname in ('alembic_version', 'head')
    """)
    if not connection.execute(is_ledger).scalar_one():
        return None
    current: str | None = connection.execute(text("select max(version_num) from ledger.alembic_version")).scalar_one()
    return current


def revisions(folder: Path = FOLDER) -> list[str]:
    """Every revision that the folder leads to, oldest first."""
    return sorted(path.name.partition("_")[0] for path in (folder / "versions").glob("*.py"))


def upgrade(connection: Connection, folder: Path, to: str = "head") -> None:
    """Brings the tables alone to a revision; no view must stand in the way."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    # Alembic reads % as the start of a variable.
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, to)
    made = _sum(folder, to if to != "head" else revisions(folder)[-1])
    connection.execute(text(f"comment on table ledger.alembic_version is '{made}'"))


def _sum(folder: Path, current: str) -> str:
    """What the migrations up to a revision are, as a word."""
    files = sorted(path for path in (folder / "versions").glob("*.py") if path.name.partition("_")[0] <= current)
    return f"sha256:{hashlib.sha256(b''.join(path.read_bytes() for path in files)).hexdigest()}"


_MADE_BY = text("""
    select obj_description(pg_class.oid, 'pg_class')
      from pg_class join pg_namespace on pg_namespace.oid = relnamespace
     where nspname = 'ledger' and relname = 'alembic_version'
""")


def _refuse_others(connection: Connection, current: str | None, folder: Path) -> None:
    """Raises where the tables are no work of the folder's migrations."""
    if current is None:
        return
    known = revisions(folder)
    if current not in known:
        raise LedgerIsNewer(
            f"The ledger is at revision {current}, which this program does not know (it knows up to "
            f"{known[-1]}): a newer version has been here. Install that version; nothing was changed."
        )
    if connection.execute(_MADE_BY).scalar_one() != _sum(folder, current):
        raise Misconfigured(
            f"The ledger's tables are of revision {current}, and not as this version makes that revision: expected a "
            "ledger that a release has made, found one of a commit before it or between two, which no later version "
            "brings up to date. Nothing was changed. Go on with the version that made it, or name an empty database in "
            "ledger.url and begin anew."
        )


_TAKEN = text("""
    select nspname as schema, pg_get_userbyid(nspowner) as owner
      from pg_namespace
     where nspname in ('ledger', 'gateway', 'audit')
       and (not has_schema_privilege(oid, 'create')
            or exists (select from pg_depend where refclassid = 'pg_namespace'::regclass
                                               and refobjid = pg_namespace.oid and deptype = 'n'))
     order by nspname limit 1
""")


def _refuse_taken_schemas(connection: Connection) -> None:
    """Raises `Misconfigured` where a schema of this name is somebody else's: it holds something, or is closed to us."""
    taken = connection.execute(_TAKEN).one_or_none()
    if taken is not None:
        raise Misconfigured(
            f"Expected a database without a schema {taken.schema!r}, or with an empty one of the ledger's role, found "
            f"one of {taken.owner!r} that holds something, or in which this role may make nothing: another program's, "
            "or a part of a ledger that was restored without the rest. Name a database of the ledger's own, or restore "
            "all of its schemas: ledger, gateway and audit. Nothing was changed."
        )


@contextmanager
def _explained() -> Iterator[None]:
    """Turns what PostgreSQL says of tables that are not as the last migration left them into words for a person."""
    try:
        yield
    except DBAPIError as exc:
        words = exc.orig.diag.message_primary if isinstance(exc.orig, psycopg.Error) else None
        if isinstance(exc.orig, LockNotAvailable):
            raise Unreachable(
                "Somebody reads or saves the ledger's tables at length, an auditor or a backup, and holds them "
                f"({words}). Nothing was changed: run this again when that has ended."
            ) from exc
        if isinstance(exc.orig, psycopg.Error) and (exc.orig.sqlstate or "").startswith(_OTHER_TABLES):
            raise Misconfigured(
                f"The tables are not as this ledger's revision left them: {words}. Somebody has changed them, or has "
                "restored one of the schemas ledger, gateway and audit without the others. Nothing was changed."
            ) from exc
        raise


_OTHER_TABLES = ("42P", "427", "42883")
"""SQLSTATEs of what is there already, or is not there."""
