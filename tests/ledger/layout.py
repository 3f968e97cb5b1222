"""The layout of an event's hash in words of its own: what the program's chain is held against."""

import hashlib
from datetime import UTC, datetime, timedelta
from uuid import UUID


def expected_hash(
    previous: bytes,
    *,
    position: int,
    event_id: UUID,
    site: str,
    stream: str,
    version: int,
    type: str,  # noqa: A002 - the column's name
    schema_version: int,
    data: str,
    subject: UUID | None,
    sealed: bytes | None,
    recorded_at: datetime,
    run: UUID,
) -> bytes:
    """The hash of an event after `previous`, from its columns as SQL gives them, `data` as text."""
    texts = [site.encode(), stream.encode(), type.encode(), data.encode()]
    parts = [
        previous,
        b"fiona-1\0",
        _number(position, 8),
        _number(version, 8),
        _number(schema_version, 2),
        _number((recorded_at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1), 8),
        event_id.bytes,
        run.bytes,
        b"\0" + bytes(16) if subject is None else b"\1" + subject.bytes,
        b"\0" if sealed is None else b"\1",
        *(_number(len(part), 4) for part in [*texts, sealed or b""]),
        *texts,
        sealed or b"",
    ]
    return hashlib.sha256(b"".join(parts)).digest()


def _number(value: int, size: int) -> bytes:
    return value.to_bytes(size, "big", signed=True)
