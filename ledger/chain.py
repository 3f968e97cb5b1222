"""The hash chain that shows tampering; needs nothing but the standard library.

    hash(n) = SHA-256( hash(n-1) + canonical(n) ),   hash(0) = 32 zero bytes

`canonical` covers every column of the event, the sealed bytes included: destroying a subject's
key therefore leaves the chain whole. All numbers are big-endian; a time is counted in microseconds
since 1970-01-01 UTC. The layout is fixed for ever: changing it would orphan every hash ever kept
outside the ledger.
"""

import hashlib
import struct
from datetime import UTC, datetime, timedelta
from uuid import UUID

GENESIS = bytes(32)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_HEADER = struct.Struct(
    ">8s"  # the layout's name
    "qqHq"  # position, version, schema version, recorded at
    "16s16s"  # event id, run
    "?16s?"  # has a subject, the subject or zeros, has a sealed part
    "IIIII"  # lengths in bytes of site, stream, type, data, sealed
)
_LAYOUT = b"fiona-1\x00"
_NOBODY = bytes(16)


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970-01-01 UTC, exactly."""
    return (moment - _EPOCH) // _MICROSECOND


def link(
    previous: bytes,
    *,
    position: int,
    event_id: UUID,
    site: str,
    stream: str,
    version: int,
    type: str,  # noqa: A002 - the column's name
    schema_version: int,
    data: bytes,
    subject: UUID | None,
    sealed: bytes | None,
    recorded_at: datetime,
    run: UUID,
) -> bytes:
    """The hash (32 bytes) of an event that follows the one whose hash is `previous`.

    `data` is the JSON text exactly as stored, in UTF-8.
    """
    site_bytes, stream_bytes, type_bytes = site.encode(), stream.encode(), type.encode()
    sealed_bytes = sealed or b""
    header = _HEADER.pack(
        _LAYOUT,
        position,
        version,
        schema_version,
        microseconds(recorded_at),
        event_id.bytes,
        run.bytes,
        subject is not None,
        subject.bytes if subject is not None else _NOBODY,
        sealed is not None,
        len(site_bytes),
        len(stream_bytes),
        len(type_bytes),
        len(data),
        len(sealed_bytes),
    )
    return hashlib.sha256(
        b"".join((previous, header, site_bytes, stream_bytes, type_bytes, data, sealed_bytes))
    ).digest()
