"""Made-up events, and what tests of the ledger do with them over and over."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from sqlalchemy import Connection, text

from ledger import chain, store
from ledger.database import Database, open_database
from ledger.events import Event, NewEvent
from ledger.store import Store
from tests.ledger.layout import expected_hash

RUN = UUID("11111111-1111-7111-8111-111111111111")


def the_store(*, site: str = "main") -> Store:
    return Store(site=site, run=RUN, clock=lambda: datetime(2026, 3, 2, 8, 0, 0, 123456, tzinfo=UTC))


def fact(stream: str = "study/1", type_: str = "Happened", /, **data: Any) -> NewEvent:
    return NewEvent(stream=stream, type=type_, data=data)


def append(database: Database, *events: NewEvent, expected: Mapping[str, int] | None = None) -> list[Event]:
    with database.begin() as connection:
        return the_store().append(connection, events, expected=expected)


def everything(database: Database) -> list[Event]:
    with database.begin() as connection:
        return list(store.read(connection))


def scalar(database: Database, query: str) -> Any:
    with database.begin() as connection:
        return connection.execute(text(query)).scalar_one()


@contextmanager
def opened(url: str) -> Iterator[Database]:
    database = open_database(url, Path("/nowhere"))
    try:
        yield database
    finally:
        database.close()


def first_broken(connection: Connection) -> int | None:
    """The position of the first event whose hash does not follow; None where the chain holds."""
    rows = connection.execute(
        text("""
            select position, event_id, site, stream, version, type, schema_version, data::text as data,
                   subject, sealed, recorded_at, run, hash
              from ledger.event order by position
        """)
    )
    previous = chain.GENESIS
    for row in rows.mappings():
        columns = dict(row)
        stored = columns.pop("hash")
        previous = expected_hash(previous, **columns)
        if previous != stored:
            return int(row["position"])
    return None


anything = st.text(st.characters(exclude_categories=()), max_size=30)
"""Every text Python can hold: NUL and lone surrogates as well."""

storable = st.text(min_size=1, max_size=30).filter(lambda word: "\x00" not in word)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**63), max_value=2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | anything,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(anything, inner, max_size=4),
    max_leaves=12,
)

new_events = st.builds(
    NewEvent,
    stream=storable,
    type=storable,
    data=st.dictionaries(anything, json_values, max_size=5),
    schema_version=st.integers(1, 2**15 - 1),
    event_id=st.uuids(),
    subject=st.uuids(),
    sealed=st.none() | st.binary(max_size=200),
)
