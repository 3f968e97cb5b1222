"""Appending and reading events, against PostgreSQL itself and the library `eventsourcing` on the same server."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import orjson
from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import text

from ledger import store
from ledger.batching import batches
from ledger.store import Store
from tests.benchmarks.events import BATCH, COPY_IN, batches_of_rows, make_raw_table, new_events
from tests.benchmarks.rows import Row, at_least, in_turn, row, sized
from tests.benchmarks.site import fresh_database, running_server
from tests.conftest import SettableClock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ledger.database import Database
    from ledger.events import NewEvent
    from tests.conftest import Server

EVENTS = sized(100_000, least=20_000)
ALONE = sized(5_000, least=500)
THEIR_BATCH = 200
"""What it sends at once must fit a socket: with more, it and the server wait for each other for ever."""


def run() -> list[Row]:
    """What was measured."""
    events = new_events(EVENTS)
    with running_server() as (server, _folder), fresh_database(server) as database:
        _append(database, events, BATCH)
        with database.begin() as connection:
            copied_rows = list(batches_of_rows(connection))
            alone_rows = list(_rows(database, ALONE))
        appended, copied, theirs = in_turn(
            lambda: _appended(server, events, BATCH),
            lambda: _copied(database, copied_rows),
            lambda: _their_append(server, events),
        )
        alone, inserted = in_turn(lambda: _appended(server, events[:ALONE], 1), lambda: _inserted(database, alone_rows))
        with _Peer(server, events) as peer:
            peer.append()
            read, told, typed, they_read = in_turn(
                lambda: _read(database), lambda: _read_excerpts(database), lambda: _read_typed(database), peer.read
            )
    library = "eventsourcing"
    append, reading = f"append {EVENTS:,} events, batches of {BATCH:,}", f"read and decode {EVENTS:,} events"
    return [
        row(append, appended, "events/s", "raw COPY of the same rows", copied, at_least(0.65)),
        row(append, appended, "events/s", library, theirs, at_least(3)),
        row("append, one event", alone, "events/s", "one raw INSERT and commit", inserted, at_least(0.6)),
        row(reading, read, "events/s", "typed binary COPY TO + decode", typed, at_least(0.5)),
        row(f"read {EVENTS:,} events for a projection", told, "events/s", library, they_read, at_least(1.3)),
    ]


def _rate(count: int, work: Callable[[], object]) -> float:
    begun = perf_counter()
    work()
    return count / (perf_counter() - begun)


# Ours


def _append(database: Database, events: Sequence[NewEvent], at_once: int) -> None:
    ours = Store(site="main", run=uuid4(), clock=SettableClock())
    for batch in batches(events, at_once):
        with database.begin() as connection:
            ours.append(connection, batch)


def _appended(server: Server, events: Sequence[NewEvent], at_once: int) -> float:
    with fresh_database(server) as database:
        return _rate(len(events), lambda: _append(database, events, at_once))


def _read(database: Database) -> float:
    with database.begin() as connection:
        return _rate(EVENTS, lambda: sum(1 for _ in store.read(connection)))


def _read_excerpts(database: Database) -> float:
    with database.begin() as connection:
        return _rate(EVENTS, lambda: sum(1 for _ in store.read_excerpts(connection)))


# PostgreSQL itself


def _copied(database: Database, rows: Sequence[bytes]) -> float:
    with database.begin() as connection:
        make_raw_table(connection)

    def copy_all() -> None:
        for batch in rows:
            with database.begin() as connection, connection.connection.cursor().copy(COPY_IN) as copy:
                copy.write(batch)

    return _rate(EVENTS, copy_all)


def _rows(database: Database, count: int) -> Sequence[Any]:
    query = text("select *, data::text as data_text from ledger.event where position <= :count order by position")
    with database.begin() as connection:
        return [row._asdict() for row in connection.execute(query, {"count": count})]


_INSERT = """
    insert into raw.event (position, event_id, site, stream, version, type, schema_version, data, subject, sealed,
                           recorded_at, run, hash)
    values (%(position)s, %(event_id)s, %(site)s, %(stream)s, %(version)s, %(type)s, %(schema_version)s,
            %(data_text)s::json, %(subject)s, %(sealed)s, %(recorded_at)s, %(run)s, %(hash)s)
"""


def _inserted(database: Database, rows: Sequence[Any]) -> float:
    with database.begin() as connection:
        make_raw_table(connection)
    statement = _INSERT

    def insert_all() -> None:
        # The driver alone, its statement prepared after the first few: as quick as it goes.
        with database.engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            for row in rows:
                with driver.transaction():
                    driver.execute(statement, {name: value for name, value in row.items() if name != "data"})

    return _rate(len(rows), insert_all)


_TYPED = """
    copy (select position, version::bigint, schema_version::bigint, event_id, run, subject, site, stream, type,
                 data::text, sealed, recorded_at, hash
            from ledger.event order by position) to stdout (format binary)
"""
_TYPES = (
    "int8",
    "int8",
    "int8",
    "uuid",
    "uuid",
    "uuid",
    "text",
    "text",
    "text",
    "text",
    "bytea",
    "timestamptz",
    "bytea",
)


def _read_typed(database: Database) -> float:
    with database.begin() as connection, connection.connection.cursor().copy(_TYPED) as copy:
        copy.set_types(_TYPES)
        return _rate(EVENTS, lambda: sum(1 for columns in copy.rows() if orjson.loads(columns[9])))


# The library


class _Peer:
    """The recorder of `eventsourcing` on the same server, events prepared: as quick as it goes."""

    def __init__(self, server: Server, events: Sequence[NewEvent]) -> None:
        address = conninfo_to_dict(server.url)
        self._fresh = server.fresh()
        self._datastore = PostgresDatastore(
            dbname=self._fresh.__enter__(), host=str(address["host"]), port=5432, user="postgres", password=""
        )
        self._recorder = PostgresApplicationRecorder(self._datastore)
        self._recorder.create_table()
        self._events = _stored(events)

    def __enter__(self) -> _Peer:
        return self

    def __exit__(self, *_error: object) -> None:
        self._datastore.close()
        self._fresh.__exit__(None, None, None)

    def append(self) -> float:
        """Events a second appended."""
        return _rate(len(self._events), self._append)

    def _append(self) -> None:
        for batch in batches(self._events, THEIR_BATCH):
            self._recorder.insert_events(batch)

    def read(self) -> float:
        """Events a second read and decoded."""
        return _rate(len(self._events), self._read)

    def _read(self) -> None:
        for first in range(1, len(self._events) + 1, BATCH):
            for notification in self._recorder.select_notifications(first, BATCH):
                orjson.loads(notification.state)


def _stored(events: Sequence[NewEvent]) -> list[StoredEvent]:
    ids: dict[str, UUID] = {}
    versions: dict[str, int] = {}
    made = []
    for event in events:
        versions[event.stream] = versions.get(event.stream, 0) + 1
        originator = ids.setdefault(event.stream, uuid4())
        made.append(StoredEvent(originator, versions[event.stream], event.type, orjson.dumps(event.data)))
    return made


def _their_append(server: Server, events: Sequence[NewEvent]) -> float:
    with _Peer(server, events) as peer:
        return peer.append()
