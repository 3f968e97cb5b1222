"""The HTTP server: HTTP/1.1 with connections kept open, one thread a connection, quiet."""

from __future__ import annotations

import socket
import struct
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson

from .faults import Fault, read_fault
from .replies import XML_HEAD, Reply, reply

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from .calls import Call

_API: Final = "/api/"
_LAST_ANSWERS: Final = 10.0
_NOT_IMPLEMENTED: Final = f"{XML_HEAD}<hash><error>The requested method is not implemented.</error></hash>"
_NOT_FOUND: Final = "<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>\n"


class Backend(Protocol):
    """What the server needs to know of the simulator."""

    calls: list[Call]

    def now(self) -> datetime:
        """What its clock says."""

    def handle(self, address: str, body: bytes, content_type: str) -> Reply:
        """Answer one call of the API."""

    def inject(self, fault: Fault) -> None:
        """Switch one fault on."""

    def clear_faults(self) -> None:
        """Switch all faults off."""

    def faults_as_json(self) -> list[dict[str, object]]:
        """The faults that are on."""


class Server(ThreadingHTTPServer):
    """Listens on an address and passes calls on to the simulator."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], backend: Backend) -> None:
        self.backend = backend
        self._connections: set[socket.socket] = set()
        self._guard = threading.Condition()
        super().__init__(address, _Handler)
        serving = {"poll_interval": 0.02}
        self._thread = threading.Thread(target=self.serve_forever, kwargs=serving, name="simulator", daemon=True)

    @property
    def port(self) -> int:
        """The port on which the server listens."""
        return int(self.server_address[1])

    def start(self) -> None:
        """Answer in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening, end the connections that clients keep open, and wait for the last answers."""
        self.shutdown()
        self._thread.join()
        with self._guard:
            for connection in self._connections:
                _end(connection)
            self._guard.wait_for(lambda: not self._connections, timeout=_LAST_ANSWERS)
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection, so that `stop` need not wait for a client to close it."""
        with self._guard:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close and forget a connection."""
        super().shutdown_request(request)
        with self._guard:
            self._connections.discard(request)
            self._guard.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Be silent about clients that went away; anything else is a defect and is shown."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


def _end(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the client was faster


class _Handler(BaseHTTPRequestHandler):
    """Reads requests off one connection and writes each answer in one piece."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "Apache"
    sys_version = ""
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = self._body()
        if self.path.startswith("/admin/"):
            self._send(self._administer(body))
        elif self.path.rstrip("/") == _API.rstrip("/"):
            content_type = self.headers.get("Content-Type", "")
            self._send(self.server.backend.handle(self.client_address[0], body, content_type))
        else:
            self._send(reply(_NOT_FOUND, "html", 404))

    def do_GET(self) -> None:
        if self.path.startswith("/admin/"):
            self._send(self._administer(b""))
        elif self.path.rstrip("/") == _API.rstrip("/"):
            self._send(reply(_NOT_IMPLEMENTED, "xml", 501))
        else:
            self._send(reply(_NOT_FOUND, "html", 404))

    def do_DELETE(self) -> None:
        self._body()
        if self.path != "/admin/faults":
            self._send(reply(_NOT_FOUND, "html", 404))
            return
        self.server.backend.clear_faults()
        self._send(reply("[]", "json"))

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string(self.server.backend.now().timestamp() if timestamp is None else timestamp)

    def log_message(self, *_args: object) -> None:
        """Stay quiet: the simulator keeps a list of its calls."""

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _administer(self, body: bytes) -> Reply:
        """The admin paths: faults are listed, added (one or a list) and cleared; calls are listed."""
        backend = self.server.backend
        if self.path == "/admin/calls" and self.command == "GET":
            return reply(orjson.dumps([call.as_json() for call in backend.calls]), "json")
        if self.path != "/admin/faults":
            return reply(_NOT_FOUND, "html", 404)
        try:
            for fault in _read_faults(body):
                backend.inject(fault)
        except (TypeError, ValueError) as problem:
            return reply(orjson.dumps({"error": str(problem)}), "json", 400)
        return reply(orjson.dumps(backend.faults_as_json()), "json")

    def _send(self, answer: Reply) -> None:
        if answer.is_reset:
            self._reset()
            return
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def _reset(self) -> None:
        """Break the connection off as a crashed server does: with a reset, not with an orderly end."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        socket.close(self.connection.detach())


def _read_faults(body: bytes) -> Sequence[Fault]:
    if not body:
        return ()
    described = orjson.loads(body)
    return [read_fault(each) for each in (described if isinstance(described, list) else [described])]
