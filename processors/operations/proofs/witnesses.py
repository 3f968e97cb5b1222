"""Asking a witness to countersign a checkpoint: what it is asked, and what it answers, is C2SP's tlog-witness.

A command gets the request on its standard input and prints the answer: `curl --data-binary @- .../add-checkpoint` is
one. Through a folder, on whatever disk or share, the request is laid down as `request`, and the answer awaited as
`cosignature`; nothing else is asked there until it has come.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ledger.chain import KeptCheckpoint, VerifierKey, parse_kept_checkpoint
from ledger.private_files import written_whole
from processors.autoid.site_tool import ToolError, answer_of

Request = Callable[[int], str]
"""The request to a witness that has seen so many events."""

_REQUEST = "request"
_ANSWER = "cosignature"
_LONGEST_ANSWER = 65_536


class NoCosignature(Exception):
    """None was had; the message says why, as a predicate: "did not answer"."""


class Witness(Protocol):
    """Somebody elsewhere who has seen the ledger grow, by the name and key of its cosignatures."""

    key: VerifierKey

    def ask(self, seen: int, request: Request) -> tuple[KeptCheckpoint, str]:
        """Has a checkpoint countersigned by the witness, who saw the ledger when it held `seen` events.

        Gives the checkpoint that it did countersign, which may be an earlier one than was asked for now, and the line
        of its cosignature. Raises `NoCosignature`.
        """


class CommandWitness:
    """A witness asked by a command."""

    def __init__(self, key: VerifierKey, command: tuple[str, ...], time_limit: float) -> None:
        self.key = key
        self._command = command
        self._time_limit = time_limit

    def ask(self, seen: int, request: Request) -> tuple[KeptCheckpoint, str]:
        """See `Witness`. One that has seen more, or less, than we know of says so, and is asked once more."""
        asked = request(seen)
        kept, answer = _asked_for(asked), self._answer(asked)
        if answer.strip().isdecimal() and int(answer) <= kept.checkpoint.size:
            answer = self._answer(request(int(answer)))
        return kept, _own_cosignature(kept, answer, self.key)

    def _answer(self, asked: str) -> str:
        try:
            return _text(answer_of(self._command, time_limit=self._time_limit, given=asked.encode()))
        except ToolError as exc:
            raise NoCosignature(f"its command {exc}") from exc


class FolderWitness:
    """A witness that looks into a folder when it wants to."""

    def __init__(self, key: VerifierKey, folder: Path) -> None:
        self.key = key
        self._folder = folder

    def ask(self, seen: int, request: Request) -> tuple[KeptCheckpoint, str]:
        """See `Witness`."""
        asked, answer = self._folder / _REQUEST, self._folder / _ANSWER
        try:
            if not asked.exists():
                with written_whole(asked) as file:
                    file.write(request(seen).encode())
                # Whoever the folder is shared with is to read it; nothing in it is secret.
                asked.chmod(0o644)
            if not answer.exists():
                raise NoCosignature(f"has not answered yet in {answer}")
            earlier = _asked_for(asked.read_text("utf-8"))
            line = _own_cosignature(earlier, _text(answer.read_bytes()), self.key)
            answer.unlink()
            asked.unlink()
        except OSError as exc:
            raise NoCosignature(f"cannot be asked in {self._folder}: {exc.strerror}") from exc
        except ValueError as exc:
            raise NoCosignature(f"cannot be asked: {asked} is not what was asked there") from exc
        return earlier, line


def _own_cosignature(kept: KeptCheckpoint, answer: str, key: VerifierKey) -> str:
    """The line of the answer that countersigns the checkpoint with the key; others are passed over."""
    for line in answer.splitlines():
        try:
            countersigned = parse_kept_checkpoint(f"{kept.note}{line}\n")
            if countersigned.seen_at(key) is not None:
                return f"{line}\n"
        except ValueError:
            continue
    raise NoCosignature(f"answered something else than a cosignature by {key.as_line()}")


def _asked_for(request: str) -> KeptCheckpoint:
    """The checkpoint that the request is about, which stands below a blank line."""
    return parse_kept_checkpoint(request.partition("\n\n")[2])


def _text(answer: bytes) -> str:
    return answer[:_LONGEST_ANSWER].decode(errors="replace")
