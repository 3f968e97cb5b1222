"""Events as they lie in the table, column by column, for whoever checks or copies all of them.

They come by binary COPY: nothing is decoded that a hash is not computed over, the server sends as
fast as the reader takes, and memory stays flat. `store.read` is for whoever wants to know what they say.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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
    driver: Any = connection.connection.driver_connection
    with (
        driver.cursor() as cursor,
        cursor.copy(_COPY, {"first": first, "last": last}) as copy,
    ):
        copy.set_types(_TYPES)
        yield map(Stored._make, copy.rows())


# In the order of `chain.Stored`. The time is extracted as a number with all its digits.
_COPY = """
    copy (select position, version::bigint, schema_version,
                 (extract(epoch from recorded_at) * 1000000)::bigint as recorded_at,
                 event_id, run, subject, site, stream, type, data, sealed, hash
            from ledger.event
           where (%(first)s::bigint is null or position >= %(first)s::bigint)
             and (%(last)s::bigint is null or position <= %(last)s::bigint)
           order by position)
      to stdout (format binary)
"""
# Read as bytes what the hash covers as bytes: no text is decoded, no UUID made.
_TYPES = ("int8", "int8", "int2", "int8", *["bytea"] * 9)
