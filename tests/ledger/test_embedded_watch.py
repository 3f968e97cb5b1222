"""An embedded server that stays for the next program, and what stops it when none comes, whatever happens meanwhile."""

import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ledger import embedded_watch
from ledger.embedded import is_left_alone, is_used, stop_unused
from tests.conftest import server_folder
from tests.ledger.conftest import embedded, is_there, postmaster, wait_until_it_has_gone
from tests.ledger.samples import scalar

LONG = 300
SHORT = 0.2


@pytest.fixture(scope="module")
def data(stopped: Path) -> Iterator[Path]:
    """A folder with data for all tests that leave it as it was."""
    with server_folder() as folder:
        subprocess.run(["/bin/cp", "-a", stopped / "postgres", folder], check=True)
        yield folder


@pytest.fixture(autouse=True)
def _nothing_is_left(data: Path) -> Iterator[None]:
    yield
    for process in watchers(data):
        process.terminate()
        wait_until_it_has_gone(process)
    stop_unused(data)


def watchers(folder: Path) -> list[psutil.Process]:
    found = psutil.process_iter(["cmdline"])
    watching = {embedded_watch.__file__, str(folder)}
    return [process for process in found if watching <= set(process.info["cmdline"] or ())]


def watcher(folder: Path) -> psutil.Process:
    (found,) = watchers(folder)
    return found


def is_stopped(folder: Path) -> bool:
    return not (folder / "postgres" / "postmaster.pid").exists()


def test_it_stays_for_the_next_program_and_is_stopped_when_none_comes(data: Path) -> None:
    with embedded(data, stays=SHORT) as database:
        server, watching = postmaster(data), watcher(data)
        assert os.getsid(watching.pid) != os.getsid(0), "Ctrl-C is for this program alone"
        time.sleep(3 * SHORT)
        assert scalar(database, "select 1") == 1, "it is in use, however long"
    with embedded(data, stays=SHORT), embedded(data, stays=SHORT):
        assert (postmaster(data), watcher(data)) == (server, watching)
    assert not is_used(data)
    wait_until_it_has_gone(watching)
    assert not is_there(server)
    assert is_stopped(data)


OPENED_AND_CLOSED = """
import sys
from datetime import timedelta
from pathlib import Path
from ledger.database import open_database
open_database("embedded", Path(sys.argv[1]), stays=timedelta(minutes=5)).close()
"""


def test_whoever_started_it_need_not_wait_for_what_is_left_behind_and_hands_nothing_on(data: Path) -> None:
    """Cron reads what a job prints until nobody can print any more."""
    command = [sys.executable, "-c", OPENED_AND_CLOSED, str(data)]
    done = subprocess.run(command, env={**os.environ, "TOKEN": "x"}, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    watching = watcher(data)
    assert (watching.environ(), watching.cwd()) == ({}, "/")
    assert watching.memory_info().rss < 20 * 2**20


def test_sigterm_to_the_watcher_stops_the_server_unless_it_is_used(data: Path) -> None:
    with embedded(data, stays=LONG) as database:
        watching = watcher(data)
        watching.terminate()
        wait_until_it_has_gone(watching)
        assert scalar(database, "select 1") == 1
        with embedded(data, stays=LONG):
            server, watching = postmaster(data), watcher(data)
    watching.terminate()
    wait_until_it_has_gone(watching)
    assert (is_there(server), is_stopped(data)) == (False, True)


def test_a_killed_watcher_is_missed_by_the_next_program(data: Path) -> None:
    with embedded(data, stays=LONG):
        server, watching = postmaster(data), watcher(data)
    watching.kill()
    wait_until_it_has_gone(watching)
    with embedded(data, stays=LONG):
        assert postmaster(data) == server
        assert watcher(data) != watching


def test_a_watcher_ends_with_a_killed_server_and_the_next_program_starts_both(data: Path) -> None:
    with embedded(data, stays=LONG):
        server, watching = postmaster(data), watcher(data)
    server.kill()
    wait_until_it_has_gone(watching)
    with embedded(data, stays=LONG) as database:
        assert scalar(database, "select 1") == 1
        assert postmaster(data) != server
        assert watcher(data) != watching


def test_a_program_that_lets_nothing_stay_stops_it(data: Path) -> None:
    with embedded(data, stays=LONG):
        watching = watcher(data)
    with embedded(data):
        pass
    assert is_stopped(data)
    wait_until_it_has_gone(watching)


def test_programs_that_an_upgrade_has_replaced_are_started_anew_once_nobody_uses_the_server(data: Path) -> None:
    with embedded(data, stays=LONG):
        server = postmaster(data)
        started = data / "postgres" / "postmaster.opts"
        program = data / "upgraded"
        started.write_text(f'{program} "{started.read_text().partition(chr(34))[2]}')
        time.sleep(1.1)
        program.touch()
        with embedded(data, stays=LONG):
            assert postmaster(data) == server
    with embedded(data, stays=LONG) as database:
        assert postmaster(data) != server
        assert scalar(database, "select 1") == 1


def test_stopping_it_by_hand_leaves_a_server_alone_that_is_used(data: Path) -> None:
    with embedded(data, stays=LONG) as database:
        stop_unused(data)
        assert scalar(database, "select 1") == 1
    assert not is_stopped(data)
    stop_unused(data)
    assert is_stopped(data)
    stop_unused(data)


def test_nothing_stays_where_it_would_be_ended_with_this_program(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd ends all of a unit with its first process, and a container ends with its own."""
    assert is_left_alone({"SYSTEMD_EXEC_PID": "1"})
    monkeypatch.setenv("SYSTEMD_EXEC_PID", str(os.getpid()))
    with embedded(data, stays=LONG):
        assert watchers(data) == []
    assert is_stopped(data)


def test_nothing_stays_where_nobody_can_watch_it(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_number: int) -> int:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", unknown)
    with embedded(data, stays=LONG):
        assert watchers(data) == []
    assert is_stopped(data)


def test_a_server_whose_data_were_moved_away_is_stopped_though_another_is_used_in_its_place(
    used: Path, stopped: Path
) -> None:
    with embedded(used, stays=SHORT):
        server, watching = postmaster(used), watcher(used)
    (used / "postgres").rename(used / "postgres.before")
    subprocess.run(["/bin/cp", "-a", stopped / "postgres", used], check=True)
    while is_there(server):
        with embedded(used):
            time.sleep(SHORT / 2)
    wait_until_it_has_gone(watching)


def test_a_server_whose_data_were_moved_away_has_ended_before_others_are_used_in_their_place(
    used: Path, stopped: Path
) -> None:
    """Its last checkpoint was written over the control file of the data in its place, which could not start again."""
    with embedded(used, stays=LONG):
        server = postmaster(used)
    (used / "postgres").rename(used / "postgres.before")
    subprocess.run(["/bin/cp", "-a", stopped / "postgres", used], check=True)
    control = (used / "postgres" / "global" / "pg_control").read_bytes()
    with embedded(used):
        assert not is_there(server)
    with embedded(used):
        pass
    assert control[:8] == (used / "postgres" / "global" / "pg_control").read_bytes()[:8], "the same cluster"


def test_a_server_whose_folder_was_removed_is_stopped(used: Path) -> None:
    with embedded(used, stays=SHORT):
        server, watching = postmaster(used), watcher(used)
    shutil.rmtree(used / "postgres")
    (used / embedded_watch.USERS).unlink()
    wait_until_it_has_gone(watching)
    assert not is_there(server)
