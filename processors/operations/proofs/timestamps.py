"""Time-stamps of an authority (RFC 3161): that a checkpoint was there at a moment, without believing our clock.

They take the package rfc3161-client, the extra `timestamps`. What is kept is the authority's answer as it was given,
which `openssl ts -verify` reads, too.
"""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from processors.redcap.answer import LimitedAdapter, Limits, body_of

if TYPE_CHECKING:
    from cryptography import x509
    from rfc3161_client import VerifierBuilder

_LONGEST_ANSWER = 1 << 20
_QUERY = {"Content-Type": "application/timestamp-query"}


class NoTimestamp(Exception):
    """None was had, or it does not hold; the message says why, as a predicate: "did not answer"."""


class Authority:
    """An authority by its address, and the certificates (PEM) that its time-stamps must come from."""

    def __init__(self, url: str, roots: Path, *, time_limit: float) -> None:
        self.url = url
        self._roots = roots
        self._time_limit = time_limit

    def stamp(self, content: bytes) -> bytes:
        """A time-stamp of the content, which was verified. Raises `NoTimestamp`."""
        _require_library()
        from rfc3161_client import HashAlgorithm, TimestampRequestBuilder, VerifierBuilder

        request = TimestampRequestBuilder().data(content).hash_algorithm(HashAlgorithm.SHA256).build()
        token = self._answer(request.as_bytes())
        self._verified(token, content, VerifierBuilder.from_request(request))
        return token

    def verify(self, token: bytes, content: bytes) -> datetime:
        """When the content was there, by the time-stamp; nobody is asked. Raises `NoTimestamp` where it is not its."""
        _require_library()
        from rfc3161_client import VerifierBuilder

        return self._verified(token, content, VerifierBuilder())

    def _verified(self, token: bytes, content: bytes, builder: "VerifierBuilder") -> datetime:
        from rfc3161_client import VerificationError, decode_timestamp_response

        for root in self._certificates():
            builder = builder.add_root_certificate(root)
        try:
            response = decode_timestamp_response(token)
            builder.build().verify_message(response, content)
        except (VerificationError, ValueError) as exc:
            raise NoTimestamp(f"gave something else than a time-stamp of it: {exc}") from exc
        return response.tst_info.gen_time

    def _certificates(self) -> "list[x509.Certificate]":
        from cryptography import x509

        try:
            return x509.load_pem_x509_certificates(self._roots.read_bytes())
        except OSError as exc:
            raise NoTimestamp(f"cannot be believed: {self._roots} cannot be read ({exc.strerror})") from exc
        except ValueError as exc:
            raise NoTimestamp(f"cannot be believed: expected certificates in {self._roots} (PEM)") from exc

    def _answer(self, query: bytes) -> bytes:
        limits = Limits(seconds=self._time_limit, body=_LONGEST_ANSWER)
        try:
            with requests.Session() as session:
                session.mount("http://", LimitedAdapter(limits))
                session.mount("https://", LimitedAdapter(limits))
                with session.post(
                    self.url, query, headers=_QUERY, timeout=self._time_limit, allow_redirects=False, stream=True
                ) as response:
                    if response.status_code != requests.codes.ok:
                        raise NoTimestamp(f"answered with HTTP {response.status_code}")
                    return body_of(response, limits)
        except OSError as exc:  # those of requests and urllib3 included, but for what a broken answer ends in
            raise NoTimestamp(f"did not answer ({type(exc).__name__})") from exc


def _require_library() -> None:
    try:
        import rfc3161_client  # noqa: F401 - only whether it is there
    except ImportError as exc:
        raise NoTimestamp(
            "cannot be asked without the package rfc3161-client: install 'fiona-ledger[timestamps]', or leave out "
            "proof.timestamp_url"
        ) from exc
