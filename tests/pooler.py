"""A stand-in for a transaction pooler: each transaction gets the server connection that has waited longest."""

import socket
import socketserver
import struct
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector

PORT = 6432
_NOBODYS = 2**31 - 1


@contextmanager
def standing_before(server_socket: Path, folder: Path) -> Iterator[None]:
    """Meanwhile `folder` has the socket of a pooler before the server with that socket, at port 6432."""
    with _Pooler(server_socket, folder / f".s.PGSQL.{PORT}") as pooler:
        thread = threading.Thread(target=pooler.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield
        finally:
            pooler.shutdown()
            thread.join()


def url_of(folder: Path | str, name: str) -> str:
    """The address of a database through a pooler, this one or PgBouncer."""
    return f"postgresql://postgres@/{name}?host={folder}&port={PORT}"


class _Pooler(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, server_socket: Path, own: Path) -> None:
        super().__init__(str(own), _Client)
        self.server_socket = server_socket
        self.idle: dict[bytes, deque[socket.socket]] = {}

    def server_close(self) -> None:
        super().server_close()
        for connections in self.idle.values():
            for connection in connections:
                connection.close()


class _Client(socketserver.BaseRequestHandler):
    """One program: its first message opens a server connection, which then is anybody's."""

    server: _Pooler
    request: socket.socket

    def handle(self) -> None:
        startup = _receive(self.request, struct.unpack("!i", _receive(self.request, 4))[0] - 4)
        idle = self.server.idle.setdefault(startup, deque())
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(self.server.server_socket))
        connection.sendall(struct.pack("!i", len(startup) + 4) + startup)
        for kind, content in _messages(connection):
            # The number of its server process, as a pooler makes one up.
            told = struct.pack("!i", _NOBODYS) + content[4:] if kind == b"K" else content
            self.request.sendall(_message(kind, told))
            if kind == b"Z":
                break
        idle.append(connection)
        try:
            while self._transaction(idle):
                pass
        except (ConnectionError, struct.error):
            pass

    def _transaction(self, idle: "deque[socket.socket]") -> bool:
        """Relays one transaction; False where the program has gone."""
        kind, content = next(_messages(self.request))
        if kind == b"X":
            return False
        connection = idle.popleft()
        connection.sendall(_message(kind, content))
        awaited, is_over = int(kind in b"QS"), False
        with DefaultSelector() as selector:
            selector.register(self.request, EVENT_READ)
            selector.register(connection, EVENT_READ)
            while not is_over:
                for key, _ in selector.select():
                    if key.fileobj is self.request:
                        kind, content = next(_messages(self.request))
                        awaited += kind in b"QS"
                        connection.sendall(_message(kind, content))
                    else:
                        kind, content = next(_messages(connection))
                        awaited -= kind == b"Z"
                        is_over = kind == b"Z" and content == b"I" and not awaited
                        self.request.sendall(_message(kind, content))
        idle.append(connection)
        return True


def _messages(connection: socket.socket) -> Iterator[tuple[bytes, bytes]]:
    while True:
        kind, length = struct.unpack("!ci", _receive(connection, 5))
        yield kind, _receive(connection, length - 4)


def _message(kind: bytes, content: bytes) -> bytes:
    return struct.pack("!ci", kind, len(content) + 4) + content


def _receive(connection: socket.socket, size: int) -> bytes:
    received = bytearray()
    while len(received) < size:
        more = connection.recv(size - len(received))
        if not more:
            raise ConnectionResetError
        received += more
    return bytes(received)
