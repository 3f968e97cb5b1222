"""Running a site's own tool: for a limited time, read to a limited length, and told nothing it need not know."""

import os
import selectors
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO

LONGEST_ANSWER = 16 * 1024 * 1024
_PASSED_ON = ("PATH", "LANG", "HOME", "TMPDIR")
_PORTION = 65_536


class ToolError(Exception):
    """The tool gave no answer; the message says why, as a predicate: "ended with 1"."""


def answer_of(command: Sequence[str], *, time_limit: float, given: bytes = b"") -> bytes:
    """What the command, `given` this on its standard input, printed, once it has ended with 0; else raises `ToolError`.

    It gets a session of its own, so that what it has started dies with it where it is given up.
    """
    deadline = time.monotonic() + time_limit
    try:
        # From a file, not a pipe: a tool that does not read it keeps nobody waiting.
        with tempfile.TemporaryFile() as stdin:
            stdin.write(given)
            stdin.seek(0)
            process = subprocess.Popen(  # noqa: S603 - no shell; the path is the administrator's own  # nosec B603
                command,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=clean_environment(os.environ),
                start_new_session=True,
            )
    except OSError as exc:
        raise ToolError(f"cannot be started ({exc.strerror})") from exc
    with process:
        try:
            assert process.stdout is not None  # noqa: S101 - for the type checker: it was asked for  # nosec B101
            answer = _read(process.stdout, deadline)
            ended = process.wait(max(deadline - time.monotonic(), 0))
        except (TimeoutError, subprocess.TimeoutExpired) as exc:
            raise ToolError("did not answer within its time limit") from exc
        finally:
            _kill(process)
    if ended != 0:
        raise ToolError(f"ended with {ended}")
    return answer


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What any program needs. Tokens and keys may stand in the rest: they are not for the tool."""
    return {name: value for name, value in environment.items() if name in _PASSED_ON or name.startswith("LC_")}


@contextmanager
def tidied_on_sigterm() -> Iterator[None]:
    """SIGTERM ends the process as `sys.exit` does, so that what is open is closed and what is private is removed.

    Only where nobody has decided otherwise, and in the main thread: in others, signals cannot be handled.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _exit(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


def _read(stream: IO[bytes], deadline: float) -> bytes:
    """All that comes until the stream ends; raises `TimeoutError`, and `ToolError` where it is too much."""
    answer = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            if selector.select(left):
                portion = os.read(stream.fileno(), _PORTION)
                if not portion:
                    return bytes(answer)
                answer += portion
                if len(answer) > LONGEST_ANSWER:
                    raise ToolError(f"printed more than {LONGEST_ANSWER} bytes")
    raise TimeoutError


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Ends the tool and what it has started. Once it has been waited for, its number may be somebody else's."""
    if process.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
