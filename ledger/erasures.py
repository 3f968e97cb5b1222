"""Who was forgotten, kept beside the key file: a backup from before does not know it, and must not bring anybody back.

The file holds subjects' numbers, which tell nobody who they are, after a line that counts them and names the ledger:
one that was cut off, emptied or is another ledger's shows; an older copy of it does not. It is written from the ledger,
whole, after each erasure, with each backup and by each run that finds somebody missing.
"""

from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection, text

from ledger.errors import Misconfigured
from ledger.key_file import give_to_owner_of
from ledger.private_files import written_whole

_SUFFIX = ".forgotten"
_FORGOTTEN = text("select subject from ledger.subject where wrapped_key is null")
_LEDGER = text("select ledger from ledger.vault")
_LIVING = text("select subject from ledger.subject where subject = any(:subjects) and wrapped_key is not null")


class Forgotten(NamedTuple):
    """Who was forgotten, and in which ledger."""

    ledger: UUID
    subjects: frozenset[UUID]

    @property
    def first_line(self) -> str:
        """What stands above the numbers."""
        return f"# {len(self.subjects)} subjects of ledger {self.ledger}"


def journal(key_file: Path) -> Path:
    """Where it is kept."""
    return key_file.with_name(key_file.name + _SUFFIX)


def keep(connection: Connection, key_file: Path, *, is_whole: bool = False) -> None:
    """Enters all that the ledger knows as forgotten. Raises `Misconfigured` where it cannot be read or written.

    So it does where the file is another ledger's.

    One that is damaged is written anew from a ledger that `is_whole`: another one may not know all who were in it.
    """
    path = journal(key_file)
    try:
        known = _kept_of(connection, key_file)
    except Misconfigured as exc:
        if not (is_whole and isinstance(exc.__cause__, ValueError)):
            raise
        known = None
    subjects = frozenset(connection.execute(_FORGOTTEN).scalars()) | (known.subjects if known else frozenset())
    forgotten = Forgotten(connection.execute(_LEDGER).scalar_one(), subjects)
    if forgotten == known:
        return
    try:
        with written_whole(path) as file:
            file.write(f"{forgotten.first_line}\n".encode())
            file.writelines(f"{subject}\n".encode() for subject in sorted(subjects))
        give_to_owner_of(key_file, path)
    except OSError as exc:
        raise Misconfigured(
            f"{path} cannot be written ({exc.strerror}): it tells a restored backup who was forgotten since. Let the "
            "user of this command write its folder; the next run, `backup` or `forget` then writes it."
        ) from exc


def kept(key_file: Path) -> Forgotten | None:
    """What is in it; None where there is none. Raises `Misconfigured` where it cannot be read."""
    path = journal(key_file)
    try:
        return _parsed(path.read_text("ascii"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as exc:
        raise Misconfigured(
            f"{path}: expected the numbers of those who were forgotten, one a line, and how many they are, found "
            f"something else ({type(exc).__name__}). The next run of a ledger that is whole writes it anew. Before a "
            "backup is restored or gone on from, put it back from where the key file is copied to; where there is no "
            "copy, delete it: whoever was forgotten after the backup is known again then (docs/backup.md)."
        ) from exc


def _parsed(content: str) -> Forgotten:
    first, *lines = content.splitlines() or [""]
    forgotten = Forgotten(UUID(first.rpartition(" ")[2]), frozenset(map(UUID, lines)))
    if first != forgotten.first_line:
        raise ValueError(first)
    return forgotten


def _kept_of(connection: Connection, key_file: Path) -> Forgotten | None:
    """What is in it. Raises `Misconfigured` where it cannot be read, or is another ledger's."""
    known = kept(key_file)
    if known is not None:
        _require_own(connection, key_file, known)
    return known


def require_own(connection: Connection, key_file: Path) -> None:
    """Raises `Misconfigured` where it is another ledger's. One that cannot be read is told where it is needed."""
    try:
        known = kept(key_file)
    except Misconfigured:
        return
    if known is not None:
        _require_own(connection, key_file, known)


def _require_own(connection: Connection, key_file: Path, known: Forgotten) -> None:
    ledger = connection.execute(_LEDGER).scalar_one_or_none()
    # One without keys yet has forgotten nobody.
    if ledger not in (None, known.ledger):
        raise Misconfigured(
            f"{journal(key_file)}: expected those who were forgotten in this ledger ({ledger}), found those of another "
            f"one ({known.ledger}). Put this ledger's back from where the key file is copied to; where there is no "
            "copy, move the file away: a ledger that is whole writes it anew, and in one that was restored, whoever "
            "was forgotten after the backup is known again (docs/backup.md)."
        )


def back_again(connection: Connection, key_file: Path) -> list[UUID]:
    """Those of them whose keys the ledger has: they were forgotten after it was saved. Raises `Misconfigured`."""
    known = _kept_of(connection, key_file)
    return [] if known is None else list(connection.execute(_LIVING, {"subjects": list(known.subjects)}).scalars())
