"""Setting up the ledger's tables and the views over them, and telling whether they are set up.

Migrations are Alembic's; in a checkout they lie in the folder `alembic/`, in an installed package
in `ledger/_migrations`. The file names in `versions/` begin with their revisions, four digits that
only grow, so that a run checks the tables without loading Alembic.
"""

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Connection, text

from ledger import views
from ledger.database import Database
from ledger.errors import LedgerIsNewer, Misconfigured, NotMigrated

_LOCK = 0x66696F6E61  # "fiona"; any number that nobody else locks


def _shipped() -> Path:
    here = Path(__file__).parent
    packaged = here / "_migrations"
    return packaged if packaged.is_dir() else here.parent / "alembic"


FOLDER = _shipped()
"""The folder with the migrations and the views."""


def migrate(database: Database, folder: Path = FOLDER) -> bool:
    """Brings tables and views to the folder's newest revision, all or nothing; True where something was changed.

    Raises `LedgerIsNewer` where a newer program has been here, and `Misconfigured` where the database
    cannot hold a ledger or views of somebody's own depend on ours.
    """
    with database.begin() as connection:
        # Two at once: the second waits, and finds nothing left to do.
        connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        before = revision(connection)
        known = revisions(folder)
        _refuse_newer(before, known)
        if before == known[-1]:
            return False
        _require_utf8(connection)
        with views.made_anew(connection, folder / "views"):
            upgrade(connection, folder)
    return True


def require_migrated(connection: Connection, folder: Path = FOLDER) -> None:
    """Raises `NotMigrated` or `LedgerIsNewer` unless the tables are at the folder's newest revision."""
    found = revision(connection)
    known = revisions(folder)
    _refuse_newer(found, known)
    if found != known[-1]:
        outdated = f"is at revision {found}, this program needs {known[-1]}"
        state = "has no tables yet" if found is None else outdated
        raise NotMigrated(f"The ledger {state}. Run `fiona-ledger migrate` once, then this again.")


def revision(connection: Connection) -> str | None:
    """The revision of the tables; None where there are none yet."""
    if connection.execute(text("select to_regclass('ledger.alembic_version')")).scalar_one() is None:
        return None
    found: str | None = connection.execute(text("select version_num from ledger.alembic_version")).scalar_one_or_none()
    return found


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


def _refuse_newer(found: str | None, known: Sequence[str]) -> None:
    if found is not None and found not in known:
        raise LedgerIsNewer(
            f"The ledger is at revision {found}, which this program does not know (it knows up to "
            f"{known[-1]}): a newer version has been here. Install that version; nothing was changed."
        )


def _require_utf8(connection: Connection) -> None:
    encoding = connection.execute(text("show server_encoding")).scalar_one()
    if encoding != "UTF8":
        raise Misconfigured(
            f"The database of ledger.url has the encoding {encoding}, in which not every name can be stored. "
            "Make it with: create database ... encoding 'UTF8' template template0."
        )
