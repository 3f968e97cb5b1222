"""The file that holds the master key: how it is read, written so that it lasts, and given its place.

Each key stands in one line, readable by its owner alone (mode 0600), and is never written over: the first one is
made where there is no file yet, a new master key is written beside the old and renamed over it once it counts. Which
of the two is the right one, the file cannot tell: `vault` asks the database. Beside it lies the site key, with which
proofs are signed.
"""

import base64
import binascii
import contextlib
import os
import stat
from pathlib import Path
from typing import NamedTuple

from ledger.errors import KeyProblem

KEY_BYTES = 32
_NEXT = ".new"
_SITE = ".site"


class _Kind(NamedTuple):
    """What a key is called, and what stands before it in its file."""

    name: str
    prefix: str


_MASTER_KEY = _Kind("master key", "fiona-ledger-master-key-1:")
_SITE_KEY = _Kind("site key", "fiona-ledger-site-key-1:")


def read_master_key(key_file: Path) -> bytes:
    """The 32 bytes of the master key. Raises `KeyProblem` with what to do about it."""
    try:
        return _read(_MASTER_KEY, key_file)
    except FileNotFoundError as exc:
        raise KeyProblem(
            f"The master key file {key_file} is missing. Put it back from its backup: the ledger holds "
            "sealed values that only this key opens, so a new one is never made in its place."
        ) from exc


def site_key(key_file: Path) -> bytes:
    """The 32 bytes of the site's private key, which lies beside the master key; it is made at the first use.

    A change of the master key leaves it as it is: what was signed before stays signed. Raises `KeyProblem`.
    """
    resolved = key_file.resolve()
    file = site_key_file(key_file)
    try:
        return _read(_SITE_KEY, file)
    except FileNotFoundError:
        try:
            if _write_new(_SITE_KEY, file):
                give_to_owner_of(resolved, file)
        except OSError as exc:
            raise KeyProblem(f"The site key file {file} cannot be made: {exc.strerror}.") from exc
    return _read(_SITE_KEY, file)


def site_key_file(key_file: Path) -> Path:
    """Where the site's private key lies: beside the file itself, should `key_file` be a link."""
    resolved = key_file.resolve()
    return resolved.with_name(resolved.name + _SITE)


def write_master_key(key_file: Path) -> bool:
    """Makes the key file unless there is one; True where it was made."""
    return _write_new(_MASTER_KEY, key_file)


def _read(kind: _Kind, key_file: Path) -> bytes:
    try:
        mode = key_file.stat().st_mode
        content = key_file.read_text("ascii").strip()
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as exc:
        raise KeyProblem(f"The {kind.name} file {key_file} cannot be read ({type(exc).__name__}).") from exc
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyProblem(
            f"The {kind.name} file {key_file} has mode {stat.S_IMODE(mode):04o}: others may read it. "
            f"Expected 0600; run `chmod 600 {key_file}`."
        )
    return _parsed(kind, content, key_file)


def _write_new(kind: _Kind, key_file: Path) -> bool:
    made = False
    content = _as_line(kind, os.urandom(KEY_BYTES))
    try:
        key_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if os.path.lexists(key_file):
            return False
        # Written aside and then given its name, which fails where the name is taken: nobody ever sees
        # half a key, and two programs do not each believe in a key of its own.
        aside = key_file.with_name(f".{key_file.name}.{os.urandom(8).hex()}")
        try:
            _write_durably(aside, content)
            with contextlib.suppress(FileExistsError):
                os.link(aside, key_file)
                made = True
        finally:
            aside.unlink(missing_ok=True)
        _sync_folder(key_file.parent)
    except OSError as exc:
        raise KeyProblem(f"The {kind.name} file {key_file} cannot be made: {exc.strerror}.") from exc
    return made


def next_key_file(key_file: Path) -> Path:
    """Where a new master key waits for its place: beside the file itself, should `key_file` be a link."""
    resolved = key_file.resolve()
    return resolved.with_name(resolved.name + _NEXT)


def write_next_key_file(key_file: Path) -> bytes:
    """A new master key, written beside the present one and for the same owner. Raises `KeyProblem`.

    The caller knows that the present one opens the ledger and nobody is changing it: what a change
    that came to nothing has left there is replaced.
    """
    file = next_key_file(key_file)
    key = os.urandom(KEY_BYTES)
    try:
        file.unlink(missing_ok=True)
        _write_durably(file, _as_line(_MASTER_KEY, key))
        give_to_owner_of(key_file, file)
        _sync_folder(file.parent)
    except OSError as exc:
        raise KeyProblem(
            f"The new master key cannot be written to {file}: {exc.strerror}. Nothing was changed."
        ) from exc
    return key


def put_in_place(key_file: Path, key: bytes) -> None:
    """Gives the waiting key file its place, if it holds this key: the one that the database says is right."""
    file = next_key_file(key_file)
    try:
        waiting = read_master_key(file)
    except KeyProblem:
        return
    if waiting == key:
        file.replace(key_file.resolve())
        _sync_folder(file.parent)


def give_to_owner_of(key_file: Path, file: Path) -> None:
    """Where root has made the file: the periodic run may work under another account."""
    present = key_file.stat()
    if os.geteuid() == 0:
        os.chown(file, present.st_uid, present.st_gid)


def _parsed(kind: _Kind, content: str, key_file: Path) -> bytes:
    key = b""
    if content.startswith(kind.prefix):
        with contextlib.suppress(binascii.Error):
            key = base64.b64decode(content.removeprefix(kind.prefix), validate=True)
    if len(key) != KEY_BYTES:
        raise KeyProblem(
            f"{key_file} is not a {kind.name} file: expected one line that starts with {kind.prefix!r} and "
            "goes on with 32 bytes in base64."
        )
    return key


def _as_line(kind: _Kind, key: bytes) -> str:
    return f"{kind.prefix}{base64.b64encode(key).decode()}\n"


def _write_durably(path: Path, content: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
