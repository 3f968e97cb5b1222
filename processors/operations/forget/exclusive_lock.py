"""Keeping all runs away while keys are destroyed or wrapped anew: a run holds keys in memory."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text
from sqlalchemy import exc as sa_exc

from processors.errors import ServiceError
from processors.gateway import Gateway
from processors.locks import TRY_LOCK, WAIT_FOR_LOCK, known_sites, run_lock

PATIENCE_SECONDS = 600

Waiting = Callable[[str], None]
"""Told the site whose run has to end first."""


@contextmanager
def exclusive_lock(
    gateway: Gateway, *, waiting: Waiting = lambda _site: None, patience_seconds: float = PATIENCE_SECONDS
) -> Iterator[Connection]:
    """No run of any site that has ever worked on this ledger is under way, and none begins.

    Raises `ServiceError` where a run does not end in time. The connection that is given stands outside
    of transactions and holds the locks.
    """
    with gateway.database.without_transaction() as connection:
        sites = known_sites(connection, gateway.site)
        try:
            connection.execute(text(f"set lock_timeout = '{round(patience_seconds * 1000)}ms'"))
            # In one order, and first the one that only these commands take: two of them never wait in a circle.
            _take(connection, "fiona-ledger keys", "the other command", waiting)
            for site in sites:
                _take(connection, run_lock(site), f"the run of site {site!r}", waiting)
            connection.execute(text("reset lock_timeout"))
            yield connection
        finally:
            _release(connection)


def _take(connection: Connection, name: str, holder: str, waiting: Waiting) -> None:
    if connection.execute(TRY_LOCK, {"name": name}).scalar_one():
        return
    waiting(holder)
    try:
        connection.execute(WAIT_FOR_LOCK, {"name": name})
    except sa_exc.OperationalError as exc:
        if getattr(exc.orig, "sqlstate", None) != "55P03":
            raise
        raise ServiceError(
            f"Nothing was changed: {holder} did not end in time, and it holds keys in its memory. Try again when it "
            "has ended."
        ) from exc


def _release(connection: Connection) -> None:
    try:
        connection.execute(text("select pg_advisory_unlock_all()"))
        connection.execute(text("reset lock_timeout"))
    except sa_exc.DBAPIError:
        # The connection is lost, and with it the locks; what went wrong before is what has to be told.
        connection.invalidate()
