"""Databases and connections that are used again: what one test leaves behind, the next one gets as if it were new.

PostgreSQL spends 60 ms of CPU on making a database after another one, as much again on the first connection to it, and
some 50 on what each new connection must look up to plan our statements. Emptying a database takes 5.
"""

import select
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import sqlalchemy
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from sqlalchemy import Engine
from sqlalchemy.pool import QueuePool

from ledger.database import Database, DriverConnection

Contents = dict[str, bytes]
"""The rows of tables that have some, as COPY writes them."""

_MANY_PAGES = 50
_MOST_KEPT = 4

_TABLES = """
    select c.oid::regclass::text from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
     where c.relkind = 'r' and n.nspname not in ('pg_catalog', 'information_schema')
       and not n.nspname like 'pg!_%' escape '!'
     order by 1
"""

_CATALOGS = (
    "pg_class",
    "pg_attribute",
    "pg_attrdef",
    "pg_constraint",
    "pg_index",
    "pg_trigger",
    "pg_rewrite",
    "pg_type",
    "pg_description",
    "pg_statistic",
    "pg_default_acl",
    "pg_event_trigger",
    "pg_extension",
)

_UNGUARDED = (
    "create or replace function ledger.refuse_change() returns trigger language plpgsql as 'begin return old; end'"
)
"""Lets pass what the ledger refuses even to a session that calls itself a replica."""

_SHAPE = " union all ".join(
    [
        *(f"select count(*), sum(xmin::text::bigint) from {catalog}" for catalog in _CATALOGS),
        # Those of temporary tables stay when the tables have gone.
        "select count(*), sum(xmin::text::bigint) from pg_namespace where not nspname like 'pg!_%temp!_%' escape '!'",
        "select count(*), sum(hashtext(pg_proc::text)) from pg_proc where oid >= 16384",
        "select count(*), sum(xmin::text::bigint) from pg_database where datname = current_database()",
        """
        select count(*), sum(s.xmin::text::bigint)
          from pg_db_role_setting as s join pg_database as d on d.oid = s.setdatabase
         where d.datname = current_database()
        """,
    ]
)
"""The number of rows of each catalog, and which transactions wrote them: it differs after whatever a migration,
a grant, a setting or statistics change.
"""

_SETTINGS = """
    select s.xmin from pg_db_role_setting as s join pg_database as d on d.oid = s.setdatabase
     where d.datname = current_database()
"""

_END_OTHERS = """
    select pg_terminate_backend(pid, 10000) from pg_stat_activity
     where datname = current_database() and pid <> all(%s::int[]) and pid <> pg_backend_pid()
"""


class KeptConnection(DriverConnection):
    """A connection that, when it is closed, waits as good as new for whoever wants one to the same address."""

    address: str
    waiting: list["KeptConnection"]

    def close(self) -> None:
        if self.closed or self in self.waiting:
            return
        if len(self.waiting) < _MOST_KEPT and self._made_as_new():
            self.waiting.append(self)
        else:
            self.end()

    def end(self) -> None:
        """Closes it for good."""
        super().close()

    def lives(self) -> bool:
        """Whether the server has not ended it: then it would have said so."""
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        return not self.closed and not poll.poll(0)

    def _made_as_new(self) -> bool:
        if self.info.transaction_status == TransactionStatus.ACTIVE:
            return False
        try:
            if self.info.transaction_status != TransactionStatus.IDLE:
                self.rollback()
            # All that DISCARD ALL does, but for plans.
            self.execute(
                "set session authorization default; reset all; close all; unlisten *; discard temp;"
                "select pg_catalog.pg_advisory_unlock_all()"
            )
        except psycopg.Error:
            return False
        return True


class _Copy:
    """A database made after a template, which is emptied again and again."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.waiting: defaultdict[str, list[KeptConnection]] = defaultdict(list)
        self._connection = psycopg.connect(url, autocommit=True)
        self._guard = self._connection.execute("select pg_get_functiondef('ledger.refuse_change'::regproc)").fetchall()[
            0
        ][0]
        self._tables = [row[0] for row in self._connection.execute(_TABLES)]
        self._shape = self._connection.execute(_SHAPE).fetchall()

    def connection(self, address: str) -> DriverConnection:
        """One that waits, or a new one: always, where the database has got settings, or the server was killed."""
        if not self._is_usable():
            return DriverConnection.connect(address, autocommit=True)
        waiting = self.waiting[address]
        while waiting:
            kept = waiting.pop()
            if kept.lives():
                return kept
            kept.end()
        made = KeptConnection.connect(address, autocommit=True)
        made.address, made.waiting = address, waiting
        # The next test executes the same ones.
        made.prepare_threshold, made.prepared_max = 1, None
        return made

    def _is_usable(self) -> bool:
        try:
            return not self._connection.execute(_SETTINGS, prepare=True).fetchall()
        except psycopg.OperationalError:
            return False

    def emptied(self) -> bool:
        """Ends what others do in it, and removes all rows; False where more than rows has changed."""
        try:
            kept = [each.info.backend_pid for waiting in self.waiting.values() for each in waiting if each.lives()]
            self._connection.execute(_END_OTHERS, [kept])
            if self._connection.execute(_SHAPE, prepare=True).fetchall() != self._shape:
                return False
            self._remove_rows()
        except psycopg.OperationalError:
            return False
        return True

    def _remove_rows(self) -> None:
        pages = " union all ".join(
            f"select '{table}', pg_relation_size('{table}') / 8192 where exists (select from {table})"
            for table in self._tables
        )
        found: dict[str, int] = dict(self._connection.execute(pages, prepare=True).fetchall())
        if found:
            # A single transaction.
            self._connection.execute("; ".join([_UNGUARDED, *(f"delete from {table}" for table in found), self._guard]))
        for table, size in found.items():
            if size > _MANY_PAGES:
                self._connection.execute(f"vacuum {table}")

    def contents(self) -> Contents:
        """What is committed now."""
        return contents_of(self._connection)

    def fill(self, contents: Contents) -> None:
        with self._connection.transaction(), self._connection.cursor() as cursor:
            for table, rows in contents.items():
                with cursor.copy(f"copy {table} from stdin") as copy:
                    copy.write(rows)

    def end_waiting(self) -> None:
        for waiting in self.waiting.values():
            while waiting:
                waiting.pop().end()

    def close(self) -> None:
        self.end_waiting()
        self._connection.close()


class Copies:
    """The databases of a server that are made after others, lent to one test after the other."""

    def __init__(self, url_of: Callable[[str], str], make: Callable[[str], str], drop: Callable[[str], None]) -> None:
        self._url_of = url_of
        self._make = make
        self._drop = drop
        self._copies: dict[str, _Copy] = {}
        self._free: defaultdict[str, list[str]] = defaultdict(list)
        self._made_after: dict[str, str] = {}
        self._contents: dict[str, Contents] = {}

    @contextmanager
    def lent(self, template: str, contents: Contents | None) -> Iterator[str]:
        """The name of a database that holds what `template` does, which may be lent itself, or these rows instead."""
        if contents is None:
            contents = self._contents_of(template)
        original = self._made_after.get(template, template)
        name = self._free[original].pop() if self._free[original] else self._made(original)
        self._copies[name].fill(contents)
        try:
            yield name
        finally:
            self._contents.pop(name, None)
            if self._copies[name].emptied():
                self._free[original].append(name)
            else:
                self._remove(name)

    def contents(self, name: str) -> Contents:
        """What is committed now in a database that is lent."""
        return self._copies[name].contents()

    def _contents_of(self, template: str) -> Contents:
        if template not in self._contents:
            with psycopg.connect(self._url_of(template)) as connection:
                self._contents[template] = contents_of(connection)
        return self._contents[template]

    def _made(self, original: str) -> str:
        name = self._make(original)
        self._made_after[name] = original
        self._copies[name] = _LENT[name] = copy = _Copy(self._url_of(name))
        assert copy.emptied(), f"{name} is not what it was made to be"
        return name

    def _remove(self, name: str) -> None:
        del _LENT[name], self._made_after[name]
        self._copies.pop(name).close()
        self._drop(name)

    def remove_all_of(self, template: str) -> None:
        """Drops what was made after a template."""
        self._contents.pop(template, None)
        for name in self._free.pop(template, []):
            self._remove(name)


def contents_of(connection: psycopg.Connection) -> Contents:
    """What is committed in its database."""
    tables = [row[0] for row in connection.execute(_TABLES)]
    copied: Contents = {}
    for table in tables:
        with connection.cursor().copy(f"copy {table} to stdout") as copy:
            rows = b"".join(copy)
        if rows:
            copied[table] = rows
    return copied


_LENT: dict[str, _Copy] = {}
"""By name; no two servers have databases of the same one."""


def dial(database: Database) -> DriverConnection:
    """What `Database._dial` does in tests: connections to lent databases are used again."""
    lent = _LENT.get(str(conninfo_to_dict(database._conninfo).get("dbname")))
    address = database._conninfo
    if lent is None:
        return DriverConnection.connect(address, autocommit=True)
    return lent.connection(address)


_create_engine = sqlalchemy.create_engine
_engines: list[Engine] = []


def create_engine(url: str, **options: Any) -> Engine:
    """What `sqlalchemy.create_engine` does in tests: what one engine has compiled and asked, the next one need not."""
    if not _engines or _engines[0].dialect.server_version_info is None:
        engine = _create_engine(url, **options)
        _engines[:] = [engine]
        return engine
    # Each asked the server for its version and settings when it connected first, and to make one takes a millisecond.
    first = _engines[0]
    pool = QueuePool(options["creator"], pool_size=options["pool_size"], dialect=first.dialect)
    engine = Engine(pool, first.dialect, first.url, hide_parameters=options["hide_parameters"])
    engine._compiled_cache = first._compiled_cache
    return engine


def end_waiting(url: str) -> None:
    """Ends the connections that wait to be used again: what a database presets is for new ones alone."""
    lent = _LENT.get(str(conninfo_to_dict(url).get("dbname")))
    if lent is not None:
        lent.end_waiting()
