"""Who works on the ledger now: of each kind of work, one at a site, or one for all sites.

A lease is a row. Its holder renews it every 20 seconds, by the database's clock, and everybody can read since when and
where somebody works. It is nobody's any more when it has not been renewed for a minute and a half, or at once where its
process has ended on this very machine; whoever wants it then takes it over.

A holder that was only slow notices: each of its transactions begins by asking whether the lease is still in force
(`Database.fenced`), and so does each append once it has the head's lock. Taking over needs that lock too, so nothing of
the old holder's is recorded beside what the new one records.

Neither a session nor a connection stands for a holder: a pooler gives a session's locks to others, and a server keeps
the locks of a machine without power for hours.
"""

import os
import socket
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any, NamedTuple, Self
from uuid import UUID, uuid4

from psycopg.errors import LockNotAvailable
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from ledger import store
from ledger.database import Database
from ledger.errors import LedgerError, Unreachable

RUN = "run"
"""The work of a periodic run, and of all that must not happen beside one."""

RENEWED_EVERY = timedelta(seconds=20)
LASTS = timedelta(seconds=90)

_ASKED_EVERY = 0.25
_LONGEST_JOIN = 5

_held_here: set[UUID] = set()
"""The leases of this process: one of its own that is not among them is left over from a server that was away."""


class Lease(NamedTuple):
    """What everybody can know of a holder; `site` is empty where it works for all sites."""

    name: str
    site: str
    holder: UUID
    host: str
    process: int
    known_by: str
    since: datetime
    is_silent: bool

    @property
    def who(self) -> str:
        """The holder, in words that fit into a sentence."""
        what = self.name if self.name == RUN else f"work on {self.name}"
        return f"the {what} of site {self.site!r}" if self.site else "the other command"

    @property
    def where(self) -> str:
        """Since when and where it works."""
        return f"since {self.since.astimezone():%Y-%m-%d %H:%M:%S}, process {self.process} on {self.host}"

    def as_data(self) -> dict[str, Any]:
        """The same for a program to read."""
        return {"site": self.site, "since": self.since, "process": self.process, "host": self.host}

    def sentence(self) -> str:
        """That it is at work, as a sentence."""
        what = f"A {self.name} for site {self.site!r}" if self.site else "A command that keeps all runs away"
        return f"{what} is under way ({self.where})."


Waiting = Callable[[Lease], None]
"""Told who has to end first."""


def unwatched(_lease: Lease) -> None:
    """Nobody watches."""


def alone(
    database: Database, *, patience: timedelta = timedelta(0), waiting: Waiting = unwatched
) -> AbstractContextManager[Lease | None]:
    """None while no run of any site is under way, and none begins; else the lease of one that is."""
    return held(database, RUN, patience=patience, waiting=waiting)


@contextmanager
def held(
    database: Database,
    name: str,
    site: str = "",
    *,
    patience: timedelta = timedelta(0),
    waiting: Waiting = unwatched,
    renewed_every: timedelta = RENEWED_EVERY,
) -> Iterator[Lease | None]:
    """None while nobody else does the work of this name for the site, or for any; else the lease of who does.

    Who does it is waited for, for as long as `patience` says. A run that is held on the same `database` is the caller's
    own, and does not keep it from working for all sites.
    """
    holder, busy = uuid4(), None
    _held_here.add(holder)
    try:
        busy = _awaited(database, holder, (name, site), patience, waiting)
        if busy is not None:
            yield busy
            return
        with database.fenced(holder), _Renewal(database, holder, renewed_every):
            yield None
    finally:
        if busy is None:
            _give_up(database, holder)
        _held_here.discard(holder)


def _give_up(database: Database, holder: UUID) -> None:
    # Where that cannot be now, it runs out, and this process takes no notice of it.
    with suppress(LedgerError), database.begin() as connection:
        _execute_briefly(connection)
        connection.execute(_GIVE_UP, {"holder": holder})


def found(connection: Connection, name: str, site: str, *, own: Collection[UUID] = ()) -> Lease | None:
    """The lease in force for the work of this name at the site, or at all of them; not one of the asker's `own`."""
    leases = _others(connection, (name, site), ())
    return next((lease for lease in leases if lease.holder not in own and not _is_over(lease)), None)


def _awaited(
    database: Database, holder: UUID, wanted: tuple[str, str], patience: timedelta, waiting: Waiting
) -> Lease | None:
    deadline = time.monotonic() + patience.total_seconds()
    informed_of: UUID | None = None
    while (busy := _take(database, holder, wanted)) is not None:
        if patience and busy.holder != informed_of:
            waiting(busy)
            informed_of = busy.holder
        if time.monotonic() >= deadline:
            return busy
        time.sleep(_ASKED_EVERY)
    return None


def _take(database: Database, holder: UUID, wanted: tuple[str, str]) -> Lease | None:
    """Makes the lease, unless somebody has one in its way: then theirs."""
    name, site = wanted
    with database.begin() as connection:
        try:
            # One at a time: of two that saw no lease, both would make theirs.
            _execute_briefly(connection, "lock table ledger.lease in share row exclusive mode")
            others = _others(connection, wanted, database.holders)
            for other in others:
                if not _is_over(other):
                    return other
            if others:
                store.lock_head(connection)
                connection.execute(_TAKE_AWAY, {"holders": [other.holder for other in others]})
        except DBAPIError as exc:
            if not isinstance(exc.orig, LockNotAvailable):
                raise
            raise Unreachable(
                "A transaction on the server holds what has to be locked for a moment; if it is that of a program that "
                "has gone, the server ends it in time. Nothing was done; the next run tries again."
            ) from exc
        connection.execute(
            _MAKE,
            {
                "name": name,
                "site": site,
                "holder": holder,
                "host": socket.gethostname(),
                "process": os.getpid(),
                "known_by": _known_by(os.getpid()),
            },
        )
    return None


def _execute_briefly(connection: Connection, statement: str = "select") -> None:
    """Executes a statement in a transaction that holds nobody up for long, and need not outlast a crash."""
    connection.exec_driver_sql(
        "set local lock_timeout = '10s'; set local idle_in_transaction_session_timeout = '30s'; "
        f"set local synchronous_commit = off; {statement}",
        execution_options={"no_parameters": True},
    )


def _others(connection: Connection, wanted: tuple[str, str], own: tuple[UUID, ...]) -> list[Lease]:
    name, site = wanted
    parameters = {"name": name, "site": site, "own": list(own), "lasts": LASTS}
    return [Lease(*row) for row in connection.execute(_OTHERS, parameters)]


_OTHERS = text("""
    select name, site, holder, host, process, known_by, since, renewed_at < clock_timestamp() - :lasts as is_silent
      from ledger.lease
     where name = :name and (site = :site or '' in (site, :site) and holder <> all(cast(:own as uuid[])))
""")
_MAKE = text("""
    insert into ledger.lease (name, site, holder, host, process, known_by, since, renewed_at)
    values (:name, :site, :holder, :host, :process, :known_by, clock_timestamp(), clock_timestamp())
""")
_RENEW = text("update ledger.lease set renewed_at = clock_timestamp() where holder = :holder")
_GIVE_UP = text("delete from ledger.lease where holder = :holder")
_TAKE_AWAY = text("delete from ledger.lease where holder = any(:holders)")


class _Renewal:
    """Renews a lease for as long as it is entered, whatever its holder is busy with."""

    def __init__(self, database: Database, holder: UUID, every: timedelta) -> None:
        self._database = database
        self._every = every
        self._holder = holder
        self._ended = Event()
        self._thread = Thread(target=self._renew, name="lease", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        # Not for ever: it may wait for a server that is not there any more.
        self._thread.join(_LONGEST_JOIN)

    def _renew(self) -> None:
        while not self._ended.wait(self._every.total_seconds()):
            # Tried again, whatever it was; a lease that is lost is noticed by its holder.
            with suppress(Exception), self._database.begin() as connection:
                _execute_briefly(connection)
                connection.execute(_RENEW, {"holder": self._holder})


def _is_over(lease: Lease) -> bool:
    """Whether its holder is gone: it has long not renewed it, or has ended on this machine, or in this process."""
    return lease.is_silent or _has_ended(lease.process, lease.known_by) or _is_left_over(lease)


def _is_left_over(lease: Lease) -> bool:
    """Whether this process held it, and could not give it up when it was done."""
    own = _known_by(os.getpid())
    is_own = lease.process == os.getpid() and lease.known_by == own != _machine()
    return is_own and lease.holder not in _held_here


def _has_ended(process: int, known_by: str) -> bool:
    """Whether a process of this machine has ended; False where it is another machine's, or nothing can be known."""
    machine = _machine()
    if not machine or not known_by.startswith(machine) or known_by == machine:
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # somebody else's
    # Its number may have been given to another process.
    return _known_by(process) not in (known_by, machine)


def _machine() -> str:
    """Names this machine since its start, and the numbers of its processes, of which each container has its own."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()} "
    except OSError:
        return ""


def _known_by(process: int) -> str:
    """Names a process of this machine for good; the machine alone where that cannot be told."""
    try:
        state, *fields = Path(f"/proc/{process}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return _machine()
    return f"{_machine()}{'ended' if state in 'ZX' else fields[_STARTED]}"


_STARTED = 18
"""Where proc(5) has the time at which a process was started, counted from the field after its state."""
