"""The PostgreSQL behind a ledger: a server that is named, or an embedded one.

All of the program's connections come from here, the migrations' too. What the driver reports is
translated here, in one place, into the errors of this package.

Databases are shared, and set up by others. So nothing here depends on what database, role or environment preset, nor
on a session: a transaction pooler such as PgBouncer gives each transaction another one.
"""

import re
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import sqlalchemy
from psycopg import errors as pg_errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Conninfo, TransactionStatus
from sqlalchemy import Connection, Engine, RootTransaction, event
from sqlalchemy import exc as sa_exc
from sqlalchemy.pool import QueuePool

from ledger import embedded
from ledger.embedded import EmbeddedServer
from ledger.errors import LeaseLost, Misconfigured, Unreachable
from ledger.programs import OLDEST, Programs

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


# The isolation because the store relies on it: after waiting for the head's lock, it must see what others have
# committed. Whether changes are taken is left as it is preset: who has forbidden them means it.
_BEGIN = "begin isolation level read committed"
_PINNED = {
    "search_path": "pg_catalog, pg_temp",
    "datestyle": "'ISO, MDY'",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    "statement_timeout": "0",
    "lock_timeout": "0",
    # Longer than any call to REDCap takes; and what a vanished program leaves behind a pooler ends all the same.
    "idle_in_transaction_session_timeout": "'2h'",
}
"""What databases and roles preset otherwise and the program relies on. Zones are left to whoever reads."""

_PINNED_SINCE_17 = {"transaction_timeout": "0"}

_OF_A_SESSION = {
    "idle_session_timeout": "0",
    # A program that vanishes without a word is noticed within a minute and a half, and its locks end.
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "20",
    "tcp_keepalives_count": "3",
}

# Beside those that stand for a part of an address.
_LIBPQ_VARIABLES = frozenset(
    {"PGSERVICE", "PGSERVICEFILE", "PGSYSCONFDIR", "PGTZ", "PGDATESTYLE", "PGGEQO", "PGREQUIRESSL", "PGLOCALEDIR"}
)


class DriverConnection(psycopg.Connection[Any]):
    """The driver's connection; `preamble` are the settings that each transaction on it begins with.

    To the driver, every statement stands alone: `Database` begins transactions, by the message that pins settings.
    """

    preamble: str = ""

    def rollback(self) -> None:
        """Rolls back. In the midst of a statement, where SIGTERM may come, only the end of the connection does that."""
        if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
            self.close()
        elif not self.closed:
            super().rollback()


class Database:
    """Connections to one PostgreSQL database."""

    _holders: tuple[UUID, ...] = ()

    def __init__(self, conninfo: str, embedded_server: EmbeddedServer | None = None) -> None:
        self._embedded_server = embedded_server
        self._conninfo = _completed(conninfo)
        # The address goes to libpq as it is, which understands several hosts; SQLAlchemy's own
        # parser does not. Parameters are hidden because they would appear in error texts.
        self.engine: Engine = sqlalchemy.create_engine(
            "postgresql+psycopg://", creator=self._connect, hide_parameters=True, use_native_hstore=False, pool_size=3
        )

    @property
    def conninfo(self) -> str:
        """The address, with what it left open; a password may stand in it."""
        return self._conninfo

    @property
    def name(self) -> str:
        """The database's own name."""
        return str(conninfo_to_dict(self._conninfo).get("dbname", ""))

    @property
    def programs(self) -> Programs | None:
        """Those of the embedded server."""
        return None if self._embedded_server is None else self._embedded_server.programs

    def _dial(self) -> DriverConnection:
        return DriverConnection.connect(self._conninfo, autocommit=True)

    def _connect(self) -> DriverConnection:
        connection = self._dial()
        try:
            require_version(connection.info.server_version)
            _require_utf8(connection)
            _pin(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _start(self, connection: Connection) -> None:
        """Begins a transaction; raises `LeaseLost` where a lease that is held here is not in force any more."""
        driver: Any = connection.connection.driver_connection
        with driver.cursor() as cursor:
            cursor.execute(f"{_BEGIN}{driver.preamble}{self._fence}")
            if self._holders:
                while cursor.nextset():
                    pass
                _require_all(cursor.fetchone()[0], self._holders)

    @property
    def _fence(self) -> str:
        return f"; {_in_force(self._holders)}" if self._holders else ""

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A connection inside a transaction: committed at the end, rolled back on an exception."""
        with translated():
            transaction = self.begun()
            with transaction.connection as connection, transaction:
                yield connection

    @contextmanager
    def watched(self, waiting: Callable[[], AbstractContextManager[object]]) -> Iterator[None]:
        """Until it ends, `waiting` is around each time that this program waits for the server."""
        watched: list[Any] = []

        def watch(connection: Any, *_: object) -> None:
            # All that the driver says to the server, and hears, goes through this one method.
            if "wait" not in vars(connection):
                connection.wait = _within(waiting, connection.wait)
                watched.append(connection)

        event.listen(self.engine, "checkout", watch)
        try:
            yield
        finally:
            event.remove(self.engine, "checkout", watch)
            for connection in watched:
                del connection.wait

    def begun(self, *, again: bool = True) -> RootTransaction:
        """A transaction, for the caller to end.

        A connection that ended while nobody used it, by a restart or an idle timeout, is replaced.
        """
        connection = self.engine.connect()
        try:
            transaction = connection.begin()
            self._start(connection)
        except BaseException:
            driver = connection.connection.driver_connection
            has_ended = driver is not None and driver.closed
            if has_ended:
                connection.invalidate()
            connection.close()
            if not (has_ended and again):
                raise
        else:
            return transaction
        # What ended it has ended all that lay idle.
        self.engine.dispose()
        return self.begun(again=False)

    @contextmanager
    def fenced(self, holder: UUID) -> Iterator[None]:
        """Meanwhile no transaction begins here once the lease of this holder is lost; see `ledger.lease`."""
        self._holders = (*self._holders, holder)
        try:
            yield
        finally:
            self._holders = tuple(other for other in self._holders if other != holder)

    def require_leases(self, connection: Connection) -> None:
        """Raises `LeaseLost` where one held here is lost; with the head locked, none can be lost before the commit."""
        if self._holders:
            _require_all(connection.exec_driver_sql(_in_force(self._holders)).scalar_one(), self._holders)

    @property
    def holders(self) -> tuple[UUID, ...]:
        """Whose leases fence the transactions here."""
        return self._holders

    def require_connections(self) -> None:
        """Raises `Unreachable` where PostgreSQL grants one connection but no second one beside it, as a run needs."""
        pool = self.engine.pool
        if isinstance(pool, QueuePool) and pool.checkedin() > 1:
            return
        with self.begin():
            try:
                with self.begin():
                    pass
            except Unreachable as exc:
                raise Unreachable(
                    "Expected two connections to PostgreSQL at a time, found that it grants one: raise the connection "
                    f"limit of the role, the database or the server ({exc})"
                ) from exc

    def close(self) -> None:
        """Ends all connections, and the embedded server where nobody else uses it and it does not stay."""
        self.engine.dispose()
        if self._embedded_server is not None:
            self._embedded_server.close()
            self._embedded_server = None


def _within(waiting: Callable[[], AbstractContextManager[object]], wait: Callable[..., Any]) -> Callable[..., Any]:
    def watched_wait(*given: Any, **named: Any) -> Any:
        with waiting():
            return wait(*given, **named)

    return watched_wait


def ignore_variables(environment: MutableMapping[str, str]) -> None:
    """Takes the variables away by which libpq would connect otherwise than the configuration says."""
    named = {option.envvar.decode() for option in Conninfo.get_defaults() if option.envvar}
    for variable in named | _LIBPQ_VARIABLES:
        environment.pop(variable, None)


def is_pooled(connection: Connection) -> bool:
    """Whether a pooler stands between, which gives each transaction another session."""
    driver: Any = connection.connection.driver_connection
    return bool(driver.preamble)


def require_version(number: int) -> None:
    """Raises `Misconfigured` where a server of this number, as PostgreSQL tells it, is too old."""
    if number < OLDEST * 10_000:
        raise Misconfigured(
            f"Expected PostgreSQL {OLDEST} or newer, found {number // 10_000}.{number % 10_000}: in older "
            "ones everybody may put functions in the way of others. Have the server upgraded."
        )


def _require_utf8(connection: psycopg.Connection[Any]) -> None:
    encoding = connection.info.parameter_status("server_encoding")
    if encoding not in ("UTF8", None):
        raise Misconfigured(
            f"The database of ledger.url has the encoding {encoding}, in which not every name can be stored. "
            "Make it with: create database ... encoding 'UTF8' template template0."
        )


def _pin(connection: DriverConnection) -> None:
    """Sets what the program relies on: once for the session, or for each transaction where a pooler stands between."""
    pinned = _PINNED | (_PINNED_SINCE_17 if connection.info.server_version >= 170_000 else {})
    backend = connection.execute("select pg_catalog.pg_backend_pid()").fetchone()
    # A pooler answers for many servers, and gives its clients numbers of its own.
    if backend == (connection.info.backend_pid,):
        connection.execute(_statements("set", pinned | _OF_A_SESSION).encode())
    else:
        connection.preamble = f"; {_statements('set local', pinned)}"
        connection.prepare_threshold = None


def _statements(command: str, settings: dict[str, str]) -> str:
    return "; ".join(f"{command} {name} = {value}" for name, value in settings.items())


def _in_force(holders: tuple[UUID, ...]) -> str:
    listed = ", ".join(f"'{holder}'" for holder in holders)
    return f"select count(*) from ledger.lease where holder in ({listed})"


def _require_all(count: int, holders: tuple[UUID, ...]) -> None:
    if count < len(holders):
        raise LeaseLost(
            "This command has lost its lock on the ledger: it could not renew it in time, and another one has taken it "
            "over, or somebody has taken it away. What was recorded before stands; the next run goes on from there."
        )


def open_database(url: str, data_dir: Path, *, stays: timedelta = timedelta(0)) -> Database:
    """The database that `url` names: `embedded`, or whatever libpq takes as an address.

    An embedded server `stays` for so long once nobody uses it. Raises `Unreachable` where it does not start; a named
    server is first asked when a connection is used.
    """
    if url == EMBEDDED:
        server = embedded.start(data_dir, stays=stays)
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
    if "service" in given:
        raise Misconfigured(
            "ledger.url: expected an address, found the name of a service: what stands in the file of services is no "
            "part of the configuration. Write host, port, user and database into the address."
        )
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
            raise Misconfigured(
                f"PostgreSQL refuses the role of ledger.url: {_words(cause)}. docs/ledger.md tells which role may do "
                "what; `fiona-ledger grant`, given as the owner, lets it."
            ) from exc
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
