"""What is to be said of this machine: configuration, folders, key file, disks. Pure."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

from .facts import Disk, Folder, KeyCopy, MachineFacts, Told, Trouble
from .finding import Finding, doubtful, ok, trouble, wrong

_AREA: Final = "machine"
_GIB: Final = 1 << 30
DISK_WARNING: Final = 5 * _GIB
DISK_CRITICAL: Final = 1 * _GIB


def findings(facts: MachineFacts) -> Iterator[Finding]:
    """What was found on this machine."""
    yield ok(_AREA, "account", f"{facts.account}; what follows holds for this account")
    yield ok(_AREA, "configuration", str(facts.configuration))
    if facts.is_overheard:
        yield doubtful(
            _AREA,
            "redcap.url",
            "https",
            "http to another machine: anybody on the way reads tokens and patients' data",
            "Have REDCap's server speak https, and take redcap.insecure out of the configuration.",
        )
    yield from (_folder(folder, facts.account) for folder in facts.folders)
    yield from _key(facts)
    yield from map(_disk, facts.disks)


def _folder(folder: Folder, account: str) -> Finding:
    if not folder.problem:
        return ok(_AREA, folder.key, f"{folder.path}, can be {folder.needed}")
    if folder.needed == "foreign":
        return trouble(_AREA, folder.key, Trouble(folder.problem))
    if folder.needed == "replaced":
        expected, found = "the name of a file", f"{folder.path}: {folder.problem}"
        return wrong(_AREA, folder.key, expected, found, f"Name a file in it: {folder.path / 'fiona-ledger.prom'}.")
    rights = "rX" if folder.needed == "read" else "rwX"
    return wrong(
        _AREA,
        folder.key,
        f"a folder that can be {folder.needed}",
        f"{folder.path}: {folder.problem}",
        f"Have it made, or mounted, and let {account} use it: `setfacl -m u:{account}:{rights} {folder.path}`; or "
        f"change {folder.key} in the configuration.",
    )


def _key(facts: MachineFacts) -> Iterator[Finding]:
    if facts.key is not None:
        yield trouble(_AREA, "ledger.key_file", facts.key)
    else:
        yield ok(_AREA, "ledger.key_file", f"{facts.key_file}, readable for its owner alone")
    if facts.forgotten is not None:
        yield trouble(_AREA, "the forgotten", facts.forgotten)
    if facts.key_copy_file is None or facts.key_copy is None:
        yield ok(_AREA, "ledger.key_copy", "none is named: whether there is one is not known here")
    elif facts.key is None:
        command = f"`install -m 0600 {facts.key_file}* {facts.key_copy_file.parent}/`"
        yield _key_copy(facts.key_copy_file, facts.key_copy, command)


def _key_copy(path: Path, copy: Told[KeyCopy], command: str) -> Finding:
    name, expected = "ledger.key_copy", "a copy of the key file as it is now"
    if isinstance(copy, Trouble):
        return wrong(_AREA, name, expected, f"that {path} is missing or cannot be read", f"Copy it: {command}.")
    if not copy.is_same:
        return wrong(_AREA, name, expected, f"another key in {path}, {_age(copy.age)} old", f"Copy it anew: {command}.")
    if not copy.knows_the_forgotten:
        found = f"{path}.forgotten missing or older than the one beside the key file"
        return doubtful(_AREA, name, "the numbers of who was forgotten beside it", found, f"Copy both: {command}.")
    return ok(_AREA, name, f"{path} holds the same key and is {_age(copy.age)} old")


def _age(age: timedelta) -> str:
    return "1 day" if age.days == 1 else f"{age.days} days"


def _disk(disk: Disk) -> Finding:
    name, free = f"disk of {disk.key}", disk.free
    if isinstance(free, Trouble):
        return trouble(_AREA, name, free)
    found = f"{free / _GIB:.1f} GiB free at {disk.path}"
    if free >= DISK_WARNING:
        return ok(_AREA, name, found)
    judge = wrong if free < DISK_CRITICAL else doubtful
    advice = "Make room there, or have the disk enlarged: where nothing can be written, runs end with an error."
    return judge(_AREA, name, f"{DISK_WARNING // _GIB} GiB or more", found, advice)
