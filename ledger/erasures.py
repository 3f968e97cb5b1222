"""Who was forgotten, kept beside the key file: a backup from before does not know it, and must not bring anybody back.

The file holds subjects' numbers, which tell nobody who they are. It is written from the ledger, whole, after each
erasure and with each backup, so that one that was missed is in it the next time.
"""

from pathlib import Path
from uuid import UUID

from sqlalchemy import Connection, text

from ledger.errors import Misconfigured
from ledger.key_file import give_to_owner_of
from ledger.private_files import written_whole

_SUFFIX = ".forgotten"
_FORGOTTEN = text("select subject from ledger.subject where wrapped_key is null")
_LIVING = text("select subject from ledger.subject where subject = any(:subjects) and wrapped_key is not null")


def journal(key_file: Path) -> Path:
    """Where it is kept."""
    return key_file.with_name(key_file.name + _SUFFIX)


def keep(connection: Connection, key_file: Path) -> None:
    """Enters all that the ledger knows as forgotten. Raises `Misconfigured` where it cannot be written."""
    path = journal(key_file)
    known = kept(key_file)
    subjects = (known or set()) | set(connection.execute(_FORGOTTEN).scalars())
    if subjects == known:
        return
    try:
        with written_whole(path) as file:
            file.writelines(f"{subject}\n".encode() for subject in sorted(subjects))
        give_to_owner_of(key_file, path)
    except OSError as exc:
        raise Misconfigured(
            f"{path} cannot be written ({exc.strerror}): it tells a restored backup who was forgotten since. Let the "
            "user of this command write its folder; `fiona-ledger backup`, or the next `forget`, then writes it."
        ) from exc


def kept(key_file: Path) -> set[UUID] | None:
    """Who is in it; None where there is none. Raises `Misconfigured` where it cannot be read."""
    path = journal(key_file)
    try:
        return {UUID(line) for line in path.read_text("ascii").splitlines()}
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as exc:
        raise Misconfigured(
            f"{path}: expected the numbers of those who were forgotten, one a line, found something else "
            f"({type(exc).__name__}). Put it back from where the key file is copied to."
        ) from exc


def back_again(connection: Connection, key_file: Path) -> list[UUID]:
    """Those of them whose keys the ledger has: they were forgotten after it was saved."""
    return list(connection.execute(_LIVING, {"subjects": list(kept(key_file) or ())}).scalars())
