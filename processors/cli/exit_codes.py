"""What commands end with: 0 done, 1 something needs attention, 2 usage or configuration, 3 a service, 4 the ledger.

Errors become one message on standard error. A traceback shows values of variables and messages of
libraries, which may be a patient's; for an error nobody foresaw, only the place is told.
"""

import errno
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import NamedTuple

from ledger.errors import Conflict, Corrupt, LedgerError, Misconfigured
from processors.cli.harmless import on_a_line
from processors.errors import LedgerBehind

ATTENTION = 1
USAGE = 2
SERVICE = 3
CORRUPT = 4
UNFORESEEN = 70
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_ROOT = Path(__file__).parents[2]
_OURS = tuple(f"{_ROOT / package}{os.sep}" for package in ("ledger", "processors"))
"""Where our files are. Where a wheel is installed, they stand among those of libraries."""
INTERRUPTED = 130
TERMINATED = 143


class Terminated(KeyboardInterrupt):
    """Somebody ends the program with SIGTERM: `kill`, systemd, the machine on its way down."""


def end_in_order_on_sigterm() -> None:
    """Has SIGTERM end a command as Ctrl-C does: leases are given up, and the embedded PostgreSQL is, too."""
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminate)


_sigterm_came = Event()


def has_sigterm_come() -> bool:
    """Whether SIGTERM is to end the program, though what it interrupted may have swallowed `Terminated`."""
    return _sigterm_came.is_set()


def _terminate(number: int, _frame: object) -> None:
    signal.signal(number, signal.SIG_IGN)  # a second one would stop the tidying up
    _sigterm_came.set()
    raise Terminated


@contextmanager
def readers_may_leave() -> Iterator[None]:
    """Ends without complaint where whoever reads the output has seen enough, as `head` does."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _give_up_output()
    except BaseException:
        # The error tells of it, whichever it has become.
        try:
            sys.stdout.flush()
        except OSError:
            _give_up_output()
        raise


def _give_up_output() -> None:
    """Python would try to write the rest at its exit, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Ending(NamedTuple):
    """What a command ends with: its exit code, and a message for a person."""

    code: int
    message: str


@contextmanager
def exit_codes() -> Iterator[list[str]]:
    """Ends the command with the code and message that an error stands for, whatever it is.

    Gives a list for sentences that such a message is to end with: what is true by then, error or not.
    """
    afterwords: list[str] = []
    try:
        yield afterwords
    except (Exception, KeyboardInterrupt) as error:
        code, message = ending(error)
        for line in " ".join(["fiona-ledger:", message, *afterwords]).split("\n"):
            print(on_a_line(line), file=sys.stderr)  # noqa: T201 - the one place that prints errors
        sys.exit(code)


def ending(error: BaseException) -> Ending:
    """What an error stands for. Runs are recorded with it too, so that the ledger tells what cron was told."""
    match error:
        case LedgerBehind():
            return Ending(CORRUPT, str(error))
        case Misconfigured():
            return Ending(USAGE, str(error))
        case Corrupt():
            return Ending(CORRUPT, str(error))
        case Conflict():
            return Ending(SERVICE, "Another run appended to the ledger at the same moment. The next run goes on.")
        case LedgerError():
            return Ending(SERVICE, str(error))
        case OSError() if error.errno in _NO_ROOM:
            return Ending(
                SERVICE,
                f"Something could not be written, to a file or to the standard output: {error.strerror}. What was "
                "recorded so far is safe, and the next run goes on.",
            )
        case Exception():
            return Ending(UNFORESEEN, _place(error))
        case Terminated():
            return Ending(TERMINATED, "Ended by SIGTERM. Nothing is lost: the next run goes on from here.")
        case _:
            return Ending(INTERRUPTED, "Interrupted. Nothing is lost: the next run goes on from here.")


def _place(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if frame.filename.startswith(_OURS)]
    places = " < ".join(f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in (ours or frames)[:-5:-1])
    return (
        f"An error that nobody foresaw: {type(error).__name__} at {places}. Please report this line. What was "
        "recorded so far is safe, and the next run tries again."
    )
