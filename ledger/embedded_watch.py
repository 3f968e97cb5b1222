"""Stops an embedded PostgreSQL that nobody has used for some minutes: a process of its own, as commands come and go.

    python -I -S embedded_watch.py FOLDER SECONDS SERVER GUARD

`SERVER` and `GUARD` are descriptors that it inherits: of the server's process, and of the file that tells that it is
watched. It needs nothing but Python's own modules, and takes some megabytes.

Locks on files in the folder say who is there. A lock ends with whoever holds it, however that ends.

    .postgres.lock     one at a time: whoever starts or stops the server
    .postgres.users    shared: whoever uses it; the file's time changes when somebody comes or goes
    .postgres.watch    one: whoever watches it; the file tells the server's process

It stops the server at once where that lies in the folder no more, as nobody would find it, or on SIGTERM, unless
somebody uses it; and ends with the server, whatever ends that.
"""

import contextlib
import fcntl
import os
import select
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

LOCK: Final = ".postgres.lock"
USERS: Final = ".postgres.users"
GUARD: Final = ".postgres.watch"

_LONGEST_STOP_SECONDS: Final = 60
_LONGEST_NUMBER: Final = 20


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Nobody else starts or stops the server meanwhile."""
    descriptor = own_file(folder / LOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def own_file(path: Path) -> int:
    """The descriptor of a file that nobody else can open, so that nobody else can lock it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    os.fchmod(descriptor, 0o600)
    return descriptor


def is_alone(share: int) -> bool:
    """Whether no other program has a share; to be asked while nobody can take one."""
    try:
        fcntl.flock(share, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def a_share(folder: Path) -> Iterator[int]:
    """The file of which each user has a share, with none taken yet."""
    share = own_file(folder / USERS)
    try:
        yield share
    finally:
        os.close(share)


def watch(folder: Path, seconds: float, server: int) -> None:
    """Returns when the server has ended: by itself, or stopped because nobody has used it for so long."""
    told = _told_by_sigterm()
    while True:
        last_used = _last_used(folder)
        ready = _ready_within(seconds, server, told)
        if server in ready:
            return
        with locked(folder), a_share(folder) as share:
            is_idle = last_used == _last_used(folder) or bool(ready) or not _lies_in(folder, server)
            if is_idle and is_alone(share):
                _stop(server, in_order=_lies_in(folder, server))
                return
        if ready:
            return


def _told_by_sigterm() -> int:
    """A descriptor from which can be read once SIGTERM has come."""
    told, telling = os.pipe()
    os.set_blocking(telling, False)
    signal.set_wakeup_fd(telling, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, lambda *_: None)
    return told


def _ready_within(seconds: float, *descriptors: int) -> set[int]:
    """Those from which can be read, as soon as there are any: of a process, when it has ended."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return {descriptor for descriptor, _ in poll.poll(1000 * seconds)}


def _last_used(folder: Path) -> int:
    """When somebody came or went: compared with what it was, so that it is no matter whether the clock is right."""
    return (folder / USERS).stat().st_mtime_ns


def _lies_in(folder: Path, server: int) -> bool:
    """Whether the server of the folder is this one, and not one that was moved away with its data."""
    try:
        told = (folder / "postgres" / "postmaster.pid").read_text("ascii").split()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return told[:1] == [_number(server)]


def _number(server: int) -> str:
    lines = Path(f"/proc/self/fdinfo/{server}").read_text("ascii").splitlines()
    return next(line.split()[1] for line in lines if line.startswith("Pid:"))


def end_moved(folder: Path) -> None:
    """Ends a server that is watched and was moved away with its data, before others are used in their place.

    Its checkpoints would be written by the path at which it was started: into the data that lie there by then.
    """
    guard = own_file(folder / GUARD)
    try:
        told = b"" if is_alone(guard) else os.pread(guard, _LONGEST_NUMBER, 0).strip()
    finally:
        os.close(guard)
    if told:
        with contextlib.suppress(ProcessLookupError):
            server = os.pidfd_open(int(told))
            try:
                if not _lies_in(folder, server):
                    _stop(server, in_order=False)
            finally:
                os.close(server)


def _stop(server: int, *, in_order: bool) -> None:
    """Has the server end its connections and stop, as `pg_ctl stop` does, and waits for it.

    Not `in_order` is without a last checkpoint: that would be written by the path at which the server was started, so
    into the data that lie there by then. What was moved away is recovered when it is started next.
    """
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(server, signal.SIGINT if in_order else signal.SIGQUIT)
        _ready_within(_LONGEST_STOP_SECONDS, server)


def _main() -> None:
    folder, seconds, server, guard = sys.argv[1:]
    os.pwrite(int(guard), _number(int(server)).encode().ljust(_LONGEST_NUMBER), 0)
    # Whoever has started this need not wait for its end.
    if os.fork():
        return
    try:
        watch(Path(folder), float(seconds), int(server))
    except FileNotFoundError:
        # The folder has gone, and with it what anybody could find the server by.
        _stop(int(server), in_order=False)


if __name__ == "__main__":
    _main()
