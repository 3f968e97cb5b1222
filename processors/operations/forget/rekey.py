"""A new master key for the ledger; how it is made safe at every step is told in `ledger.rekeying`."""

from pathlib import Path

from ledger.batching import Progress
from ledger.rekeying import At, finish, rewrap, unwatched
from ledger.vault import Vault, hold_key_change_lock
from processors.events.operations import MasterKeyChanged
from processors.gateway import Gateway
from processors.operations.forget.exclusive_lock import Waiting, exclusive_lock


def rekey(
    gateway: Gateway,
    key_file: Path,
    *,
    by: str,
    at: At = unwatched,
    progress: Progress | None = None,
    waiting: Waiting = lambda _holder: None,
) -> int:
    """Wraps all data keys with a new master key, and puts it into the key file; gives how many there were.

    `at` is told each step as it is reached.
    """
    with exclusive_lock(gateway, waiting=waiting), gateway.begin() as guard:
        # Not by the transaction that changes the keys: the file gets its place after that one's commit.
        hold_key_change_lock(guard.connection)
        with gateway.begin() as work:
            new_key, count = rewrap(work.connection, key_file, at=at, progress=progress)
            work.record([MasterKeyChanged(by=by, subjects=count)])
            at("before the commit")
        at("after the commit")
        finish(key_file, new_key)
        at("after the renaming")
    with gateway.begin() as work:
        gateway.vault = Vault.open(work.connection, key_file)
    return count
