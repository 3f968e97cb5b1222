"""Who may work at the same time: one run a site, and no run while the tables are made anew.

`ledger.lease` tells how that holds on whatever stands between here and PostgreSQL. Who has a lease works on the ledger
through the same `Database` only: its transactions begin by asking whether the lease is still in force.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import Protocol

from ledger import lease
from ledger.database import Database
from ledger.lease import RUN, Lease
from processors.errors import ServiceError

_PATIENCE = timedelta(minutes=15)


class Worker(Protocol):
    """Whoever works on a ledger for one of its sites."""

    @property
    def database(self) -> Database:
        """The ledger's."""

    @property
    def site(self) -> str:
        """The site worked for."""


def only_run(worker: Worker) -> AbstractContextManager[Lease | None]:
    """None while this is the site's only run; else the lease of who works instead."""
    return lease.held(worker.database, RUN, worker.site)


def no_runs(database: Database) -> AbstractContextManager[Lease | None]:
    """None while no site's run is under way and none can begin; else the lease of one that is.

    Sites share the tables, so whoever makes them anew has to wait for the runs of all of them. A run that is held on
    this `database` does not count: it is the caller's own.
    """
    return lease.alone(database)


@contextmanager
def in_turn(worker: Worker, name: str) -> Iterator[None]:
    """Waits until nobody else does the work of this name. Raises `ServiceError` where that takes too long."""
    with lease.held(worker.database, name, patience=_PATIENCE) as busy:
        if busy is not None:
            raise ServiceError(f"Another site's {busy.name} takes too long ({busy.where}). The next run tries again.")
        yield
