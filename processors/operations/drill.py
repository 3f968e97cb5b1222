"""A drill: a backup restored beside the ledger, to see that it could be gone on from."""

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, text

from ledger import attestation, clients, migrations, store, verification
from ledger.database import EMBEDDED, Database, open_database
from ledger.errors import Corrupt, KeyProblem
from ledger.projector import Projector
from ledger.vault import Vault
from processors.errors import ConfigurationError
from processors.events.operations import BackupTried
from processors.gateway import Gateway
from processors.operations.forget.forgotten import forgotten_at
from processors.projections import PROJECTIONS

_MAGIC = b"PGDMP"
_ROWS = text("""
    select (select count(*) from gateway.study) as studies, (select count(*) from gateway.series) as series,
           (select count(*) from gateway.transfer) as transfers, (select count(*) from gateway.used_id) as ids
""")
_HASH = text("select hash from ledger.event where position = :position")


class Drill(NamedTuple):
    """What was tried: the file, when it was made, up to which event it goes, and what its tables hold.

    `behind` is how many events the ledger has had since.
    """

    file: Path
    made: datetime
    position: int
    rows: dict[str, int]
    behind: int


def newest_backup(place: Path) -> Path:
    """The file, or the youngest backup in the folder. Raises `ConfigurationError` where there is none.

    Raises `Corrupt` where the file is none.
    """
    try:
        files = [path for path in place.iterdir() if path.is_file()] if place.is_dir() else [place]
        backups = [path for path in files if _begins_as_backup(path)]
        newest = max(backups, key=lambda path: path.stat().st_mtime, default=None)
    except OSError as exc:
        raise ConfigurationError(f"BACKUP {place}: it cannot be read: {exc.strerror}.") from exc
    if newest is None and not place.is_dir():
        raise Corrupt(
            f"BACKUP {place}: expected what `fiona-ledger backup` or `pg_dump --format=custom` writes, found something "
            "else. It cannot be gone on from: take an older backup, and save the ledger again."
        )
    if newest is None:
        raise ConfigurationError(
            f"BACKUP {place}: expected what `fiona-ledger backup` or `pg_dump --format=custom` writes, found none."
        )
    return newest


def _begins_as_backup(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(len(_MAGIC)) == _MAGIC


def drill(gateway: Gateway, file: Path, *, folder: Path, key_file: Path, by: str) -> Drill:
    """Restores the backup into the folder, verifies it, derives its tables anew, and records that in the ledger.

    Nothing of it is left there. Raises `Corrupt` where it is not what this ledger was, or cannot be gone on from.
    """
    made = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    with _restored(file, folder) as database:
        with database.begin() as connection:
            verification.verify(connection)
            verification.verify_forgotten(connection, forgotten_at(connection))
        with database.begin() as connection:
            _verify_keys(connection, file, key_file)
        migrations.migrate(database)
        Projector(PROJECTIONS).catch_up(database.begin)
        with database.begin() as connection:
            _require_derived(connection)
        with database.begin() as connection:
            end = store.head(connection)
            rows = dict(connection.execute(_ROWS).mappings().one())
    with gateway.begin() as work:
        stored = work.execute(_HASH, {"position": end.position}).scalar_one_or_none()
        if end.position and (stored is None or bytes(stored) != end.hash):
            raise Corrupt(
                f"BACKUP {file} is not what this ledger was: expected its event at position {end.position} to stand in "
                "the ledger as well, found another or none. Is it another ledger's, or was this one set back?"
            )
        behind = store.head(work.connection).position - end.position
        work.record([BackupTried(site=work.site, position=end.position, made=made.isoformat(), rows=rows, by=by)])
    return Drill(file, made, end.position, rows, behind)


def _verify_keys(connection: Connection, file: Path, key_file: Path) -> None:
    """Raises `Corrupt` where the key that opens the ledger does not open the backup."""
    try:
        verification.verify_keys(connection, key_file)
        attestation.verify(connection, Vault.open(connection, key_file))
    except KeyProblem as exc:
        raise Corrupt(f"BACKUP {file} cannot be gone on from with the ledger's master key. {exc}") from exc


def _require_derived(connection: Connection) -> None:
    """Raises `Corrupt` where tables of the backup are not what its events make of them."""
    different = verification.compare(connection, PROJECTIONS)
    if different:
        tables = ", ".join(each.table for each in different)
        raise Corrupt(
            f"The tables {tables} in the backup are not what its events make of them. Save the ledger again, and look "
            "at `fiona-ledger verify --projections`."
        )


@contextmanager
def _restored(file: Path, folder: Path) -> Iterator[Database]:
    """The backup in an embedded PostgreSQL of its own, which is gone afterwards."""
    shutil.rmtree(folder, ignore_errors=True)  # of a drill that was interrupted
    try:
        with closing(open_database(EMBEDDED, folder)) as database:
            clients.restore(database, file)
            yield database
    finally:
        shutil.rmtree(folder, ignore_errors=True)
