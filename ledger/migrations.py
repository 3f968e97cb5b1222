"""Setting up the ledger's tables, and telling whether they are set up.

Migrations are Alembic's; in a checkout they lie in the folder `alembic/`, in an installed package
in `ledger/_migrations`.
"""

from pathlib import Path

from sqlalchemy import Connection, text

from ledger.database import Database
from ledger.errors import LedgerIsNewer, Misconfigured, NotMigrated

_LOCK = 0x66696F6E61  # "fiona"; any number that nobody else locks

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010")
"""Every revision, oldest first: lets a run check the tables without loading Alembic."""


def migrate(database: Database) -> bool:
    """Brings the tables to this program's revision; True where something was changed.

    Raises `LedgerIsNewer` where a newer program has been here.
    """
    with database.begin() as connection:
        # Two at once: the second waits, and finds nothing left to do.
        connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        before = revision(connection)
        _refuse_newer(before)
        if before == REVISIONS[-1]:
            return False
        _require_utf8(connection)
        _upgrade(connection)
    return True


def require_migrated(connection: Connection) -> None:
    """Raises `NotMigrated` or `LedgerIsNewer` unless the tables fit this program."""
    found = revision(connection)
    _refuse_newer(found)
    if found != REVISIONS[-1]:
        outdated = f"is at revision {found}, this program needs {REVISIONS[-1]}"
        state = "has no tables yet" if found is None else outdated
        raise NotMigrated(f"The ledger {state}. Run `fiona-ledger migrate` once, then this again.")


def revision(connection: Connection) -> str | None:
    """The revision of the tables; None where there are none yet."""
    if connection.execute(text("select to_regclass('ledger.alembic_version')")).scalar_one() is None:
        return None
    found: str | None = connection.execute(text("select version_num from ledger.alembic_version")).scalar_one_or_none()
    return found


def script_location() -> Path:
    """The folder with the migrations."""
    here = Path(__file__).parent
    shipped = here / "_migrations"
    return shipped if shipped.is_dir() else here.parent / "alembic"


def _refuse_newer(found: str | None) -> None:
    if found is not None and found not in REVISIONS:
        raise LedgerIsNewer(
            f"The ledger is at revision {found}, which this program does not know (it knows up to "
            f"{REVISIONS[-1]}): a newer version has been here. Install that version; nothing was changed."
        )


def _require_utf8(connection: Connection) -> None:
    encoding = connection.execute(text("show server_encoding")).scalar_one()
    if encoding != "UTF8":
        raise Misconfigured(
            f"The database of ledger.url has the encoding {encoding}, in which not every name can be stored. "
            "Make it with: create database ... encoding 'UTF8' template template0."
        )


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    # Alembic reads % as the start of a variable.
    config.set_main_option("script_location", str(script_location()).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
