"""The embedded PostgreSQL: started with the first program that needs it, stopped when none has needed it for a while.

Each program holds a shared lock for as long as it uses the server; who can have it alone is the last one. A lock ends
with whoever holds it, so that one that was killed is not waited for. The server may stay for the next program: then a
process beside it watches it (`embedded_watch`, which has the locks, too); where there is none, it is stopped with the
last program.

* The server trusts whoever reaches its socket, which therefore lies in the data folder: a path that is too long for
  one is refused.
* After a power cut, another process may have the number that the server had: `postmaster.pid` is then not believed.
* PostgreSQL refuses to work as root; it gets a user of its own then, who may pass the folders above the data and the
  programs and no more.
* Folders and links that somebody else has made are refused, and nobody else can open the locks: one that anybody
  holds would hang every command.
"""

import atexit
import contextlib
import fcntl
import os
import pwd
import re
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from pathlib import Path

from psycopg.conninfo import make_conninfo

from ledger import embedded_watch
from ledger.embedded_watch import GUARD, USERS, a_share, is_alone, locked, own_file
from ledger.errors import Misconfigured, Unreachable
from ledger.programs import Programs, fitting, installed

_SOCKET_NAME = ".s.PGSQL.5432"
_LONGEST_SOCKET_PATH = 103
"""In bytes: what macOS takes; Linux takes four more."""

_REASON = re.compile(r"(?:initdb: (?!removing |warning: |hint: )(?:error: )?|FATAL: +|PANIC: +)(.+)")
_NOBODYS_PID = 2**31 - 1
_POSTMASTER_LINES = 8
_END_OF_LOG = 10_000
_ACCOUNT = "fiona-postgres"
_PATIENCE_SECONDS = 60
_STARTED = 2
_NOT_AT_ALL = timedelta(0)


class EmbeddedServer:
    """A running server, and this program's share in keeping it running."""

    def __init__(self, data: Path, programs: Programs | None = None, stays: timedelta = _NOT_AT_ALL) -> None:
        self.data = data
        self._programs = programs
        self._stays = stays
        self._account = _account(data) if os.geteuid() == 0 else None
        self._share: int | None = None
        self._is_watched = False

    @cached_property
    def programs(self) -> Programs:
        """The server's programs, which are not looked for where it runs. Raises `Misconfigured`."""
        return self._programs or fitting(self.data, installed())

    @property
    def conninfo(self) -> str:
        """The server's address, for libpq."""
        return make_conninfo("", host=str(self.data), port=5432, user="postgres", dbname="postgres")

    def open(self) -> None:
        """Takes a share, and starts the server if it does not run yet."""
        with locked(self.data.parent):
            self._share = own_file(self.data.parent / USERS)
            atexit.register(self.close)
            is_ready = _is_ready(self.data)
            if is_ready and is_alone(self._share) and _was_upgraded(self.data):
                self.stop()
                is_ready = False
            fcntl.flock(self._share, fcntl.LOCK_SH)
            os.utime(self._share)
            if not is_ready:
                self._start()
            self._is_watched = self._have_watched() if self._stays else False

    def close(self) -> None:
        """Gives up this share; the last one stops the server, unless it stays."""
        if self._share is None:
            return
        atexit.unregister(self.close)
        # What is missing by then was removed, and the server with it.
        with contextlib.suppress(FileNotFoundError), locked(self.data.parent):
            os.utime(self._share)
            if not self._is_watched and is_alone(self._share) and _listens(self.data):
                self.stop()
        os.close(self._share)
        self._share = None

    def _start(self) -> None:
        if sys.platform == "linux":
            embedded_watch.end_moved(self.data.parent)
        self._make_data()
        _disown_stale_pid(self.data)
        # No queries here are long enough for compiling, which needs what a hardened service must not do: to
        # execute memory that it has written.
        options = f'-h "" -k {self.data} -c jit=off'
        self._run("pg_ctl", "start", "-w", "-l", str(self.data / "log"), "-o", options)

    def stop(self) -> None:
        """Stops the server, whoever uses it."""
        # What fails here is the stopping of a server that dies meanwhile, in whatever words.
        with contextlib.suppress(subprocess.CalledProcessError):
            self._run("pg_ctl", "stop", "-w", "-m", "fast")

    def _have_watched(self) -> bool:
        """Whether somebody watches the server, who may be there already; where nobody can, it does not stay."""
        if sys.platform != "linux" or not is_left_alone():
            return False
        guard = own_file(self.data.parent / GUARD)
        try:
            return not is_alone(guard) or _is_left_behind(self.data, self._stays, guard)
        except OSError:
            # A kernel that knows no descriptors of processes, or may start no more of them.
            return False
        finally:
            os.close(guard)

    def _make_data(self) -> None:
        if self._account is not None:
            _let_pass(self.programs.folder.resolve())
        if (self.data / "PG_VERSION").exists():
            self._give_away(self.data)
            return
        # Aside: half of it, left by a program that was killed, would pass for data that are spoilt.
        aside = self.data.with_name(f"{self.data.name}.new")
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(mode=0o700)
        self._give_away(aside)
        self._run("initdb", "--auth=trust", "--encoding=UTF8", "--username=postgres", "--data-checksums", data=aside)
        aside.rename(self.data)

    def _give_away(self, folder: Path) -> None:
        if self._account is not None:
            os.chown(folder, self._account.pw_uid, self._account.pw_gid)

    def _run(self, program: str, *arguments: str, data: Path | None = None) -> None:
        """One of the server's programs, to its end.

        In the one locale that every machine has: that of the environment may have come with a terminal from another
        machine (`LC_ALL`, forwarded by ssh), and the order of texts in it changes with updates of the system. And in
        a session of its own: Ctrl-C is for this program, which then ends the server in order.
        """
        folder = data or self.data
        subprocess.run(  # noqa: S603 - the system's or our installation's  # nosec B603
            [self.programs.folder / program, *arguments, "-D", folder],
            check=True,
            capture_output=True,
            text=True,
            errors="replace",
            cwd=folder,
            env={**os.environ, "LC_ALL": "C"},
            start_new_session=True,
            user=self._account and self._account.pw_uid,
            group=self._account and self._account.pw_gid,
            extra_groups=self._account and [],
        )


def start(data_dir: Path, programs: Programs | None = None, *, stays: timedelta = _NOT_AT_ALL) -> EmbeddedServer:
    """The server whose data lies in `data_dir`/postgres, started if it does not run yet.

    Once nobody uses it, it stays for so long, and as long again at most.
    """
    folder = data_dir.absolute() / "postgres"
    try:
        _make_folder(folder.parent)
        _check_socket_path(folder)
        server = EmbeddedServer(folder, programs, stays)
        try:
            server.open()
        except BaseException:
            server.close()
            raise
    except OSError as exc:
        raise Misconfigured(
            f"ledger.data_dir: the embedded PostgreSQL cannot keep its data in {data_dir}: {exc.strerror or exc}."
        ) from exc
    except subprocess.CalledProcessError as exc:
        log = folder / "log"
        reason = _its_reason(f"{exc.stdout}{exc.stderr}", log) or f"{Path(exc.cmd[0]).name} ended with {exc.returncode}"
        more = f" Its own words are in {log}." if log.exists() else ""
        raise Unreachable(f"The embedded PostgreSQL in {folder} does not start ({reason}).{more}") from exc
    return server


def is_left_alone(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether what this process leaves behind goes on: not as the first process of a container or of a systemd unit."""
    return os.getpid() != 1 and environment.get("SYSTEMD_EXEC_PID") != str(os.getpid())


def is_missing(data_dir: Path) -> bool:
    """Whether there are no data yet, or no more; not where this account may not look, which starting tells better."""
    try:
        return not (data_dir / "postgres" / "PG_VERSION").exists()
    except PermissionError:
        return False


def is_used(data_dir: Path) -> bool:
    """Whether a program uses the server of `data_dir`, or what was there before its data were moved away."""
    if not (data_dir / USERS).exists():
        return False
    with locked(data_dir), a_share(data_dir) as share:
        return not is_alone(share)


def stop_unused(data_dir: Path) -> None:
    """Stops a server that stays for whoever comes next, unless somebody uses it."""
    folder = data_dir.absolute() / "postgres"
    if _listens(folder):
        with locked(data_dir), a_share(data_dir) as share:
            if is_alone(share):
                EmbeddedServer(folder).stop()


def _was_upgraded(data: Path) -> bool:
    """Whether the system's upgrades have replaced the program since the server was started."""
    command, started = _lines(data / "postmaster.opts")[0], int(_lines(data / "postmaster.pid")[_STARTED])
    program = Path(command.partition(' "')[0])
    return program.exists() and int(program.stat().st_ctime) > started


def _is_left_behind(data: Path, stays: timedelta, guard: int) -> bool:
    """Whether a watcher could be started, which outlives this program and inherits two descriptors of it alone.

    It has what is locked by one of them for as long as it lives.
    """
    server = os.pidfd_open(int(_lines(data / "postmaster.pid")[0]))
    command = [sys.executable, "-I", "-S", embedded_watch.__file__, data.parent, stays.total_seconds(), server, guard]
    try:
        done = subprocess.run(  # noqa: S603 - our own  # nosec B603
            list(map(str, command)),
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(server, guard),
            cwd="/",
            env={},
            start_new_session=True,
        )
    finally:
        os.close(server)
    return done.returncode == 0


def _its_reason(said: str, log: Path) -> str | None:
    """Why it does not start, as its programs have said first, or its log last.

    After the reason, `initdb` tells what came of it, and that it tidies up.
    """
    logged = log.read_text("utf-8", "replace")[-_END_OF_LOG:] if log.exists() else ""
    reasons = [*_REASON.findall(said)[:1], *_REASON.findall(logged)[-1:]]
    return reasons[0].strip().rstrip(".") if reasons else None


def _account(data: Path) -> pwd.struct_passwd:
    """Whom the server runs as where we are root: whoever has its data, else a user of its own."""
    owner = data.stat().st_uid if data.exists() else 0
    if owner:
        with contextlib.suppress(KeyError):
            return pwd.getpwuid(owner)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(_ACCOUNT)
        made = _made_account()
        # Two programs at once: one of them finds the list of users locked.
        if made is not None and "lock" not in made:
            raise Misconfigured(
                f"ledger.url: PostgreSQL refuses to work as root, and the user {_ACCOUNT} cannot be made for it "
                f"({made}). Run fiona-ledger as a user of its own, or name a server."
            )
    raise Misconfigured(f"ledger.url: the user {_ACCOUNT} cannot be made: the list of users stays locked.")


def _made_account() -> str | None:
    """Makes the user; else why that failed."""
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin")
    if useradd is None:
        return "no program useradd"
    command = [useradd, "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", _ACCOUNT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the system's  # nosec B603
    return done.stderr.strip() if done.returncode else None


def _let_pass(programs: Path) -> None:
    """Lets the server's user pass to the programs and use them, where an installation was root's alone."""
    for folder in programs.parents:
        _add_mode(folder, stat.S_IXOTH)
    if not (programs / "postgres").stat().st_mode & stat.S_IROTH:
        for path in (programs.parent, *programs.parent.rglob("*")):
            _add_mode(path, stat.S_IMODE(path.stat().st_mode) >> 6 & (stat.S_IROTH | stat.S_IXOTH))


def _add_mode(path: Path, mode: int) -> None:
    before = stat.S_IMODE(path.stat().st_mode)
    if before & mode == mode:
        return
    try:
        path.chmod(before | mode)
    except OSError as exc:
        raise Misconfigured(
            f"ledger.url: as root, the embedded PostgreSQL runs as the user {_ACCOUNT}, which may not use {path}, and "
            f"that cannot be changed ({exc.strerror}). Install the distribution's PostgreSQL, or run fiona-ledger as a "
            "user of its own."
        ) from exc


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
        lines = _lines(lock_file)
        if lock_file.name == "postmaster.pid" and 0 < len(lines) < _POSTMASTER_LINES:
            lock_file.unlink()  # it died before it had any shared memory
        elif lines:
            lock_file.write_text("\n".join([str(_NOBODYS_PID), *lines[1:]]) + "\n")


def _is_ready(folder: Path) -> bool:
    """Whether it runs; one that starts or stops is waited for."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while _listens(folder):
        lines = _lines(folder / "postmaster.pid")
        if len(lines) >= _POSTMASTER_LINES and lines[-1].strip() == "ready":
            return True
        if time.monotonic() > deadline:
            raise Unreachable(
                f"The embedded PostgreSQL in {folder} is not ready yet: it recovers from a crash, or stops. Its own "
                f"words are in {folder / 'log'}; try again."
            )
        time.sleep(0.05)
    return False


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def _listens(folder: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(folder / _SOCKET_NAME))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
    return True
