"""How a call travels: HTTP, connections that are kept open, proxies, certificates, redirects.

The call carries a token. So it goes over checked certificates only, and a redirect is followed to the
same server, or from http to https on the same host and the ports that are theirs, and nowhere else. What comes
back is listened to within limits (`answer`).
"""

import logging
import re
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http.client import HTTPException, IncompleteRead
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, quote, urlencode, urljoin, urlsplit

import requests
import urllib3.exceptions
from urllib3.filepost import encode_multipart_formdata

from processors.clocks import ClockComparison
from processors.errors import ConfigurationError, Unanswered

from .answer import LimitedAdapter, Limits, UnusableAnswer, body_of
from .calls import Call
from .errors import Misdirected
from .rate_limit import RateLimit
from .vocabulary import is_known

Waiting = Callable[[], AbstractContextManager[object]]
"""What is put around each wait for a response: a stopwatch, where somebody wants to know how long it takes."""

_log = logging.getLogger(__name__)

_LONGEST_CONNECT_SECONDS: Final = 10
_LONGEST_ANSWER: Final = 5
"""Times the longest silence within it."""
_OK: Final = 200
_TUNNEL: Final = re.compile(r"Tunnel connection failed: (\d{3})")
_PROXY_ADVICE: Final = (
    "Look at HTTPS_PROXY, HTTP_PROXY and ALL_PROXY of whoever starts this program (cron and systemd have settings of "
    "their own); where REDCap is reached without a proxy, name its host in NO_PROXY."
)
_CERTIFICATES_ADVICE: Final = "Look at REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE, or name redcap.ca_bundle."
_WHOSE: Final = "REDCap"
_FOLLOWED: Final = (301, 302, 307, 308)
_TOKEN: Final = re.compile(r"[0-9A-Fa-f]{32,}")


@dataclass(frozen=True, kw_only=True)
class Response:
    """What came back over HTTP. `url` was called; `location` is where a redirect points, else blank."""

    status: int
    body: bytes = field(repr=False)
    url: str
    location: str = ""

    @property
    def text(self) -> str:
        """The body as text, for messages; what is not UTF-8 is replaced."""
        return self.body.decode("utf-8", "replace")


class Transport:
    """Sends calls to one address, each when the rate limit lets it; `sent` counts them, `waiting` is around each."""

    def __init__(
        self,
        *,
        url: str,
        rate_limit: RateLimit,
        timeout_seconds: float,
        ca_bundle: Path | None,
        clocks: ClockComparison | None = None,
        limits: Limits | None = None,
        waiting: Waiting = nullcontext,
    ) -> None:
        if ca_bundle is not None:
            _require_certificates(ca_bundle)
        self.url = url
        self.sent = 0
        self._rate_limit = rate_limit
        self._clocks = clocks
        self._waiting = waiting
        self._timeout = (min(timeout_seconds, _LONGEST_CONNECT_SECONDS), timeout_seconds)
        self._ca_bundle = ca_bundle
        self._limits = limits or Limits(seconds=_LONGEST_ANSWER * timeout_seconds)
        self._adapter = LimitedAdapter(self._limits)
        self._addresses: dict[str, _Address] = {}

    @property
    def certificate_ends(self) -> datetime | None:
        """When the server's certificate runs out, once it has shown one."""
        return self._adapter.certificate_ends

    @property
    def behind(self) -> timedelta:
        """By how much the server's clock is behind ours, as far as it has told."""
        return timedelta(0) if self._clocks is None else self._clocks.newest.get(_WHOSE, timedelta(0))

    def close(self) -> None:
        """Closes the connections."""
        self._adapter.close()

    def send(self, call: Call) -> Response:
        """The response to the call, after one redirect at most, whose address is remembered.

        Raises `Unanswered` where there is none, `Misdirected` where the call must not be sent on, and `WrongClock`
        where the response tells quite another time than our clock.
        """
        response = self._post(call)
        if response.status not in _FOLLOWED or not response.location:
            return response
        shown = shown_address(response.url, response.location)
        try:
            self.url = redirect_target(response.url, response.location)
        except ValueError as exc:
            raise Misdirected(
                call.message(
                    f"a redirect to {shown}, which was not followed because {exc}",
                    "If REDCap's API is there, configure that address as redcap.url.",
                )
            ) from exc
        _log.warning("REDCap redirects to %s: configure that address as redcap.url.", shown)
        return self._post(call)

    def _post(self, call: Call) -> Response:
        """One HTTP request and its whole answer, when the rate limit lets it."""
        with self._waiting():
            return self._posted(call)

    def _posted(self, call: Call) -> Response:
        self._rate_limit.take()
        self.sent += 1
        try:
            address = self._address()
            with self._adapter.send(address.request(call), timeout=self._timeout, **address.settings) as response:
                body = body_of(response, self._limits)
        # Errors of requests are OSErrors, and it lets some of the system's through; the body is read from urllib3.
        except (OSError, urllib3.exceptions.HTTPError) as exc:
            raise _unanswered(call, exc, self._timeout[1]) from exc
        if response.status_code == _OK:
            self._hear(response.headers.get("Date", ""))
        return Response(
            status=response.status_code,
            body=body,
            url=self.url,
            location=response.headers.get("Location", ""),
        )

    def _address(self) -> "_Address":
        """What is prepared once for an address: looking up the environment took a tenth of each call."""
        if self.url not in self._addresses:
            self._addresses[self.url] = _Address(self.url, self._ca_bundle)
        return self._addresses[self.url]

    def _hear(self, date: str) -> None:
        """Compares our clock with what the response tells of the server's. Raises `WrongClock`."""
        if self._clocks is None:
            return
        try:
            theirs = parsedate_to_datetime(date)
        except ValueError:
            return
        self._clocks.hear(_WHOSE, theirs if theirs.tzinfo is not None else theirs.replace(tzinfo=UTC))


def redirect_target(url: str, location: str) -> str:
    """The address to post to again. Raises `ValueError`, saying why, where the token must not go there.

    Never from https to http, where anybody on the way could read it, and never to another host: a login
    page elsewhere is not REDCap.
    """
    old, new = urlsplit(url), urlsplit(urljoin(url, location))
    if new.scheme not in ("http", "https") or not new.hostname:
        raise ValueError("it is not an http address")
    if new.username or new.password:
        raise ValueError("it holds a password")
    if old.scheme == "https" and new.scheme == "http":
        raise ValueError("the token would travel unencrypted")
    if old.hostname != new.hostname:
        raise ValueError("the token would go to another server")
    if _port(old) != _port(new) and not (_is_usual(old) and _is_usual(new)):
        raise ValueError("the token would go to another port")
    return new.geturl()


def shown_address(url: str, location: str) -> str:
    """The address that a redirect names, without anything in it that could be confidential.

    A token may stand in a path as well: of it, what our own address has is shown, and words that are known.
    """
    try:
        new = urlsplit(urljoin(url, location))
        port = f":{new.port}" if new.port else ""
    except ValueError:
        return "what is no address"
    ours = {part for part in urlsplit(url).path.split("/") if not _TOKEN.fullmatch(part)}
    path = "/".join(part if part in ours or is_known(part) else "…" for part in new.path.split("/"))
    return f"{new.scheme}://{quote(new.hostname or '')}{port}{path}"


_PORTS: Final = {"http": 80, "https": 443}


def _port(address: SplitResult) -> int:
    return address.port or _PORTS[address.scheme]


def _is_usual(address: SplitResult) -> bool:
    return _port(address) == _PORTS[address.scheme]


class _Address:
    """How calls go to one address, with the environment's proxies and CA bundles, and no credentials but the token.

    Hospitals set HTTPS_PROXY, NO_PROXY and REQUESTS_CA_BUNDLE for all programs of a machine, and without them nothing
    is reached. Calls are not sent by a session of requests': it would add what .netrc says, and cookies, which tie
    calls of different tokens to one session of REDCap's; turn a redirected POST into a GET, and unpack a redirect's
    body whole. And it prepares each call anew, which took as long as sending it.
    """

    def __init__(self, url: str, ca_bundle: Path | None) -> None:
        self._prepared = requests.Request("POST", url, headers=_HEADERS, auth=_no_credentials).prepare()
        with requests.Session() as session:
            # Given with the call: REQUESTS_CA_BUNDLE would override a session's own setting.
            verify = True if ca_bundle is None else str(ca_bundle)
            self.settings: Mapping[str, Any] = session.merge_environment_settings(
                url, proxies={}, stream=True, verify=verify, cert=None
            )

    def request(self, call: Call) -> requests.PreparedRequest:
        """The call as an HTTP request: rows as they are, in parts of a form; all else as usual.

        REDCap takes either. Percent-encoded, 500 rows are a third larger, and take 9 ms to encode instead of 0.6.
        """
        form = {"token": call.token, **call.form}
        request = self._prepared.copy()
        if call.is_import:
            request.body, content_type = encode_multipart_formdata(form)
        else:
            request.body, content_type = urlencode(form).encode(), "application/x-www-form-urlencoded"
        request.headers["Content-Type"], request.headers["Content-Length"] = content_type, str(len(request.body))
        return request


_HEADERS: Final = {"User-Agent": "fiona-ledger", "Accept": "application/json", "Accept-Encoding": "gzip"}


def _no_credentials(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Nor those that stand in an address, which requests would send."""
    return request


def _require_certificates(ca_bundle: Path) -> None:
    """Raises `ConfigurationError` where the file holds no certificates that can be read."""
    expected = f"redcap.ca_bundle: expected a file of certificates (PEM), {ca_bundle}"
    if not ca_bundle.is_file():
        raise ConfigurationError(f"{expected} is none.")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(ca_bundle)
    except ssl.SSLError as exc:
        raise ConfigurationError(f"{expected} holds none ({(exc.reason or 'unknown').lower()}).") from exc
    except OSError as exc:
        raise ConfigurationError(f"{expected} cannot be read: {exc.strerror}.") from exc


def _unanswered(call: Call, exc: Exception, timeout_seconds: float) -> Unanswered:
    in_environment = _environment_problem(list(_causes(exc)))
    if in_environment:
        return Misdirected(call.message(*in_environment))
    refused = _certificate_problem(exc)
    if not refused:
        return Unanswered(call.message(_connection_problem(exc, timeout_seconds), call.outcome))
    return Misdirected(
        call.message(
            f"a certificate that is not accepted ({refused})",
            "Certificates are always checked: name the hospital's certificate authority as redcap.ca_bundle, "
            "or have the server's certificate mended.",
        )
    )


def proxy_refusal(status: int) -> tuple[str, str]:
    """What a proxy's refusal means, and what to do about it."""
    wants = ": it wants a password" * (status == 407)
    return f"a proxy that does not let the call through (HTTP {status}{wants})", _PROXY_ADVICE


def _environment_problem(causes: Sequence[BaseException]) -> tuple[str, str] | None:
    """What stands in the way that the environment names, and what to do about it: it is no fault of REDCap's."""
    if any(isinstance(cause, requests.exceptions.InvalidSchema) and "SOCKS" in str(cause) for cause in causes):
        return "a SOCKS proxy in the environment, which this program cannot use", _PROXY_ADVICE
    # Where the package PySocks is installed, it is used; then urllib3 tells of it by the name of the connection alone.
    if any(isinstance(cause, urllib3.exceptions.NewConnectionError) and "SOCKS" in str(cause) for cause in causes):
        return "a SOCKS proxy in the environment through which REDCap is not reached", _PROXY_ADVICE
    if any(isinstance(cause, requests.exceptions.InvalidProxyURL) for cause in causes):
        return "the address of a proxy in the environment, which is none", _PROXY_ADVICE
    refused = next((match[1] for cause in causes if (match := _TUNNEL.search(str(cause)))), None)
    if refused is not None:
        return proxy_refusal(int(refused))
    if any(isinstance(cause, ssl.SSLError) and cause.reason == "NO_CERTIFICATE_OR_CRL_FOUND" for cause in causes):
        return "a file of certificates in the environment that holds none", _CERTIFICATES_ADVICE
    if not any(isinstance(cause, requests.exceptions.ProxyError) for cause in causes):
        return None
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return "a proxy in the environment whose name is not known here", _PROXY_ADVICE
    return "a proxy in the environment that is not reached", _PROXY_ADVICE


def _certificate_problem(exc: BaseException) -> str:
    """Why the server's certificate was not accepted; blank where that is not what happened."""
    refused = next((c for c in _causes(exc) if isinstance(c, ssl.SSLCertVerificationError)), None)
    return refused.verify_message if refused is not None else ""


def _connection_problem(exc: Exception, timeout_seconds: float) -> str:
    """What happened to the connection, in our own words: those of the libraries may hold addresses with passwords."""
    causes = list(_causes(exc))
    unusable = next((cause for cause in causes if isinstance(cause, UnusableAnswer)), None)
    if unusable is not None:
        return str(unusable)
    if any(isinstance(cause, TimeoutError) for cause in causes):
        return f"no answer within {timeout_seconds:g} s"
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return "that the server's name is not known here; check redcap.url and the name service"
    cut = next(
        (c for c in causes if isinstance(c, ConnectionResetError | ConnectionAbortedError | BrokenPipeError)), None
    )
    if cut is not None:
        return f"a connection that was cut off ({cut.strerror or 'no reason given'})"
    if any(isinstance(c, HTTPException) and not isinstance(c, IncompleteRead) for c in causes):
        return "an answer that is not HTTP"
    strerror = next((c.strerror for c in causes if isinstance(c, OSError) and c.strerror), None)
    if strerror is not None:
        return f"no connection ({strerror}); check redcap.url and the environment's proxy settings"
    if type(exc) is OSError:  # how requests says that REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names no file
        return "that the file of certificates named in the environment cannot be read"
    return "a connection that was cut off"


def _causes(exc: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = exc
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
