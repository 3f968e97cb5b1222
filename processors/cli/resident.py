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
from processors.cli.exit_codes import Terminated, ending, readers_may_leave
from processors.cli.journal import Level
from processors.cli.news import Audience, Teller
from processors.cli.runs import Processor, one_run
from processors.cli.systemd import Systemd
from processors.run import IDLE_RUNS_KEPT

SHORTEST_SECONDS: Final = 1
LONGEST_SECONDS: Final = 300
"""Between rounds: beyond, `status` would soon raise the alarm that no run gets through."""

_A_MINUTE: Final = 60
_MANY_HANGUPS: Final = 4096


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
            self.systemd.tell("READY=1")
            with suppress(Terminated):
                while True:
                    due = time.monotonic() + self.seconds
                    got_through = self._round(opened)
                    if hangups.one_within(due - time.monotonic()) or not got_through:
                        opened.renew()
            self.systemd.tell("STOPPING=1")

    def _round(self, opened: Opened) -> bool:
        """Whether no error has ended it."""
        teller = Teller(self.config, self.command, self.audience, now)
        try:
            # What it says is not to wait for what the next ones say.
            with readers_may_leave():
                one_run(opened, teller, only=self.only, step=self._step, idle_kept=self._idle_kept)
        except SystemExit:
            # The teller has told why, if it is news.
            return self._ended(got_through=False)
        except Exception as error:
            for line in ending(error).message.split("\n"):
                with suppress(OSError):
                    journal.write(line, Level.ERROR, now())
            return self._ended(got_through=False)
        return self._ended(got_through=True)

    def _ended(self, *, got_through: bool) -> bool:
        how = "got through" if got_through else "could not do its work: see the journal, or `fiona-ledger check`"
        self.systemd.tell("WATCHDOG=1", f"STATUS=The round that ended at {now():%H:%M:%S} {how}.")
        return got_through

    @property
    def _idle_kept(self) -> timedelta:
        """As many rows are kept of rounds that nothing came of as of a run each minute."""
        return IDLE_RUNS_KEPT * min(1.0, self.seconds / _A_MINUTE)

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
