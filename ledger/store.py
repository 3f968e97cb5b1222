"""Appending events in one order, and reading them back.

Order is kept by the row `ledger.head`: whoever appends locks it first, so positions have no gaps
and appear in commit order, and a reader that remembers one number misses nothing. A bare sequence
does not do: with several writers its numbers become visible out of order, and a tailing reader
skips some for ever.
"""

import struct
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import psycopg
from psycopg import errors as pg_errors
from psycopg.types.string import ByteaBinaryLoader
from sqlalchemy import Connection, text

from ledger import chain, codec
from ledger.chain import Stored
from ledger.errors import Conflict, NotMigrated
from ledger.events import Event, Excerpt, NewEvent

Clock = Callable[[], datetime]

READ_BATCH = 5_000


class Head(NamedTuple):
    """The last event's position (0: none yet) and hash."""

    position: int
    hash: bytes


_Appended = tuple[Event, Stored]
"""An event as a reader will find it, and as it lies in the table."""


class Store:
    """Appends events on behalf of one site and one run.

    Every method takes the connection of the caller's transaction: events, checkpoints and
    projection rows move together or not at all.
    """

    def __init__(self, *, site: str, run: UUID, clock: Clock) -> None:
        self.site = site
        self.run = run
        self.clock = clock

    def append(
        self,
        connection: Connection,
        events: Sequence[NewEvent],
        *,
        expected: Mapping[str, int] | None = None,
    ) -> list[Event]:
        """The events as they now stand at the end of the ledger, in the order given.

        `expected` names streams with the version (0: empty) that the caller has read. Where a stream
        has moved on since, appending the very same event ids again, at the same place and in the same
        order, is success and returns the events that stand there; anything else raises `Conflict`,
        and nothing is appended.

        The events returned hold their data as a reader will find it, not as it was given.
        """
        if not events:
            return []
        head, versions = _locked(connection, {event.stream for event in events} | set(expected or ()))
        moved = [stream for stream, version in (expected or {}).items() if versions[stream] != version]
        if moved:
            return _already_appended(connection, events, moved, expected or {})
        return _write(connection, len(events), self._chained(events, head, versions))

    def _chained(self, events: Sequence[NewEvent], head: Head, versions: dict[str, int]) -> Iterator[_Appended]:
        """The events as they will be read and as they are stored, each made when it is asked for."""
        recorded_at = self.clock().astimezone(UTC)
        # The same in every event, and each of them is as bytes what it is as a value: made once.
        moment, site, run = chain.microseconds(recorded_at), self.site.encode(), self.run.bytes
        position, previous = head
        for event in events:
            position += 1
            version = versions[event.stream] = versions[event.stream] + 1
            columns = (
                position,
                version,
                event.schema_version,
                moment,
                event.event_id.bytes,
                run,
                None if event.subject is None else event.subject.bytes,
                site,
                event.stream.encode(),
                event.type.encode(),
                codec.encode(event.data),
                event.sealed,
            )
            previous = chain.follow(previous, (*columns, b""))
            row = Stored(*columns, previous)
            yield self._as_read(event, row, recorded_at), row

    def _as_read(self, event: NewEvent, row: Stored, recorded_at: datetime) -> Event:
        return Event(
            row.position,
            event.event_id,
            self.site,
            event.stream,
            row.version,
            event.type,
            event.schema_version,
            codec.decode(row.data),
            event.subject,
            event.sealed,
            recorded_at,
            self.run,
            row.hash,
        )


def head(connection: Connection) -> Head:
    """Where the ledger ends now."""
    row = connection.execute(_HEAD).one()
    return Head(row.position, bytes(row.hash))


def lock_head(connection: Connection) -> Head:
    """Where the ledger ends; others wait with appending until this transaction ends."""
    row = connection.execute(_LOCK_HEAD).one_or_none()
    if row is None:
        raise _not_migrated()
    return Head(row.position, bytes(row.hash))


def read(
    connection: Connection,
    *,
    after: int = 0,
    until: int | None = None,
    types: Collection[str] | None = None,
    upcasters: codec.Upcasters | None = None,
) -> Iterator[Event]:
    """Events with `after` < position <= `until`, in order, decoded one at a time.

    They are fetched `READ_BATCH` rows at a time, so that memory does not grow with the ledger. By
    position rather than by a cursor on the server: that needs no name of its own, so reads may be
    nested or given up half-way.
    """
    for row in _rows(connection, _COLUMNS, after, until, types):
        yield _event(row, upcasters or {})


def read_excerpts(
    connection: Connection,
    *,
    after: int = 0,
    until: int | None = None,
    types: Collection[str] | None = None,
    upcasters: codec.Upcasters | None = None,
) -> Iterator[Excerpt]:
    """What projections need of the events that `read` gives, decoded one at a time."""
    for row in _rows(connection, _EXCERPT_COLUMNS, after, until, types):
        yield _excerpt(row, upcasters or {})


def fetch_excerpts(
    connection: Connection,
    *,
    after: int,
    until: int,
    types: Collection[str],
    upcasters: codec.Upcasters | None = None,
) -> Iterator[Excerpt]:
    """The same, fetched at once, and decoded where they are looked at: another thread may do that."""
    cursor = _cursor(connection)
    cursor.execute(*_query(_EXCERPT_COLUMNS, after, until, types, limit=None))
    return (_excerpt(row, upcasters or {}) for row in _fetched(cursor))


def _rows(
    connection: Connection, columns: str, after: int, until: int | None, types: Collection[str] | None
) -> Iterator[tuple[Any, ...]]:
    query, parameters = _query(columns, after, until, types, limit=READ_BATCH)
    full = True
    while full:
        with _cursor(connection) as cursor:
            cursor.execute(query, parameters)
            full = cursor.rowcount == READ_BATCH
            for row in _fetched(cursor):
                yield row
                parameters["after"] = row[0]


def _query(
    columns: str, after: int, until: int | None, types: Collection[str] | None, *, limit: int | None
) -> tuple[str, dict[str, Any]]:
    conditions = ["position > %(after)s"]
    parameters: dict[str, Any] = {"after": after, "limit": limit}
    if until is not None:
        conditions.append("position <= %(until)s")
        parameters["until"] = until
    if types is not None:
        conditions.append("type = any(%(types)s)")
        parameters["types"] = sorted(types)
    query = f"select {columns} from ledger.event where {' and '.join(conditions)} order by position limit %(limit)s"
    return query, parameters


def _cursor(connection: Connection) -> psycopg.Cursor[Any]:
    """One that gives JSON as bytes, which need not be made text to be decoded."""
    cursor = _driver(connection).cursor(binary=True)
    cursor.adapters.register_loader("json", ByteaBinaryLoader)
    return cursor


def _fetched(cursor: psycopg.Cursor[Any]) -> Iterator[tuple[Any, ...]]:
    """The rows, some at a time: each by itself takes the driver three times as long, and all of them much memory."""
    while rows := cursor.fetchmany(_FETCHED_AT_ONCE):
        yield from rows


def read_stream(connection: Connection, stream: str, *, upcasters: codec.Upcasters | None = None) -> list[Event]:
    """All events of a stream, oldest first."""
    with _cursor(connection) as cursor:
        cursor.execute(f"{_SELECT} where stream = %(stream)s order by version", {"stream": stream})
        return [_event(row, upcasters or {}) for row in cursor.fetchall()]


def stream_version(connection: Connection, stream: str) -> int:
    """The newest version of a stream, 0 where it has no events."""
    return _versions(connection, {stream})[stream]


def read_positions(
    connection: Connection, positions: Collection[int], *, upcasters: codec.Upcasters | None = None
) -> dict[int, Event]:
    """The events at these positions, by position."""
    if not positions:
        return {}
    with _cursor(connection) as cursor:
        cursor.execute(f"{_SELECT} where position = any(%(positions)s)", {"positions": list(positions)})
        return {row[0]: _event(row, upcasters or {}) for row in cursor.fetchall()}


_COLUMNS = (
    "position, event_id, site, stream, version, type, schema_version, data, subject, sealed, recorded_at, run, hash"
)
_EXCERPT_COLUMNS = "position, site, stream, type, data, subject, recorded_at, schema_version"
_FETCHED_AT_ONCE = 100
_SELECT = f"select {_COLUMNS} from ledger.event"
_MOVE_HEAD = text("update ledger.head set position = :position, hash = :hash")


def _event(row: tuple[Any, ...], upcasters: codec.Upcasters) -> Event:
    data = codec.decode(row[7])
    schema_version = row[6]
    if (row[5], schema_version) in upcasters:
        schema_version, data = codec.upcast(row[5], schema_version, data, upcasters)
    subject, sealed, recorded_at, run, hash_ = row[8:]
    # The driver gives times in the zone that the server happens to be set to.
    recorded_at = recorded_at.astimezone(UTC)
    return Event._make((*row[:6], schema_version, data, subject, sealed, recorded_at, run, hash_))


_HEAD = text("select position, hash from ledger.head")
_LOCK_HEAD = text("select position, hash from ledger.head for update")


def _excerpt(row: tuple[Any, ...], upcasters: codec.Upcasters) -> Excerpt:
    position, site, stream, type_, stored, subject, recorded_at, schema_version = row
    data = codec.decode(stored)
    if upcasters and (type_, schema_version) in upcasters:
        _, data = codec.upcast(type_, schema_version, data, upcasters)
    return Excerpt(position, site, stream, type_, data, subject, recorded_at.astimezone(UTC))


# The streams come as JSON because of how PostgreSQL plans: of a list it expects other numbers when it looks
# than when it does not, and so plans this anew each time, which for one event takes as long as storing it.
_WANTED = "json_array_elements_text(cast(%(streams)s as json)) as wanted (stream)"
_NEWEST = """
    coalesce((select version from ledger.event
               where event.stream = wanted.stream
               order by version desc limit 1), 0)
"""
_VERSIONS = f"select wanted.stream, {_NEWEST} from {_WANTED}"
# `seen` is the head as it was when the statement began, `locked` as it is now that nobody else can move it. The
# limit tells PostgreSQL, which has never counted the rows of a new ledger, that there is one.
_LOCKED_AND_VERSIONS = f"""
    select locked.position, locked.hash, (select position from ledger.head) as seen, wanted.stream, {_NEWEST}
      from (select position, hash from ledger.head limit 1 for update) as locked, {_WANTED}
"""


def _locked(connection: Connection, streams: set[str]) -> tuple[Head, dict[str, int]]:
    """The end of the ledger, locked, and the newest version of each stream, 0 where it has no events yet.

    One statement sees what was committed before it began. Where others appended while it waited for
    the lock, the versions are asked for again.
    """
    with _driver(connection).cursor(binary=True) as cursor:
        rows = cursor.execute(_LOCKED_AND_VERSIONS, _as_parameter(streams)).fetchall()
    if not rows:
        raise _not_migrated()
    position, hash_, seen = rows[0][:3]
    versions = dict(row[3:] for row in rows) if position == seen else _versions(connection, streams)
    return Head(position, hash_), versions


def _not_migrated() -> NotMigrated:
    return NotMigrated("The ledger has no head row. Run `fiona-ledger migrate`.")


def _versions(connection: Connection, streams: set[str]) -> dict[str, int]:
    with _driver(connection).cursor() as cursor:
        return dict(cursor.execute(_VERSIONS, _as_parameter(streams)).fetchall())


def _as_parameter(streams: set[str]) -> dict[str, str]:
    return {"streams": orjson.dumps(list(streams)).decode()}


def _already_appended(
    connection: Connection, events: Sequence[NewEvent], moved: list[str], expected: Mapping[str, int]
) -> list[Event]:
    """The events that stand after the expected versions, if they are these very ones."""
    stored = _by_id(connection, [event.event_id for event in events])
    appended = [stored[event.event_id] for event in events if event.event_id in stored]
    # Without gaps: what one append wrote lies together, and whoever takes these events for the
    # ones just appended may go on from the last.
    if len(appended) == len(events) and _consecutive([event.position for event in appended]):
        versions = dict(expected)
        for event, wanted in zip(appended, events, strict=True):
            versions[wanted.stream] = versions.get(wanted.stream, event.version - 1) + 1
            if (event.stream, event.version) != (wanted.stream, versions[wanted.stream]):
                break
        else:
            return appended
    raise Conflict(
        f"Expected stream {moved[0]!r} at version {expected[moved[0]]}, but other events have been "
        "appended to it since it was read. Read it again and decide again."
    )


def _by_id(connection: Connection, event_ids: list[UUID]) -> dict[UUID, Event]:
    with _cursor(connection) as cursor:
        cursor.execute(f"{_SELECT} where event_id = any(%(ids)s)", {"ids": event_ids})
        return {row[1]: _event(row, {}) for row in cursor}


def _consecutive(positions: list[int]) -> bool:
    return positions == list(range(positions[0], positions[0] + len(positions)))


def _write(connection: Connection, count: int, chained: Iterator[_Appended]) -> list[Event]:
    """Stores so many events, and moves the head to the last of them."""
    try:
        if count == 1:
            return _insert(connection, *next(chained))
        appended = _copy(connection, chained)
    except pg_errors.UniqueViolation as exc:
        raise Conflict(
            f"An event that was to be appended stands in the ledger already ({exc.diag.constraint_name})."
        ) from exc
    connection.execute(_MOVE_HEAD, {"position": appended[-1].position, "hash": appended[-1].hash})
    return appended


# PostgreSQL's binary COPY format, written by hand: a third faster than handing Python values to
# the driver, which looks up a dumper per value. Columns of fixed size come first so that one
# struct packs them all; -1 is the length of NULL; times count from the year 2000.
_COPY_IN = """
    copy ledger.event (position, event_id, version, schema_version, recorded_at, run, hash,
                       subject, site, stream, type, data, sealed)
    from stdin (format binary)
"""
_COPY_HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_COPY_TRAILER = b"\xff\xff"
_FIXED = struct.Struct(">h iq i16s ii ih iq i16s i32s".replace(" ", ""))
_LENGTH = struct.Struct(">i")
_NULL = _LENGTH.pack(-1)
_SUBJECT_LENGTH = _LENGTH.pack(16)
_ROWS_A_WRITE = 100
_POSTGRES_EPOCH = chain.microseconds(datetime(2000, 1, 1, tzinfo=UTC))


def _binary_row(row: Stored) -> bytes:
    fixed = _FIXED.pack(
        13,
        8,
        row.position,
        16,
        row.event_id,
        4,
        row.version,
        2,
        row.schema_version,
        8,
        row.recorded_at - _POSTGRES_EPOCH,
        16,
        row.run,
        32,
        row.hash,
    )
    return b"".join(
        (
            fixed,
            _NULL if row.subject is None else _SUBJECT_LENGTH + row.subject,
            _LENGTH.pack(len(row.site)),
            row.site,
            _LENGTH.pack(len(row.stream)),
            row.stream,
            _LENGTH.pack(len(row.type)),
            row.type,
            _LENGTH.pack(len(row.data)),
            row.data,
            _NULL if row.sealed is None else _LENGTH.pack(len(row.sealed)) + row.sealed,
        )
    )


def _copy(connection: Connection, chained: Iterator[_Appended]) -> list[Event]:
    """Hands the rows over as they are made: the server stores some while the next are hashed."""
    appended: list[Event] = []
    with _driver(connection).cursor() as cursor, cursor.copy(_COPY_IN) as copy:
        copy.write(_COPY_HEADER)
        while block := _block(chained, appended):
            copy.write(block)
        copy.write(_COPY_TRAILER)
    return appended


def _block(chained: Iterator[_Appended], appended: list[Event]) -> bytes:
    """The next rows as COPY takes them; their events are added to `appended`.

    Of an event's JSON text only this copy is kept: the driver's own work is per write, but keeping
    what orjson returns takes it seven times as long (5 µs instead of 0.7), for it is cut down from 1 KiB.
    """
    rows = []
    for event, row in islice(chained, _ROWS_A_WRITE):
        appended.append(event)
        rows.append(_binary_row(row))
    return b"".join(rows)


# One event and the head in one statement: by COPY, which the server has to be asked for first, and with a
# statement of its own for the head, appending one took half as long again.
_INSERT_ONE = """
    with moved as (update ledger.head set position = %(position)s, hash = %(hash)s)
    insert into ledger.event (position, version, schema_version, recorded_at, event_id, run, subject, site, stream,
                              type, data, sealed, hash)
    values (%(position)s, %(version)s, %(schema_version)s, %(recorded_at)s, %(event_id)s, %(run)s, %(subject)s,
            %(site)s, %(stream)s, %(type)s, %(data)s::json, %(sealed)s, %(hash)s)
"""


def _insert(connection: Connection, event: Event, row: Stored) -> list[Event]:
    _driver(connection).execute(_INSERT_ONE, event._asdict() | {"data": row.data.decode()})
    return [event]


def _driver(connection: Connection) -> psycopg.Connection[Any]:
    driver: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
    return driver
