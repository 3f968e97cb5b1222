"""Appending events in one order, and reading them back.

Order is kept by the row `ledger.head`: whoever appends locks it first, so positions have no gaps
and appear in commit order, and a reader that remembers one number misses nothing. A bare sequence
does not do: with several writers its numbers become visible out of order, and a tailing reader
skips some for ever.
"""

import struct
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from psycopg import errors as pg_errors
from sqlalchemy import Connection, text

from ledger import chain, codec
from ledger.errors import Conflict, NotMigrated
from ledger.events import Event, NewEvent

Clock = Callable[[], datetime]

READ_BATCH = 5_000


class Head(NamedTuple):
    """The last event's position (0: none yet) and hash."""

    position: int
    hash: bytes


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
        head = lock_head(connection)
        versions = _versions(connection, {event.stream for event in events} | set(expected or ()))
        moved = [stream for stream, version in (expected or {}).items() if versions[stream] != version]
        if moved:
            return _already_appended(connection, events, moved, expected or {})
        stored, rows = self._chained(events, head, versions)
        _copy(connection, rows)
        connection.execute(_MOVE_HEAD, {"position": stored[-1].position, "hash": stored[-1].hash})
        return stored

    def _chained(
        self, events: Sequence[NewEvent], head: Head, versions: dict[str, int]
    ) -> tuple[list[Event], list[bytes]]:
        recorded_at = self.clock().astimezone(UTC)
        frame = _Frame.of(self.site, self.run, recorded_at)
        position, previous = head
        stored, rows = [], []
        for event in events:
            position += 1
            version = versions[event.stream] = versions[event.stream] + 1
            data = codec.encode(event.data)
            previous = chain.link(
                previous,
                position=position,
                event_id=event.event_id,
                site=self.site,
                stream=event.stream,
                version=version,
                type=event.type,
                schema_version=event.schema_version,
                data=data,
                subject=event.subject,
                sealed=event.sealed,
                recorded_at=recorded_at,
                run=self.run,
            )
            row = Event(
                position,
                event.event_id,
                self.site,
                event.stream,
                version,
                event.type,
                event.schema_version,
                codec.decode(data),
                event.subject,
                event.sealed,
                recorded_at,
                self.run,
                previous,
            )
            stored.append(row)
            rows.append(_binary_row(row, data, frame))
        return stored, rows


def head(connection: Connection) -> Head:
    """Where the ledger ends now."""
    row = connection.execute(text("select position, hash from ledger.head")).one()
    return Head(row.position, bytes(row.hash))


def lock_head(connection: Connection) -> Head:
    """Where the ledger ends; others wait with appending until this transaction ends."""
    row = connection.execute(text("select position, hash from ledger.head for update")).one_or_none()
    if row is None:
        raise NotMigrated("The ledger has no head row. Run `fiona-ledger migrate`.")
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
    conditions = ["position > %(after)s"]
    parameters: dict[str, Any] = {"after": after, "limit": READ_BATCH}
    if until is not None:
        conditions.append("position <= %(until)s")
        parameters["until"] = until
    if types is not None:
        conditions.append("type = any(%(types)s)")
        parameters["types"] = sorted(types)
    query = f"{_SELECT} where {' and '.join(conditions)} order by position limit %(limit)s"
    driver, full = _driver(connection), True
    while full:
        with driver.cursor(binary=True) as cursor:
            cursor.execute(query, parameters)
            full = cursor.rowcount == READ_BATCH
            for row in cursor:
                yield _event(row, upcasters or {})
                parameters["after"] = row[0]


def read_stream(connection: Connection, stream: str, *, upcasters: codec.Upcasters | None = None) -> list[Event]:
    """All events of a stream, oldest first."""
    with _driver(connection).cursor(binary=True) as cursor:
        cursor.execute(f"{_SELECT} where stream = %(stream)s order by version", {"stream": stream})
        return [_event(row, upcasters or {}) for row in cursor.fetchall()]


def stream_version(connection: Connection, stream: str) -> int:
    """The newest version of a stream, 0 where it has no events."""
    return _versions(connection, {stream})[stream]


def read_positions(
    connection: Connection, positions: Collection[int], *, upcasters: codec.Upcasters | None = None
) -> dict[int, Event]:
    """The events at these positions, by position."""
    with _driver(connection).cursor(binary=True) as cursor:
        cursor.execute(f"{_SELECT} where position = any(%(positions)s)", {"positions": list(positions)})
        return {row[0]: _event(row, upcasters or {}) for row in cursor.fetchall()}


_COLUMNS = (
    "position, event_id, site, stream, version, type, schema_version, "
    "data::text, subject, sealed, recorded_at, run, hash"
)
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


def _versions(connection: Connection, streams: set[str]) -> dict[str, int]:
    """The newest version of each stream, 0 where it has no events yet."""
    rows = connection.execute(
        text("""
            select wanted.stream, newest.version
              from unnest(cast(:streams as text[])) as wanted (stream)
              left join lateral (
                   select version from ledger.event
                    where event.stream = wanted.stream
                    order by version desc limit 1) as newest on true
        """),
        {"streams": list(streams)},
    )
    return {row.stream: row.version or 0 for row in rows}


def _already_appended(
    connection: Connection, events: Sequence[NewEvent], moved: list[str], expected: Mapping[str, int]
) -> list[Event]:
    """The events that stand after the expected versions, if they are these very ones."""
    stored = _by_id(connection, [event.event_id for event in events])
    found = [stored[event.event_id] for event in events if event.event_id in stored]
    # Without gaps: what one append wrote lies together, and whoever takes these events for the
    # ones just appended may go on from the last.
    if len(found) == len(events) and _consecutive([event.position for event in found]):
        versions = dict(expected)
        for event, wanted in zip(found, events, strict=True):
            versions[wanted.stream] = versions.get(wanted.stream, event.version - 1) + 1
            if (event.stream, event.version) != (wanted.stream, versions[wanted.stream]):
                break
        else:
            return found
    raise Conflict(
        f"Expected stream {moved[0]!r} at version {expected[moved[0]]}, but other events have been "
        "appended to it since it was read. Read it again and decide again."
    )


def _by_id(connection: Connection, event_ids: list[UUID]) -> dict[UUID, Event]:
    with _driver(connection).cursor(binary=True) as cursor:
        cursor.execute(f"{_SELECT} where event_id = any(%(ids)s)", {"ids": event_ids})
        return {row[1]: _event(row, {}) for row in cursor}


def _consecutive(positions: list[int]) -> bool:
    return positions == list(range(positions[0], positions[0] + len(positions)))


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
_ROWS_A_WRITE = 500
_POSTGRES_EPOCH = chain.microseconds(datetime(2000, 1, 1, tzinfo=UTC))


class _Frame(NamedTuple):
    """What is the same in every row of an append, encoded once."""

    recorded_at: int
    run: bytes
    site: bytes

    @classmethod
    def of(cls, site: str, run: UUID, recorded_at: datetime) -> "_Frame":
        return cls(chain.microseconds(recorded_at) - _POSTGRES_EPOCH, run.bytes, _field(site.encode()))


def _binary_row(event: Event, data: bytes, frame: _Frame) -> bytes:
    fixed = _FIXED.pack(
        13,
        8,
        event.position,
        16,
        event.event_id.bytes,
        4,
        event.version,
        2,
        event.schema_version,
        8,
        frame.recorded_at,
        16,
        frame.run,
        32,
        event.hash,
    )
    return b"".join(
        (
            fixed,
            _NULL if event.subject is None else _field(event.subject.bytes),
            frame.site,
            _field(event.stream.encode()),
            _field(event.type.encode()),
            _field(data),
            _NULL if event.sealed is None else _field(event.sealed),
        )
    )


def _field(value: bytes) -> bytes:
    return _LENGTH.pack(len(value)) + value


def _copy(connection: Connection, rows: Sequence[bytes]) -> None:
    try:
        with _driver(connection).cursor() as cursor, cursor.copy(_COPY_IN) as copy:
            copy.write(_COPY_HEADER)
            for start in range(0, len(rows), _ROWS_A_WRITE):  # the driver's work is per write
                copy.write(b"".join(rows[start : start + _ROWS_A_WRITE]))
            copy.write(_COPY_TRAILER)
    except pg_errors.UniqueViolation as exc:
        raise Conflict(
            f"An event that was to be appended stands in the ledger already ({exc.diag.constraint_name})."
        ) from exc


def _driver(connection: Connection) -> psycopg.Connection[Any]:
    driver: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
    return driver
