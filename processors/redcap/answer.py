"""How much of an answer is listened to: its head, its body as it travels and unpacked, and for how long.

Without limits, a server that is broken, or whatever stands in its place, holds a run up for ever with a byte now and
then or with headers without end, and fills the memory with a few megabytes that unpack to gigabytes.
"""

import io
import ssl
import time
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPResponse
from socket import socket
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter

_GZIP: Final = 16 + zlib.MAX_WBITS
_READ_AT_ONCE: Final = 65_536
_MIB: Final = 2**20


class UnusableAnswer(OSError):
    """The answer goes beyond its limits, or cannot be unpacked; the text says what there was instead of an answer."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What an answer may take: seconds from the end of the call to the end of the answer, bytes of head and body.

    The body may have as many bytes as it travels, and again as many unpacked.
    """

    seconds: float
    head: int = _MIB
    body: int = 256 * _MIB


class LimitedAdapter(HTTPAdapter):
    """Calls whose answers are cut off at the limits. A proxy's word before them has its own, as large.

    `certificate_ends` is when the certificate runs out of whoever answered last over an encrypted connection.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.certificate_ends: datetime | None = None
        super().__init__()

    def get_connection_with_tls_context(self, *given: Any, **named: Any) -> Any:
        """The pool of connections that `requests` asks for; those that it makes listen within the limits."""
        pool: Any = super().get_connection_with_tls_context(*given, **named)
        connection: Any = type(pool).ConnectionCls

        def answered(sock: socket, *given: Any, **named: Any) -> HTTPResponse:
            self.certificate_ends = _certificate_ends(sock) or self.certificate_ends
            return _LimitedResponse(sock, *given, limits=self._limits, **named)

        def connect(**options: Any) -> Any:
            made = connection(**options)
            made.response_class = answered
            return made

        pool.ConnectionCls = connect
        return pool


def _certificate_ends(sock: socket) -> datetime | None:
    """When the certificate at the other end runs out; None where there is none."""
    shown = sock.getpeercert() if isinstance(sock, ssl.SSLSocket) else None
    ends = shown.get("notAfter") if shown else None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(ends), UTC) if isinstance(ends, str) else None


def body_of(response: requests.Response, limits: Limits) -> bytes:
    """The body, read to its end and unpacked. Raises `UnusableAnswer`, and whatever the connection ends with."""
    body = bytearray()
    for part in response.raw.stream(_READ_AT_ONCE, decode_content=False):
        body += part
    return unpacked(bytes(body), response.headers.get("Content-Encoding", ""), limits.body)


def unpacked(body: bytes, coding: str, largest: int) -> bytes:
    """The body as it was before the server packed it. Raises `UnusableAnswer` where it is none, or larger."""
    if not body or coding.strip().lower() in ("", "identity"):
        return body
    if coding.strip().lower() not in ("gzip", "x-gzip"):
        raise UnusableAnswer("an answer that is packed in a way that was not asked for")
    unpacker = zlib.decompressobj(wbits=_GZIP)
    try:
        whole = unpacker.decompress(body, largest + 1)
    except zlib.error as exc:
        raise UnusableAnswer("an answer that cannot be unpacked") from exc
    if len(whole) > largest:
        raise UnusableAnswer(f"an answer that unpacks to more than {_size(largest)}")
    if not unpacker.eof or unpacker.unused_data:
        raise UnusableAnswer("an answer that cannot be unpacked")
    return whole


class _LimitedResponse(HTTPResponse):
    """An answer that is read within limits, from its first byte on: `100 Continue` counts as part of the head."""

    def __init__(self, sock: socket, *given: Any, limits: Limits, **named: Any) -> None:
        super().__init__(sock, *given, **named)
        self._limits = limits
        self._stream = _LimitedStream(self.fp.detach(), sock, limits)
        self.fp = io.BufferedReader(self._stream)

    def begin(self) -> None:
        """Reads the head."""
        super().begin()
        self._stream.allow("body", self._limits.body)


class _LimitedStream(io.RawIOBase):
    """What comes over a socket, until the time is up or too much has come."""

    def __init__(self, stream: io.RawIOBase, sock: socket, limits: Limits) -> None:
        self._bytes = stream
        self._sock = sock
        self._seconds = limits.seconds
        self._silence = min(sock.gettimeout() or limits.seconds, limits.seconds)
        self._end = time.monotonic() + limits.seconds
        self.allow("head", limits.head)

    def allow(self, part: str, size: int) -> None:
        """From now on, so many bytes may come: what was read ahead of them is not counted."""
        self._part, self._size, self._left = part, size, size

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """As many bytes as have come, waiting for the first one. Raises `UnusableAnswer` beyond the limits."""
        rest = self._end - time.monotonic()
        self._sock.settimeout(max(min(self._silence, rest), 0.001))
        try:
            count = self._bytes.readinto(buffer) or 0 if rest > 0 else None
        except TimeoutError:
            if rest > self._silence:
                raise
            count = None
        if count is None:
            raise UnusableAnswer(f"an answer that did not end within {self._seconds:g} s")
        self._left -= count
        if self._left < 0:
            raise UnusableAnswer(f"an answer whose {self._part} is larger than {_size(self._size)}")
        return count

    def close(self) -> None:
        """Lets go of the socket."""
        self._bytes.close()
        super().close()


def _size(count: int) -> str:
    return f"{count // _MIB} MiB" if count >= _MIB else f"{count} bytes"
