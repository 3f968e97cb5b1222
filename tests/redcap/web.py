"""A web server with prepared answers, for what the simulator does not do: redirects, odd bodies, TLS."""

import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer


@dataclass(kw_only=True)
class Page:
    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Seen:
    method: str
    path: str
    headers: dict[str, str]
    body: str


class Web(HTTPServer):
    """Answers by path: each call takes the next page of its path, the last one for good."""

    def __init__(self, pages: dict[str, Sequence[Page]], tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pages = {path: list(listed) for path, listed in pages.items()}
        self.seen: list[Seen] = []
        self.scheme = "https" if tls else "http"
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)

    @property
    def url(self) -> str:
        return f"{self.scheme}://localhost:{self.server_address[1]}/api/"

    def next_page(self, path: str) -> Page:
        listed = self.pages[path]
        return listed.pop(0) if len(listed) > 1 else listed[0]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that does not accept the certificate ends the connection: nothing to report."""


class _Handler(BaseHTTPRequestHandler):
    server: Web

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self._answer(body)

    def do_GET(self) -> None:
        self._answer("")

    def _answer(self, body: str) -> None:
        self.server.seen.append(Seen(method=self.command, path=self.path, headers=dict(self.headers), body=body))
        page = self.server.next_page(self.path)
        self.send_response(page.status)
        for name, value in page.headers.items():
            self.send_header(name, value)
        if "Content-Length" not in page.headers:
            self.send_header("Content-Length", str(len(page.body)))
        self.end_headers()
        self.wfile.write(page.body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its name in the library
        """Quiet."""


@contextmanager
def web(*answers: Page, tls: ssl.SSLContext | None = None, **elsewhere: Page) -> Iterator[Web]:
    """The answers of /api/ in order; by keyword, the answer of another path."""
    pages: dict[str, Sequence[Page]] = {"/api/": answers}
    pages |= {f"/{name}/": [page] for name, page in elsewhere.items()}
    server = Web(pages, tls)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
