"""Who may work at the same time: one run a site, and no run while the tables are made anew.

PostgreSQL holds a lock for as long as the connection lives, so it never outlives its process. They are
held outside of transactions: one that is open for a whole run would keep the database from cleaning up.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

from sqlalchemy import Connection, text

from ledger.database import Database

TRY_LOCK = text("select pg_try_advisory_lock(hashtextextended(:name, 0))")
WAIT_FOR_LOCK = text("select pg_advisory_lock(hashtextextended(:name, 0))")
_UNLOCK = text("select pg_advisory_unlock(hashtextextended(:name, 0))")
_SITES = text("select site from gateway.site union select site from gateway.decision")


class Worker(Protocol):
    """Whoever works on a ledger for one of its sites."""

    @property
    def database(self) -> Database:
        """The ledger's."""

    @property
    def site(self) -> str:
        """The site worked for."""


def run_lock(site: str) -> str:
    """The name of the lock that a site's run holds."""
    return f"fiona-ledger run {site}"


def known_sites(connection: Connection, site: str) -> list[str]:
    """This site and all that have ever worked on the ledger, in a fixed order."""
    return sorted({site, *connection.execute(_SITES).scalars()})


@contextmanager
def only_run(worker: Worker) -> Iterator[bool]:
    """True while this is the site's only run; False where another one is under way."""
    with worker.database.without_transaction() as connection, _tried(connection, worker.site) as locked:
        yield locked


@contextmanager
def in_turn(worker: Worker, name: str) -> Iterator[None]:
    """Waits until nobody else does the work of this name."""
    parameters = {"name": f"fiona-ledger {name}"}
    with worker.database.without_transaction() as connection:
        connection.execute(WAIT_FOR_LOCK, parameters)
        try:
            yield
        finally:
            connection.execute(_UNLOCK, parameters)


@contextmanager
def no_runs(database: Database, site: str) -> Iterator[str | None]:
    """None while no site's run is under way and none can begin; else a site whose run is.

    Sites share the tables, so whoever makes them anew has to wait for the runs of all of them.
    """
    with database.without_transaction() as connection, _kept_from(connection, known_sites(connection, site)) as busy:
        yield busy


@contextmanager
def no_other_runs(worker: Worker) -> Iterator[str | None]:
    """None while the runs of all other sites are kept from beginning; else a site whose run is under way.

    For a run, which holds its own site's lock itself and needs the shared tables to itself.
    """
    with worker.database.without_transaction() as connection:
        others = [site for site in known_sites(connection, worker.site) if site != worker.site]
        with _kept_from(connection, others) as busy:
            yield busy


@contextmanager
def _kept_from(connection: Connection, sites: Iterable[str]) -> Iterator[str | None]:
    """Keeps these sites from beginning a run; gives one whose run is under way already."""
    taken: list[str] = []
    try:
        for site in sites:
            if not connection.execute(TRY_LOCK, {"name": run_lock(site)}).scalar_one():
                yield site
                return
            taken.append(site)
        yield None
    finally:
        for site in taken:
            connection.execute(_UNLOCK, {"name": run_lock(site)})


@contextmanager
def _tried(connection: Connection, site: str) -> Iterator[bool]:
    name = {"name": run_lock(site)}
    locked: bool = connection.execute(TRY_LOCK, name).scalar_one()
    try:
        yield locked
    finally:
        if locked:
            connection.execute(_UNLOCK, name)
