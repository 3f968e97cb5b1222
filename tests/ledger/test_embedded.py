import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from ledger import embedded as embedded_server
from ledger.database import Database, open_database
from ledger.errors import Misconfigured, Unreachable
from ledger.migrations import migrate
from ledger.programs import Programs, installed
from tests.ledger.conftest import embedded, postmaster, wait_until_it_has_gone
from tests.ledger.samples import append, everything, fact, first_broken, scalar

AS_ROOT = os.geteuid() == 0


@contextmanager
def writer(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """A program that appends until the server has gone, and says the position of each event."""
    command = [sys.executable, "-m", "tests.ledger.processes", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def read_acknowledged(process: "subprocess.Popen[str]", count: int) -> list[int]:
    assert process.stdout is not None
    return [int(process.stdout.readline()) for _ in range(count)]


def test_what_was_written_is_there_after_a_stop_and_a_start(used: Path) -> None:
    with embedded(used) as database:
        migrate(database)
        stored = append(database, fact())
    assert not (used / "postgres" / "postmaster.pid").exists()
    with embedded(used) as database:
        assert everything(database) == stored


def test_its_data_is_private(folder: Path) -> None:
    with embedded(folder) as database:
        assert scalar(database, "show listen_addresses") == ""
        assert scalar(database, "show fsync") == "on"
    assert stat.S_IMODE((folder / "postgres").stat().st_mode) == 0o700


def test_a_server_killed_while_appending_has_kept_every_acknowledged_event(used: Path) -> None:
    with writer(used) as process:
        acknowledged = read_acknowledged(process, 30)
        postmaster(used).kill()
        assert process.stdout is not None
        *more, last_word = process.stdout.read().split()
        acknowledged += map(int, more)
    assert last_word == "unreachable"
    assert acknowledged == list(range(1, len(acknowledged) + 1))
    with embedded(used) as database:
        positions = [event.position for event in everything(database)]
        assert positions[: len(acknowledged)] == acknowledged
        assert len(positions) - len(acknowledged) in {0, 1}, "at most the one that nobody was told of"
        with database.begin() as connection:
            assert first_broken(connection) is None
        assert append(database, fact())[0].position == len(positions) + 1


def test_a_dead_server_whose_number_another_process_has_by_now_is_started_again(used: Path) -> None:
    """After a power cut, it used to count as running: the ledger stayed away."""
    with writer(used) as process:
        read_acknowledged(process, 1)
        postmaster(used).kill()
        process.wait()
    for name in ("postmaster.pid", ".s.PGSQL.5432.lock"):
        lock_file = used / "postgres" / name
        lines = lock_file.read_text().splitlines()
        lock_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    with embedded(used) as database:
        assert everything(database)


def test_a_killed_program_leaves_a_server_that_the_next_one_takes_over(used: Path) -> None:
    with writer(used) as process:
        acknowledged = read_acknowledged(process, 5)
        process.send_signal(signal.SIGKILL)
        process.wait()
    left = postmaster(used).pid
    with embedded(used) as database:
        assert postmaster(used).pid == left
        assert [event.position for event in everything(database)][:5] == acknowledged
    assert not (used / "postgres" / "postmaster.pid").exists(), "it would never be stopped any more"


def test_what_an_interrupted_first_start_has_left_is_made_anew(folder: Path) -> None:
    (folder / "postgres.new").mkdir()
    (folder / "postgres.new" / "PG_VERSION").write_text("18\n")
    with embedded(folder) as database:
        assert scalar(database, "select 1") == 1
    assert not (folder / "postgres.new").exists()


def test_two_ledgers_opened_in_one_program_share_the_server_until_both_are_closed(used: Path) -> None:
    with embedded(used) as first:
        with embedded(used):
            pass
        assert scalar(first, "select 1") == 1
    assert not (used / "postgres" / "postmaster.pid").exists()


def test_closing_twice_is_closing_once(used: Path) -> None:
    with embedded(used) as first, embedded(used) as second:
        first.close()
        first.close()
        assert scalar(second, "select 1") == 1


def test_a_server_that_died_is_closed_without_waiting(used: Path) -> None:
    with embedded(used) as database:
        process = postmaster(used)
        process.kill()
        with pytest.raises(Unreachable):
            use_for_ever(database)
        wait_until_it_has_gone(process)
    assert (used / "postgres" / "postmaster.pid").exists()


def use_for_ever(database: Database) -> None:
    while True:
        scalar(database, "select 1")


def test_starting_prints_nothing(folder: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from ledger.database import open_database; "
        "open_database('embedded', Path(sys.argv[1])).close()"
    )
    environment = {name: value for name, value in os.environ.items() if name != "XDG_RUNTIME_DIR"}
    ended = subprocess.run(
        [sys.executable, "-W", "default", "-c", program, str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("with space", "holds ' '"),
        ("100%", "holds '%'"),
        ("a,b", "holds ','"),
        ("$(touch x)", "holds '\\$'"),
        ("x" * 100, "bytes too long"),
    ],
)
def test_a_folder_that_cannot_hold_a_socket_is_misconfigured(folder: Path, name: str, problem: str) -> None:
    with pytest.raises(Misconfigured, match=f"ledger.data_dir: .*{problem}"):
        open_database("embedded", folder / name)
    assert list((folder / name).iterdir()) == []


def test_a_file_in_place_of_the_folder_is_misconfigured(folder: Path) -> None:
    (folder / "file").touch()
    with pytest.raises(Misconfigured, match=r"cannot keep its data in .*: File exists"):
        open_database("embedded", folder / "file")


def test_data_that_it_cannot_use_makes_it_unreachable_with_its_log_named(folder: Path) -> None:
    (folder / "postgres").mkdir()
    (folder / "postgres" / "PG_VERSION").write_text(f"{max(installed()).version}\n")
    for _ in range(2):
        with pytest.raises(Unreachable, match=r"does not start .* Its own words are in .*/postgres/log"):
            open_database("embedded", folder)


_FULL = """running bootstrap script ...
2026-11-29 15:25:35.065 UTC [31229] FATAL:  could not extend file "base/1/2691": No room
2026-11-29 15:25:35.065 UTC [31229] HINT:  Check free disk space.
2026-11-29 15:25:35.069 UTC [31229] PANIC:  cannot abort transaction 1, it was already committed
child process exited with exit code 134
initdb: removing data directory "/d"
"""


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (_FULL, 'could not extend file "base/1/2691": No room'),
        (
            'initdb: error: could not create directory "/d": No room\ninitdb: removing contents of /d\n',
            "could not create",
        ),
        ('initdb: removing contents of data directory "/d"\n', "initdb ended with 1"),
    ],
)
def test_why_data_cannot_be_made_is_told_and_not_what_came_of_it(folder: Path, said: str, reason: str) -> None:
    """On a full disk, it used to say that it removes what it has made."""
    programs = folder / "pgsql" / "bin"
    programs.mkdir(parents=True)
    for name in ("initdb", "postgres", "pg_ctl"):
        (programs / name).write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{said}END\nexit 1\n")
    for path in (programs.parent, *programs.parent.rglob("*")):
        path.chmod(0o755)
    with pytest.raises(Unreachable, match=re.escape(f"does not start ({reason}")):
        embedded_server.start(folder / "data", Programs(max(installed()).version, programs))


@pytest.mark.parametrize("programs", installed(), ids=str)
def test_whatever_programs_there_are_start_it(folder: Path, programs: Programs) -> None:
    before = newest_change(programs)
    server = embedded_server.start(folder, programs)
    try:
        assert server_version(server.conninfo) == programs.version
        # Without programs named, those that made the data are taken.
        with embedded(folder) as database:
            assert scalar(database, "show data_checksums") == "on"
    finally:
        server.close()
    assert newest_change(programs) == before, "an installation may be read-only"


def newest_change(programs: Programs) -> int:
    return max(path.lstat().st_ctime_ns for path in programs.folder.parent.rglob("*"))


def server_version(conninfo: str) -> int:
    with psycopg.connect(conninfo) as connection:
        return connection.info.server_version // 10_000


@pytest.mark.skipif(not AS_ROOT, reason="only as root does it run as a user of its own")
def test_as_root_a_folder_that_others_may_not_pass_is_misconfigured(folder: Path) -> None:
    closed = folder / "home"
    closed.mkdir(mode=0o700)
    with pytest.raises(Misconfigured, match=f"may not pass {closed}"):
        open_database("embedded", closed / "ledger")
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


@pytest.mark.skipif(not AS_ROOT, reason="only as root does it change folders' modes")
def test_as_root_the_folders_above_are_not_opened_to_everybodys_reading(folder: Path) -> None:
    above = folder / "above"
    above.mkdir(mode=0o711)
    with embedded(above / "ledger") as database:
        assert scalar(database, "select 1") == 1
    assert stat.S_IMODE(above.stat().st_mode) == 0o711


def test_a_locale_that_the_machine_lacks_is_no_matter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal brings its own along (`LC_ALL`, forwarded by ssh); the first start used to fail."""
    monkeypatch.setenv("LC_ALL", "xx_XX.UTF-8")
    with embedded(folder / "ledger") as database:
        assert scalar(database, "show server_encoding") == "UTF8"
    assert os.environ["LC_ALL"] == "xx_XX.UTF-8"


@pytest.mark.parametrize("mask", [0o000, 0o077])
def test_whatever_the_umask_the_data_folder_is_nobody_elses_to_write(folder: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        embedded_server._make_folder(folder / "a" / "ledger")
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder / "a", folder / "a" / "ledger")} == {
        0o711 if AS_ROOT else 0o700
    }
