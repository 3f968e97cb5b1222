"""Events as they lie in the table, column by column, for whoever checks or copies all of them.

They come in their binary form: nothing is decoded that a hash is not computed over, the server sends as
fast as the reader takes, and memory stays flat. `store.read` is for whoever wants to know what they say.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import psycopg
from psycopg import capabilities
from psycopg.types.numeric import Int8BinaryLoader
from psycopg.types.string import ByteaBinaryLoader
from sqlalchemy import Connection, text

from ledger.chain import Stored


def as_one_moment(connection: Connection) -> None:
    """All that this transaction reads is of one moment; to be called before its first statement."""
    connection.execute(text("set transaction isolation level repeatable read"))


@contextmanager
def stored_events(
    connection: Connection, *, first: int | None = None, last: int | None = None
) -> Iterator[Iterator[Stored]]:
    """The events from position `first` to `last`, in order; without bounds, whatever lies in the table."""
    with _streamed(connection, _BETWEEN, {"first": first, "last": last}) as events:
        yield events


@contextmanager
def stored_events_at(connection: Connection, positions: Sequence[int]) -> Iterator[Iterator[Stored]]:
    """The events at these positions, in order; without those that are missing."""
    with _streamed(connection, _AT, {"positions": list(positions)}) as events:
        yield events


@contextmanager
def _streamed(connection: Connection, query: str, parameters: dict[str, Any]) -> Iterator[Iterator[Stored]]:
    driver: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
    with driver.cursor(binary=True) as cursor:
        for type_, loader in _LOADERS.items():
            cursor.adapters.register_loader(type_, loader)
        rows: Any = cursor.stream(query, parameters, binary=True, size=_ROWS_AT_ONCE)
        # Who stops half-way leaves the connection taken until the rows are closed: a rollback would wait for ever.
        with closing(rows):
            yield map(Stored._make, rows)


# In the order of `chain.Stored`. PostgreSQL's binary times count microseconds from the year 2000: put off by thirty
# years, they count from 1970.
_COLUMNS = """
    select position, version, schema_version, recorded_at + interval '946684800 seconds',
           event_id, run, subject, site, stream, type, data, sealed, hash
      from ledger.event
"""
_BETWEEN = f"""{_COLUMNS}
     where (%(first)s::bigint is null or position >= %(first)s::bigint)
       and (%(last)s::bigint is null or position <= %(last)s::bigint)
     order by position
"""
_AT = f"{_COLUMNS} where position in (select unnest(%(positions)s::bigint[])) order by position"
# Read as bytes what the hash covers as bytes: no text is decoded, no UUID made.
_LOADERS: dict[str, Any] = {
    "timestamptz": Int8BinaryLoader,
    **dict.fromkeys(("uuid", "text", "json"), ByteaBinaryLoader),
}
# The driver's work is per portion, where libpq can send portions (from 17 on): 0.8 µs a row instead of 1.6. By COPY,
# a row at a time, it was 2.5.
_ROWS_AT_ONCE = 200 if capabilities.has_stream_chunked() else 1
