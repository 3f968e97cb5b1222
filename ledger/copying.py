"""A ledger copied to another database, event by event, in steps that can be repeated: nothing there is written over.

`move` of the program puts the steps together. Rows go over as PostgreSQL writes them for COPY, and are looked at by
nobody on the way: that they are the same is verified afterwards.
"""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, text

from ledger import store
from ledger.errors import Misconfigured

_EVENT = (
    "position, event_id, site, stream, version, type, schema_version, data, subject, sealed, recorded_at, run, hash"
)
_HASH = text("select hash from ledger.event where position = :position")
_LEDGER = text("select ledger from ledger.vault")
_MOVE_HEAD = text("""
    update ledger.head set (position, hash) = (select position, hash from ledger.event where position = :position)
""")
# These refuse to be emptied, and hold what the source has, or had.
_KEPT = {"vault": "only_row", "subject": "subject", "attestation": "only_row"}
_TABLES = text("""
    select 'gateway.' || relname from pg_class
     where relnamespace = 'gateway'::regnamespace and relkind in ('r', 'p') and not relispartition order by 1
""")
_COLUMNS = text("""
    select attname from pg_attribute where attrelid = cast(:table as regclass) and attnum > 0 and not attisdropped
     order by attnum
""")


def require_beginning(source: Connection, target: Connection) -> None:
    """Raises `Misconfigured` unless the target holds the source's first events, or none, and nothing of its own."""
    end, ours = store.head(target), source.execute(_LEDGER).scalar_one()
    theirs = target.execute(_LEDGER).scalar_one_or_none()
    stored = source.execute(_HASH, {"position": end.position}).scalar_one_or_none()
    is_beginning = end.position == 0 or (stored is not None and bytes(stored) == end.hash)
    if theirs not in (None, ours) or not is_beginning:
        raise Misconfigured(
            "--to: expected an empty database, or what an interrupted move has left there; found another ledger, or "
            f"this one after it has gone on there ({end.position} events). No ledger is ever written over: name "
            "another database."
        )


def copy_events(source: Connection, target: Connection, most: int) -> int:
    """Copies so many of the events that the target lacks; gives the position reached."""
    after = store.lock_head(target).position
    until = min(after + most, store.head(source).position)
    if until > after:
        wanted = f"select {_EVENT} from ledger.event where position > {after} and position <= {until} order by position"
        _copy(source, target, wanted, f"ledger.event ({_EVENT})")
        target.execute(_MOVE_HEAD, {"position": until})
    return until


def copy_rest(source: Connection, target: Connection, derived: Collection[str]) -> None:
    """Copies keys, attestation and what no event tells: all tables of schema gateway but for the `derived` ones."""
    for table, key in _KEPT.items():
        _copy_kept(source, target, table, key)
    for table in source.execute(_TABLES).scalars():
        if table not in derived:
            target.exec_driver_sql(f"delete from {table}")
            columns = _columns(source, table)
            _copy(source, target, f"select {columns} from {table}", f"{table} ({columns})")


def _copy_kept(source: Connection, target: Connection, table: str, key: str) -> None:
    columns = _columns(source, f"ledger.{table}")
    new = ", ".join(f"{name} = excluded.{name}" for name in columns.split(", "))
    target.exec_driver_sql(f"create temporary table moved_{table} (like ledger.{table}) on commit drop")
    _copy(source, target, f"select {columns} from ledger.{table}", f"pg_temp.moved_{table} ({columns})")
    target.exec_driver_sql(
        f"insert into ledger.{table} ({columns}) select {columns} from pg_temp.moved_{table} "
        f"on conflict ({key}) do update set {new}"
    )


def contents(connection: Connection, table: str) -> tuple[int, int]:
    """How many rows a table has, and a number that is the same for the same rows, in whatever order.

    Whatever zone the database is preset to: moments are told in it, and two servers are seldom in the same.
    """
    connection.exec_driver_sql("set local timezone = 'UTC'")
    statement = f"select count(*), coalesce(sum(hashtextextended(t::text, 0)), 0) from {table} as t"
    count, digest = connection.exec_driver_sql(statement).one()
    return int(count), int(digest)


def _columns(connection: Connection, table: str) -> str:
    return ", ".join(connection.execute(_COLUMNS, {"table": table}).scalars())


def _copy(source: Connection, target: Connection, query: str, into: str) -> None:
    reading, writing = _driver(source), _driver(target)
    with (
        reading.cursor() as out,
        writing.cursor() as in_,
        out.copy(f"copy ({query}) to stdout (format binary)") as rows,
        in_.copy(f"copy {into} from stdin (format binary)") as copy,
    ):
        for block in rows:
            copy.write(block)


def _driver(connection: Connection) -> Any:
    return connection.connection.driver_connection
