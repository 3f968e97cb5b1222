"""The PostgreSQL behind a ledger: a server that is named, or an embedded one.

All of the program's connections come from here, the migrations' too. What the driver reports is
translated here, in one place, into the errors of this package.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy
from psycopg import errors as pg_errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import Connection, Engine
from sqlalchemy import exc as sa_exc

from ledger import embedded
from ledger.embedded import EmbeddedServer
from ledger.errors import Misconfigured, Unreachable

EMBEDDED = "embedded"

_UNLESS_NAMED = {
    "connect_timeout": 10,
    "application_name": "fiona-ledger",
    # A server that vanishes without a word is noticed within a minute and a half, not after two hours.
    "keepalives_idle": 30,
    "keepalives_interval": 20,
    "keepalives_count": 3,
    "tcp_user_timeout": 90_000,
}


class Database:
    """Connections to one PostgreSQL database."""

    def __init__(self, conninfo: str, embedded_server: EmbeddedServer | None = None) -> None:
        self._embedded_server = embedded_server
        self._conninfo = _completed(conninfo)
        # The address goes to libpq as it is, which understands several hosts; SQLAlchemy's own
        # parser does not. Parameters are hidden because they would appear in error texts. The
        # isolation is named because a server may have another default, and the store relies on this
        # one: after waiting for the head's lock, it must see what others have committed.
        self.engine: Engine = sqlalchemy.create_engine(
            "postgresql+psycopg://",
            creator=self._connect,
            hide_parameters=True,
            isolation_level="READ COMMITTED",
            use_native_hstore=False,
            pool_size=3,
        )

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self._conninfo)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A connection inside a transaction: committed at the end, rolled back on an exception."""
        with translated(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def without_transaction(self) -> Iterator[Connection]:
        """A connection on which every statement stands alone, for what has to outlast transactions."""
        with translated(), self.engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    def close(self) -> None:
        """Ends all connections, and the embedded server with the last program that uses it."""
        self.engine.dispose()
        if self._embedded_server is not None:
            self._embedded_server.close()
            self._embedded_server = None


def open_database(url: str, data_dir: Path) -> Database:
    """The database that `url` names: `embedded`, or whatever libpq takes as an address.

    Raises `Unreachable` where an embedded server does not start; a named server is first asked
    when a connection is used.
    """
    if url == EMBEDDED:
        server = embedded.start(data_dir)
        return Database(server.conninfo, server)
    if not url.startswith(("postgresql://", "postgres://")):
        scheme = re.match(r"[a-z+]+://", url)
        raise Misconfigured(
            f"ledger.url: expected {EMBEDDED!r} or an address that starts with 'postgresql://', found "
            f"{repr(scheme[0]) if scheme else 'something else'}."
        )
    return Database(url)


def _completed(conninfo: str) -> str:
    """The address with what it leaves open. Raises `Misconfigured`, without a word from the address."""
    try:
        given = conninfo_to_dict(conninfo)
    except psycopg.Error:
        given = None
    if given is None or not _plausible(given):
        # Not "from": libpq's words quote the part of the address where a password may stand.
        raise Misconfigured(
            "ledger.url: the address cannot be understood. Expected "
            "postgresql://USER:PASSWORD@HOST:PORT/DATABASE; in user and password, characters other than "
            "letters, digits and -._~ are written as %XX."
        ) from None
    defaults: dict[str, Any] = {key: value for key, value in _UNLESS_NAMED.items() if key not in given}
    if "," in str(given.get("host", "")) and "target_session_attrs" not in given:
        defaults["target_session_attrs"] = "read-write"  # not the standby among them
    # Always: the stored bytes are UTF-8, whatever the server's own encoding makes it assume.
    return make_conninfo(conninfo, **defaults, client_encoding="utf8")


def _plausible(given: dict[str, Any]) -> bool:
    """Whether it parsed as meant: an unescaped / or @ in the password moves its rest into other parts."""
    misplaced = any("@" in str(given.get(part) or "") for part in ("host", "dbname"))
    return not misplaced and re.fullmatch(r"[0-9,]*", str(given.get("port") or "")) is not None


@contextmanager
def translated() -> Iterator[None]:
    """Turns the driver's errors about the connection, the server or our rights into this package's.

    Their first line only: the rest may quote values.
    """
    try:
        yield
    except (sa_exc.DBAPIError, psycopg.Error) as exc:
        cause = exc.orig if isinstance(exc, sa_exc.DBAPIError) else exc
        if isinstance(cause, pg_errors.InsufficientPrivilege):
            raise Misconfigured(f"PostgreSQL refuses the role of ledger.url: {_words(cause)}.") from exc
        if isinstance(cause, pg_errors.ReadOnlySqlTransaction):
            raise Unreachable(f"PostgreSQL takes no changes: {_words(cause)}.") from exc
        if isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError):
            raise Unreachable(f"{_trouble(cause)}: {_words(cause)}.") from exc
        raise


def _trouble(exc: psycopg.Error) -> str:
    if exc.sqlstate is None or exc.sqlstate.startswith(("08", "57P")):
        return "PostgreSQL is not reachable or ended the connection"
    return "PostgreSQL cannot do its part"


def _words(exc: psycopg.Error) -> str:
    if exc.diag.message_primary:
        return exc.diag.message_primary.splitlines()[0]
    lines = str(exc).strip().splitlines() or [type(exc).__name__]
    each_host = [line.removeprefix("- ") for line in lines if line.startswith("- host: ")]
    return "; ".join(each_host) or lines[0]
