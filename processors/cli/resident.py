"""`fiona-ledger run --every SECONDS`: rounds within one process, each a run like those that cron starts.

What takes longest stays from one round to the next: the program itself, and the connections to PostgreSQL. Whatever
ends a round, the next one begins at its time. SIGHUP has the configuration read again; SIGTERM ends the round under way
as it ends any command, and with it all of them.
"""

import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, Self

from ledger.batching import Progress
from processors.cli import console, journal
from processors.cli.bootstrap import Opened, now
from processors.cli.exit_codes import Terminated, ending, has_sigterm_come, readers_may_leave
from processors.cli.journal import Level
from processors.cli.news import Audience, Teller
from processors.cli.runs import Processor, one_run
from processors.cli.systemd import Systemd
from processors.errors import ConfigurationError
from processors.run import IDLE_RUNS_KEPT, Report, Rhythm

SHORTEST_SECONDS: Final = 1
LONGEST_SECONDS: Final = 300
"""Between rounds: beyond, `status` would soon raise the alarm that no run gets through."""

DELIVERS_FOR: Final = timedelta(seconds=7)
"""Together with a look at what is new and the portion under way, what somebody waits at most for a request's row."""

LOOKS_EVERY: Final = timedelta(minutes=1)
"""The sender looks that often, too."""

_FAILED: Final = "could not do its work: see the journal, or `fiona-ledger check`"
_A_MINUTE: Final = 60
_MANY_HANGUPS: Final = 4096


def stay(config: Path | None, audience: Audience, seconds: float, *, command: str, only: Processor | None) -> None:
    """Begins a round every so many seconds, until SIGTERM. Raises `ConfigurationError` where these are too few."""
    if not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        raise ConfigurationError(
            f"--every: expected {SHORTEST_SECONDS} to {LONGEST_SECONDS} seconds, found {seconds:g}. Each round calls "
            "REDCap three times or more."
        )
    systemd = Systemd(os.environ)
    Resident(config=config, audience=audience, command=command, only=only, seconds=seconds, systemd=systemd).stay()


@dataclass(frozen=True, kw_only=True)
class Resident:
    """Begins a round every so many `seconds`, or once the one before has ended. `command` is its name in the ledger."""

    config: Path | None
    audience: Audience
    command: str
    only: Processor | None
    seconds: float
    systemd: Systemd

    def stay(self) -> None:
        """Works until SIGTERM; whatever else ends a round is told, and the next one goes on."""
        with _Hangups() as hangups, closing(Opened(self.config)) as opened:
            # Read before systemd takes it for started: what is wrong with it ends this command.
            site = opened.configuration.ledger.site
            self.systemd.tell("READY=1", f"STATUS=The first round for site {site!r} is under way.")
            with suppress(Terminated):
                while not has_sigterm_come():
                    due = time.monotonic() + self.seconds
                    report = self._round(opened)
                    if report is not None and _is_backlog_left(report):
                        due = time.monotonic()
                    if hangups.one_within(due - time.monotonic()) or report is None:
                        opened.renew()
            self.systemd.tell("STOPPING=1")

    def _round(self, opened: Opened) -> Report | None:
        """What a round came to; None where an error has ended it."""
        teller = Teller(self.config, self.command, self.audience, now)
        try:
            # What it says is not to wait for what the next ones say.
            with readers_may_leave():
                report = one_run(opened, teller, only=self.only, step=self._step, rhythm=self._rhythm)
        except SystemExit:
            # The teller has told why, if it is news.
            self._tell_of_end(_FAILED)
            return None
        except Exception as error:
            for line in ending(error).message.split("\n"):
                with suppress(OSError):
                    journal.write(line, Level.ERROR, now())
            self._tell_of_end(_FAILED)
            return None
        self._tell_of_end("got through")
        return report

    def _tell_of_end(self, how: str) -> None:
        self.systemd.tell("WATCHDOG=1", f"STATUS=The round that ended at {now():%H:%M:%S} {how}.")

    @property
    def _rhythm(self) -> Rhythm:
        return Rhythm(
            delivers_for=DELIVERS_FOR,
            looks_every=LOOKS_EVERY,
            # As many rows as of a run each minute.
            idle_kept=IDLE_RUNS_KEPT * min(1.0, self.seconds / _A_MINUTE),
        )

    @contextmanager
    def _step(self, name: str) -> Iterator[Progress | None]:
        """A step of a round, of whose beginning and progress the watchdog hears."""
        self.systemd.alive()
        with console.step(name) as progress:

            def told(done: int, total: int) -> None:
                self.systemd.alive()
                if progress is not None:
                    progress(done, total)

            yield told


def _is_backlog_left(report: Report) -> bool:
    return report.delivered is not None and report.delivered.rows_left > 0


class _Hangups:
    """SIGHUP, waited for: a pipe remembers one that comes while nobody waits."""

    def __enter__(self) -> Self:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._before = signal.signal(signal.SIGHUP, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGHUP, self._before)
        os.close(self._read)
        os.close(self._write)

    def _note(self, _number: int, _frame: object) -> None:
        with suppress(BlockingIOError):
            os.write(self._write, b"1")

    def one_within(self, seconds: float) -> bool:
        """Waits for so long; True as soon as there is one."""
        ready, _, _ = select.select([self._read], [], [], max(0.0, seconds))
        if ready:
            os.read(self._read, _MANY_HANGUPS)
        return bool(ready)
