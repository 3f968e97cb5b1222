"""What a server can do to a run by the way it answers: not keep it, and not fill its memory."""

import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from processors.errors import Unanswered
from processors.redcap import Misdirected, NoRateLimit
from processors.redcap.answer import Limits, UnusableAnswer, unpacked
from processors.redcap.calls import Call, metadata
from processors.redcap.error_text import error_text
from processors.redcap.redaction import page
from processors.redcap.transport import Response, Transport, redirect_target
from tests.redcap.test_transport import ROWS, client_of, self_signed
from tests.redcap.web import Page, web

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
LIMITS = Limits(seconds=0.4, head=20_000, body=100_000)
Answer = Callable[[socket.socket], None]


def call() -> Call:
    return metadata("incoming", "0" * 32)


@contextmanager
def server_that(answer: Answer) -> Iterator[str]:
    """A server that takes one call whole and answers as it is told, until the other side has had enough."""

    def serve() -> None:
        with suppress(OSError), listening.accept()[0] as connection:
            connection.settimeout(5)
            connection.recv(65_536)
            answer(connection)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(5)
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/api/"
    thread.join()


def send(url: str, limits: Limits = LIMITS) -> Response:
    transport = Transport(url=url, rate_limit=NoRateLimit(), timeout_seconds=2, ca_bundle=None, limits=limits)
    try:
        return transport.send(call())
    finally:
        transport.close()


def drips(before: bytes, drop: bytes) -> Answer:
    def answer(connection: socket.socket) -> None:
        connection.sendall(before)
        while True:
            connection.sendall(drop)
            time.sleep(0.05)

    return answer


def floods(before: bytes, drop: bytes) -> Answer:
    def answer(connection: socket.socket) -> None:
        connection.sendall(before)
        while True:
            connection.sendall(drop * 100)

    return answer


SLOW = r"did not end within 0\.4 s"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        pytest.param(drips(b"", b"H"), SLOW, id="a status line, byte by byte"),
        pytest.param(drips(HEAD, b"X"), SLOW, id="a header, byte by byte"),
        pytest.param(drips(HEAD + b"Content-Length: 1000\r\n\r\n", b" "), SLOW, id="a body, byte by byte"),
        pytest.param(drips(HEAD + b"\r\n", b" "), SLOW, id="a body of no known length"),
        pytest.param(drips(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"), SLOW, id="chunks"),
        pytest.param(drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), SLOW, id="100 Continue, slowly"),
        pytest.param(floods(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "head is larger", id="100 Continue"),
        pytest.param(floods(HEAD, b"X: y\r\n"), "not HTTP", id="headers"),
        pytest.param(floods(HEAD, b"X" * 1000), "head is larger|not HTTP", id="one header"),
        pytest.param(floods(HEAD + b"\r\n", b" " * 1000), "body is larger than 100000 bytes", id="a body"),
        pytest.param(
            floods(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"), "body is larger", id="small chunks"
        ),
        pytest.param(
            floods(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"), "body is larger", id="trailers"
        ),
    ],
)
def test_an_answer_without_end_is_given_up(answer: Answer, told: str) -> None:
    started = time.monotonic()
    with server_that(answer) as url, pytest.raises(Unanswered, match=told):
        send(url)
    assert time.monotonic() - started < 2


def test_a_proxy_that_answers_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with server_that(drips(b"HTTP/1.1 200 OK\r\n", b"X")) as url:
        monkeypatch.setenv("HTTPS_PROXY", url)
        with pytest.raises(Unanswered):
            send("https://redcap.example/api/")


def test_silence_is_told_as_silence() -> None:
    with (
        server_that(lambda _connection: time.sleep(0.5)) as url,
        pytest.raises(Unanswered, match=r"no answer within 0\.1 s"),
    ):
        Transport(url=url, rate_limit=NoRateLimit(), timeout_seconds=0.1, ca_bundle=None).send(call())


# What is packed


def packed(body: bytes, coding: str = "gzip", status: int = 200, **headers: str) -> Page:
    return Page(body=body, status=status, headers={"Content-Encoding": coding, **headers})


def test_a_packed_answer_is_unpacked_on_a_connection_that_stays_open() -> None:
    with web(packed(gzip.compress(b"[]", mtime=0)), Page(body=b"[1]")) as server:
        transport = Transport(url=server.url, rate_limit=NoRateLimit(), timeout_seconds=2, ca_bundle=None)
        assert [transport.send(call()).body, transport.send(call()).body] == [b"[]", b"[1]"]
        transport.close()
    assert {seen.headers["Accept-Encoding"] for seen in server.seen} == {"gzip"}


@pytest.mark.parametrize("status", [200, 302, 500])
def test_little_that_unpacks_to_much_is_given_up(status: int) -> None:
    bomb = packed(gzip.compress(b" " * 50_000_000, mtime=0), status=status, Location="/api/")
    with web(bomb) as server, pytest.raises(Unanswered, match="unpacks to more than 100000 bytes"):
        send(server.url, Limits(seconds=5, body=100_000))


@pytest.mark.parametrize(
    ("body", "coding", "why"),
    [
        (gzip.compress(gzip.compress(b"[]", mtime=0), mtime=0), "gzip, gzip", "not asked for"),
        (b"[]", "br", "not asked for"),
        (b"[]", "gzip", "cannot be unpacked"),
        (gzip.compress(b"[]", mtime=0)[:-4], "gzip", "cannot be unpacked"),
        (gzip.compress(b"[]", mtime=0) * 2, "gzip", "cannot be unpacked"),
        (gzip.compress(b"12345", mtime=0), "gzip", "more than 4 bytes"),
    ],
)
def test_what_cannot_be_unpacked_is_no_answer(body: bytes, coding: str, why: str) -> None:
    with pytest.raises(UnusableAnswer, match=why):
        unpacked(body, coding, largest=4)


def test_exactly_as_much_as_is_allowed_is_taken() -> None:
    assert unpacked(gzip.compress(b"1234", mtime=0), "GZIP", largest=4) == b"1234"
    assert unpacked(b"12345", "identity", largest=4) == b"12345"


# What is in it


def test_errors_that_do_not_end_take_no_time() -> None:
    """2.8 MB of them used to take minutes."""
    started = time.monotonic()
    assert error_text(b"<hash>" + b"<error>" * 400_000) is None
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("begun", ["<!--", "<script ", "<style>", "<head>", "<title>", "<title ", "<", '"'])
def test_pages_that_do_not_end_take_no_time(begun: str) -> None:
    started = time.monotonic()
    page(begun * 100_000)
    assert time.monotonic() - started < 1


def test_a_self_signed_certificate_is_refused_and_not_tried_again(tmp_path: Path) -> None:
    _bundle, context = self_signed(tmp_path)
    with (
        web(ROWS, tls=context) as server,
        client_of(server) as client,
        pytest.raises(Misdirected, match=r"self.signed certificate.*redcap\.ca_bundle"),
    ):
        client.metadata("incoming")

    assert server.seen == []
    assert client.calls == 1


@pytest.mark.parametrize(
    ("url", "location", "why"),
    [
        ("https://redcap.example/api/", "http://redcap.example/api/", "unencrypted"),
        ("https://redcap.example/api/", "https://login.example/sso", "another server"),
        ("http://redcap.example/api/", "https://redcap.example.evil/api/", "another server"),
        ("https://redcap.example/api/", "https://redcap.example:8443/api/", "another port"),
        ("http://redcap.example/api/", "https://redcap.example:8443/api/", "another port"),
        ("http://redcap.example:8080/api/", "https://redcap.example/api/", "another port"),
        ("https://redcap.example/api/", "https://a:b@redcap.example/api/", "password"),
        ("https://redcap.example/api/", "ftp://redcap.example/api/", "not an http address"),
        ("https://redcap.example/api/", "javascript:alert(1)", "not an http address"),
        ("https://redcap.example/api/", "https://redcap.example:port/api/", "Port"),
        ("https://redcap.example/api/", "https://[/api/", "Invalid"),
    ],
)
def test_the_token_is_not_sent_elsewhere(url: str, location: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        redirect_target(url, location)
