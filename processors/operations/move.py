"""Moving a ledger to another database: copied by events, verified, derived anew there, and compared."""

from pathlib import Path
from typing import Final, NamedTuple

from ledger import attestation, copying, migrations, store, verification
from ledger.batching import Progress
from ledger.database import Database
from ledger.errors import Corrupt
from ledger.projector import Projector
from ledger.vault import Vault
from processors.errors import ServiceError
from processors.locks import no_runs
from processors.operations.forget.forgotten import forgotten_at
from processors.projections import PROJECTIONS

EVENTS_A_STEP: Final = 20_000
_DERIVED: Final = tuple(table for projection in PROJECTIONS for table in projection.tables)


class Moved(NamedTuple):
    """How many events the copy holds, how many of them were there already, and how many tables are the same."""

    position: int
    there: int
    tables: int


def move(
    source: Database,
    target: Database,
    key_file: Path,
    *,
    events_a_step: int = EVENTS_A_STEP,
    progress: Progress | None = None,
) -> Moved:
    """Copies the ledger; interrupted at any point, the same again goes on there. The source stays as it is.

    To be called with all runs kept away from the source, whose tables are up to date. Raises `Misconfigured` where the
    target holds anything else, and `Corrupt` where the copy is not the same.
    """
    with source.begin() as connection:
        migrations.require_migrated(connection)
    migrations.migrate(target)
    with no_runs(target) as busy:
        if busy is not None:
            raise ServiceError(
                f"{busy.sentence()} It works on the database that --to names, which must be another one than that of "
                "ledger.url: nothing was copied."
            )
        there = _copied(source, target, events_a_step, progress)
        Projector(PROJECTIONS).catch_up(target.begin)
    # As of one moment, which who holds a lease cannot ask for.
    position = _verified(target, key_file)
    return Moved(position, there, _compared(source, target))


def _copied(source: Database, target: Database, events_a_step: int, progress: Progress | None) -> int:
    with source.begin() as reading, target.begin() as writing:
        copying.require_beginning(reading, writing)
        there = reached = store.head(writing).position
        end = store.head(reading).position
    while reached < end:
        with source.begin() as reading, target.begin() as writing:
            reached = copying.copy_events(reading, writing, events_a_step)
        if progress is not None:
            progress(reached, end)
    with source.begin() as reading, target.begin() as writing:
        # What is given by hand meanwhile waits, so that nothing of it is missing there.
        last = store.lock_head(reading).position
        copying.copy_events(reading, writing, last - reached)
        copying.copy_rest(reading, writing, _DERIVED)
    return there


def _verified(target: Database, key_file: Path) -> int:
    with target.begin() as connection:
        verified = verification.verify(connection)
        verification.verify_forgotten(connection, forgotten_at(connection))
    with target.begin() as connection:
        verification.verify_keys(connection, key_file)
        attestation.verify(connection, Vault.open(connection, key_file))
    return verified.position


def _compared(source: Database, target: Database) -> int:
    with source.begin() as ours, target.begin() as theirs:
        different = [table for table in _DERIVED if copying.contents(ours, table) != copying.contents(theirs, table)]
    if different:
        raise Corrupt(
            f"The copy is not the same: tables derived from its events differ ({', '.join(different)}). Go on with the "
            "ledger that you have, and look at `fiona-ledger verify --projections`."
        )
    return len(_DERIVED)
