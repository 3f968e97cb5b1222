"""`run --every`: rounds within one process, started, watched, told to read again and ended as systemd does it."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from ledger.database import Database
from processors.cli import exit_codes, resident
from processors.cli import main as entry_points
from processors.cli.exit_codes import Terminated
from processors.cli.news import Audience
from processors.cli.resident import stay
from processors.cli.systemd import Systemd
from processors.demo.simulator.calls import Call
from processors.run import Report
from tests import processes
from tests.cli.conftest import Site
from tests.cli.test_news import rejected_file, told

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess

PATIENCE_SECONDS = 60


class Manager:
    """systemd: it hears what the service says of itself."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.settimeout(0)
        self.heard: list[str] = []

    def hears(self, words: str) -> bool:
        while True:
            try:
                self.heard += self._socket.recv(4096).decode().splitlines()
            except BlockingIOError:
                return any(words in line for line in self.heard)

    def close(self) -> None:
        self._socket.close()


class Resident:
    """`fiona-ledger run --every 1 --only incoming` on a site, as a process."""

    def __init__(self, site: Site, database: Database, folder: Path) -> None:
        self.site, self.database = site, database
        self.manager = Manager(str(folder / "notify"))
        self._outputs = folder / "out", folder / "err"
        environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "NOTIFY_SOCKET": str(folder / "notify")}
        argv = ["fiona-ledger", "--config", str(site.config), "run", "--every", "1", "--only", "incoming"]
        self.process: ForkServerProcess = processes.context().Process(
            target=processes._command, args=(entry_points.main, argv, environment, self._outputs)
        )
        self.process.start()

    def told(self) -> list[str]:
        """All lines that it has printed, without their time."""
        return told("".join(path.read_text("utf-8") for path in self._outputs if path.exists()))

    def rounds(self) -> list[Any]:
        """The exit codes of its rounds, in their order, and of one that is under way None."""
        return self.query("select exit_code from gateway.run where command = 'run --only incoming' order by started_at")

    def query(self, statement: str, **parameters: Any) -> list[Any]:
        with self.database.begin() as connection:
            return list(connection.execute(text(statement), parameters).scalars())

    def signal(self, number: signal.Signals) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert self.process.is_alive(), self.told()
            assert time.monotonic() < deadline, (self.told(), self.manager.heard)
            time.sleep(0.1)

    def one_more_round(self) -> None:
        """Waits for the end of a round that has begun only now."""
        before = len(self.rounds())
        self.until(lambda: len(self.rounds()) > before + 1)


@contextmanager
def started(site: Site, database: Database, folder: Path) -> Iterator[Resident]:
    resident = Resident(site, database, folder)
    try:
        yield resident
    finally:
        resident.process.kill()
        resident.process.join()
        resident.manager.close()


def test_it_does_the_periodic_run_again_and_again_whatever_happens(
    site: Site, database: Database, tmp_path: Path
) -> None:
    old = datetime.now().astimezone() - timedelta(hours=13)
    with started(site, database, tmp_path) as resident:
        resident.until(lambda: resident.manager.hears("READY=1"))
        resident.until(lambda: resident.manager.hears("got through."))
        assert any("61 discovered" in line for line in resident.told())
        assert resident.manager.hears("WATCHDOG=1")

        # Rounds that nothing came of say nothing, and their rows are kept for a shorter time, as there are more.
        said = len(resident.told())
        resident.query(
            "insert into gateway.run (run, site, command, started_at, machine, changed, exit_code) values "
            "(gen_random_uuid(), 'main', 'old', :old, '', false, 0) returning 1",
            old=old,
        )
        resident.one_more_round()
        assert len(resident.told()) == said
        assert resident.query("select 1 from gateway.run where command = 'old'") == []

        rejected_file(site)
        resident.until(lambda: "needs attention: 1 x rejected file, new;" in " ".join(resident.told()))

        # PostgreSQL ends all connections, as when it is restarted.
        resident.query("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()")
        resident.one_more_round()
        assert resident.rounds()[-2] == 1, "done, and a person must look at something"

        site.shut_out()
        resident.until(lambda: resident.manager.hears("could not do its work"))
        site.let_in()
        resident.until(lambda: any("Runs get through again." in line for line in resident.told()))

        metrics = tmp_path / "metrics.prom"
        site.change("[redcap]\n", f'[health]\nmetrics_file = "{metrics}"\n[redcap]\n')
        resident.one_more_round()
        assert not metrics.exists(), "the configuration is read when that is asked for"
        resident.signal(signal.SIGHUP)
        resident.until(metrics.exists)

        # SIGTERM in the middle of a round.
        called, ended = Event(), Event()

        def answer_late(_call: Call) -> None:
            called.set()
            ended.wait(PATIENCE_SECONDS)

        site.simulator.before_call = answer_late
        resident.until(called.is_set)
        resident.signal(signal.SIGTERM)
        resident.process.join(20)
        ended.set()
        assert resident.process.exitcode == 0
        assert resident.manager.hears("STOPPING=1")
        assert resident.rounds()[-1] == 143
        # What was ended in order has not failed: it said CRITICAL until the next run got through.
        checked = site.command("check")
        assert (checked.code, "ended with an error" in checked.out) == (0, False)
        assert resident.query("select 1 from ledger.lease") == []


def test_sigterm_ends_it_even_where_what_was_interrupted_swallows_that(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Python does with whatever is raised while an object is tidied away."""

    def a_round(*_: Any, **__: Any) -> Report:
        with suppress(Terminated):
            os.kill(os.getpid(), signal.SIGTERM)
        return Report()

    monkeypatch.setattr(exit_codes, "_sigterm_came", Event())
    monkeypatch.setattr(resident, "one_run", a_round)
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    exit_codes.end_in_order_on_sigterm()
    try:
        stay(site.config, Audience(), 1, command="run", only=None)
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("0",), "expected 1 to 300 seconds, found 0"),
        (("5", "--dry-run"), "expected without --dry-run"),
        (("5", "--fresh", "--json"), "expected without --fresh, --json"),
        (("5", "--timing"), "expected without --timing"),
    ],
)
def test_what_does_not_go_with_it_is_refused(site: Site, arguments: tuple[str, ...], words: str) -> None:
    done = site.command("run", "--every", *arguments)
    assert (done.code, words in done.err) == (2, True)


def test_a_configuration_that_cannot_be_used_ends_it_before_it_has_started(site: Site) -> None:
    site.change("[redcap]\n", "[redcap]\nno_such_key = 1\n")
    done = site.command("run", "--every", "5")
    assert (done.code, "redcap.no_such_key: this key is unknown" in done.err) == (2, True)


def test_systemd_is_told_where_it_listens_and_nobody_else_speaks_for_the_service(tmp_path: Path) -> None:
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
    systemd = Systemd(environment)
    assert environment == {}
    systemd.tell("READY=1")  # nobody listens yet
    manager = Manager(str(tmp_path / "notify"))
    systemd.tell("READY=1", "STATUS=up")
    assert manager.hears("READY=1")
    assert manager.heard == ["READY=1", "STATUS=up"]
    for _ in range(100):
        systemd.alive()
    assert manager.hears("WATCHDOG=1")
    assert manager.heard.count("WATCHDOG=1") == 1, "once a second is enough"
    manager.close()


def test_a_socket_without_a_file_is_one_of_linux() -> None:
    name = f"fiona-ledger-{os.getpid()}"
    manager = Manager(f"\0{name}")
    Systemd({"NOTIFY_SOCKET": f"@{name}"}).tell("READY=1")
    assert manager.hears("READY=1")
    manager.close()
    Systemd({}).tell("READY=1")
