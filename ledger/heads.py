"""Where the ledger ended, kept beside the key file: a database that was set back to an older one shows against it.

It is written by whoever appends or sees what others have appended, and never over a head that the ledger lacks: that
one tells what is lost.
"""

from pathlib import Path

from sqlalchemy import Connection, text

from ledger.chain import KeptHead, parse_heads
from ledger.errors import Misconfigured
from ledger.key_file import give_to_owner_of
from ledger.private_files import written_whole

_SUFFIX = ".head"
_HASH = text("select hash from ledger.event where position = :position")


def head_file(key_file: Path) -> Path:
    """Where it is kept."""
    return key_file.with_name(key_file.name + _SUFFIX)


def kept(key_file: Path) -> KeptHead | None:
    """The head that was kept; None where there is none. Raises `Misconfigured` where it cannot be read."""
    path = head_file(key_file)
    try:
        (head,) = parse_heads(path.read_text("ascii"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as exc:
        raise Misconfigured(
            f"{path}: expected one line that tells where the ledger ended, found something else "
            f"({type(exc).__name__}). Compare the ledger with a head that was kept elsewhere (`fiona-ledger verify "
            "--from`); if it is whole, delete the file: the next run writes it anew."
        ) from exc
    return head


def lacking(connection: Connection, key_file: Path) -> KeptHead | None:
    """The head that was kept, where the ledger does not hold that event: it has lost it, and what came after."""
    head = kept(key_file)
    if head is None or head.position == 0:
        return None
    stored = connection.execute(_HASH, {"position": head.position}).scalar_one_or_none()
    return None if stored is not None and bytes(stored) == head.hash else head


def keep(key_file: Path, head: KeptHead) -> None:
    """Keeps the head of a ledger that holds the one kept before. Raises `Misconfigured` where that cannot be written.

    To be called with a head at which the ledger is known to have been: it may be away by now.
    """
    before = kept(key_file)
    if head.position <= (0 if before is None else before.position):
        return  # nothing is new, or somebody else appended since
    replace(key_file, head)


def replace(key_file: Path, head: KeptHead) -> None:
    """Keeps the head whatever was kept before: a person has said so. Raises `Misconfigured`."""
    path = head_file(key_file)
    try:
        with written_whole(path) as file:
            file.write(f"{head.as_line()}\n".encode("ascii"))
        give_to_owner_of(key_file, path)
    except OSError as exc:
        raise Misconfigured(
            f"{path} cannot be written ({exc.strerror}): by it, a ledger that was restored from a backup, or lost its "
            "last events, is noticed. Let the user of the runs write its folder (in the unit: ReadWritePaths=)."
        ) from exc
