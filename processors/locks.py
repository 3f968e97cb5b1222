"""Who may work at the same time: one run a site, and no run while the tables are made anew.

PostgreSQL holds a lock for as long as the connection lives, so it never outlives its process. They are
held outside of transactions: one that is open for a whole run would keep the database from cleaning up.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text

from ledger.database import Database
from processors.gateway import Gateway

TRY_LOCK = text("select pg_try_advisory_lock(hashtextextended(:name, 0))")
WAIT_FOR_LOCK = text("select pg_advisory_lock(hashtextextended(:name, 0))")
_UNLOCK = text("select pg_advisory_unlock(hashtextextended(:name, 0))")
_SITES = text("""
    select site from gateway.run union select site from gateway.decision union select site from gateway.study
""")


def run_lock(site: str) -> str:
    """The name of the lock that a site's run holds."""
    return f"fiona-ledger run {site}"


def known_sites(connection: Connection, site: str) -> list[str]:
    """This site and all that have ever worked on the ledger, in a fixed order."""
    return sorted({site, *connection.execute(_SITES).scalars()})


@contextmanager
def only_run(gateway: Gateway) -> Iterator[bool]:
    """True while this is the site's only run; False where another one is under way."""
    with gateway.database.without_transaction() as connection, _tried(connection, gateway.site) as locked:
        yield locked


@contextmanager
def in_turn(gateway: Gateway, name: str) -> Iterator[None]:
    """Waits until nobody else does the work of this name."""
    parameters = {"name": f"fiona-ledger {name}"}
    with gateway.database.without_transaction() as connection:
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
    with database.without_transaction() as connection:
        taken: list[str] = []
        try:
            for name in known_sites(connection, site):
                if not connection.execute(TRY_LOCK, {"name": run_lock(name)}).scalar_one():
                    yield name
                    return
                taken.append(name)
            yield None
        finally:
            for name in taken:
                connection.execute(_UNLOCK, {"name": run_lock(name)})


@contextmanager
def _tried(connection: Connection, site: str) -> Iterator[bool]:
    name = {"name": run_lock(site)}
    locked: bool = connection.execute(TRY_LOCK, name).scalar_one()
    try:
        yield locked
    finally:
        if locked:
            connection.execute(_UNLOCK, name)
