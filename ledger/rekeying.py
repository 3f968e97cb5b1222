"""Changing the master key: every data key and the index key wrapped anew.

What has to change is in two places, the key file and the database, and no transaction spans both. So
the database decides, and the file follows:

1. the new key is written beside the old one, under another name, and is durable before
2. one transaction wraps everything anew; the wrapped index key, changed with it, opens to one of the
   two master keys only;
3. after its commit, the new file is renamed over the old one.

Killed before the commit, the database still goes with the file in place; the file beside it opens
nothing and is replaced by the next change. Killed after the commit, the file in place opens nothing,
the one beside it does: `Vault.open` finds it there and completes the change. Killed after the renaming,
nothing is left to do. Should the renaming be lost in a power cut, it is the second case again.

Two dangers are met on the way. Somebody else might replace the waiting file while the transaction that
needs it is about to commit: so it is replaced only under a lock of the row that the transaction changes,
which a commit under way still holds even where its program has been killed. And somebody might wrap a new
subject's key with the old master key: new subjects need the lock of the head row, which the change holds,
and then look whether the master key is still the one they know.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, text

from ledger.batching import Progress
from ledger.errors import KeyProblem
from ledger.key_file import next_key_file, put_in_place, read_master_key, write_next_key_file
from ledger.vault import (
    Subject,
    rewrap_data_key,
    stored_vault,
    unwrapped_index_key,
    wrap_index_key,
)

BATCH = 5_000

At = Callable[[str], None]
"""Told each step as it is reached: tests kill the program there."""


def unwatched(_step: str) -> None:
    """Nobody watches the steps."""


def rewrap(
    connection: Connection,
    key_file: Path,
    *,
    at: At = unwatched,
    progress: Progress | None = None,
) -> tuple[bytes, int]:
    """The new master key, which waits beside the key file, and how many data keys it now wraps.

    It counts once this transaction is committed; then `finish` gives the file its place. Raises
    `KeyProblem` or `Corrupt`, and nothing has changed.
    """
    stored = stored_vault(connection, locked=True)
    old_key = read_master_key(key_file)
    index_key = unwrapped_index_key(old_key, stored)
    if index_key is None:
        raise KeyProblem(f"The master key in {key_file} is not the one of this ledger any more. Nothing was changed.")
    connection.execute(text("select position from ledger.head for update"))
    at("before the new key file")
    new_key = write_next_key_file(key_file)
    at("after the new key file")
    try:
        rewrapped = partial(rewrap_data_key, AESGCM(old_key), AESGCM(new_key), stored.ledger)
        count = _rewrap_subjects(connection, rewrapped, at, progress)
        fresh = {"wrapped": wrap_index_key(new_key, stored.ledger, index_key)}
        connection.execute(text("update ledger.vault set wrapped_index_key = :wrapped"), fresh)
    except BaseException:
        # Not after this function: a commit that fails may have been done all the same.
        next_key_file(key_file).unlink(missing_ok=True)
        raise
    return new_key, count


def finish(key_file: Path, new_key: bytes) -> None:
    """Renames the new key file over the old one. Raises `KeyProblem` where that cannot be done now."""
    try:
        put_in_place(key_file, new_key)
    except OSError as exc:
        raise KeyProblem(
            f"The master key is changed, but its file cannot be given its place ({exc.strerror}): the ledger now opens "
            f"with {key_file}.new only. Rename it to {key_file}; until then it is used where it is."
        ) from exc


_PORTION = text("""
    select subject, kind, scope, lookup, likeness, wrapped_key from ledger.subject
     where wrapped_key is not null and subject > :after order by subject limit :size
""")
_REWRAP = text("""
    update ledger.subject set wrapped_key = fresh.wrapped_key
      from unnest(cast(:subjects as uuid[]), cast(:keys as bytea[])) as fresh (subject, wrapped_key)
     where subject.subject = fresh.subject
""")
_COUNT = text("select count(*) from ledger.subject where wrapped_key is not null")


def _rewrap_subjects(
    connection: Connection, rewrapped: Callable[[Subject], bytes], at: At, progress: Progress | None
) -> int:
    """In portions, so that memory does not grow with the ledger."""
    total: int = connection.execute(_COUNT).scalar_one()
    after, done, full = UUID(int=0), 0, True
    while full:
        rows = [Subject._make(row) for row in connection.execute(_PORTION, {"after": after, "size": BATCH})]
        full = len(rows) == BATCH
        if rows:
            keys = [rewrapped(row) for row in rows]
            connection.execute(_REWRAP, {"subjects": [row.subject for row in rows], "keys": keys})
            after, done = rows[-1].subject, done + len(rows)
            at("among the data keys")
        if progress is not None:
            progress(done, total)
    return done
