"""The folder of checkpoints: of each day one, with who countersigned it, and its time-stamp beside it.

    2026-11-28.checkpoint   the site's note (C2SP tlog-checkpoint), below it a line for each cosignature
    2026-11-28.tsr          a time-stamp (RFC 3161) of the site's note, its first five lines
    2026-11-28.checkpoint.damaged   what stood there and was no checkpoint of this site, beside a new one
    failures.json           whom nothing was had from, since when, and why

They are plain files, so that whoever copies the folder has all that `ledger/chain.py` and openssl verify without us.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

import orjson

from ledger.chain import KeptCheckpoint, parse_kept_checkpoint
from ledger.errors import Misconfigured
from ledger.private_files import written_whole

_CHECKPOINT = ".checkpoint"
_TIMESTAMP = ".tsr"
_FAILURES = "failures.json"
_DAMAGED = ".damaged"


class Failure(NamedTuple):
    """What was not had from a witness or an authority; `since` the first time in a row, `at` the last."""

    since: datetime
    at: datetime
    words: str


class Folder:
    """The folder. Reading what cannot be read raises `Misconfigured`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def days(self) -> list[date]:
        """The days of which a checkpoint is kept, the newest first."""
        named = [file.name.removesuffix(_CHECKPOINT) for file in self.path.glob(f"*{_CHECKPOINT}")]
        return sorted((day for name in named if (day := _day(name)) is not None), reverse=True)

    def checkpoint(self, day: date) -> KeptCheckpoint:
        """The checkpoint of that day."""
        file = self._file(day, _CHECKPOINT)
        try:
            return parse_kept_checkpoint(file.read_text("utf-8"))
        except ValueError as exc:  # what is not UTF-8 included
            raise Misconfigured(f"{file} is not a checkpoint as it was kept there: {exc}.") from exc
        except OSError as exc:
            raise Misconfigured(f"{file} cannot be read: {exc.strerror}.") from exc

    def sound(self, day: date) -> KeptCheckpoint | None:
        """The checkpoint of that day; None where none is kept that can be read."""
        with suppress(Misconfigured):
            return self.checkpoint(day)
        return None

    def timestamp(self, day: date) -> bytes | None:
        """The time-stamp of that day's checkpoint."""
        file = self._file(day, _TIMESTAMP)
        try:
            return file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise Misconfigured(f"{file} cannot be read: {exc.strerror}.") from exc

    def newest_first(self) -> Iterator[tuple[date, KeptCheckpoint]]:
        """All checkpoints with their days."""
        return ((day, self.checkpoint(day)) for day in self.days())

    def sound_newest_first(self) -> Iterator[tuple[date, KeptCheckpoint]]:
        """Those that can be read."""
        return ((day, kept) for day in self.days() if (kept := self.sound(day)) is not None)

    def make(self) -> None:
        """Makes the folder, where it is not there. Raises `Misconfigured`."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise Misconfigured(f"proof.folder: {self.path} is no folder that can be used: {exc.strerror}.") from exc

    def set_aside(self, day: date) -> list[str]:
        """Puts what is kept of the day under other names; tells a person of each. Raises `Misconfigured`."""
        told = []
        for file in (self._file(day, _CHECKPOINT), self._file(day, _TIMESTAMP)):
            aside = file.with_name(file.name + _DAMAGED)
            try:
                file.replace(aside)
            except FileNotFoundError:
                continue
            except OSError as exc:
                raise Misconfigured(f"proof.folder: {file} cannot be put aside: {exc.strerror}.") from exc
            told.append(
                f"proof.folder: {file} is not as it was kept there; it stands as {aside.name} beside a new one. "
                "Compare them, and find out who wrote there."
            )
        return told

    def keep(self, day: date, note: str, cosignatures: str = "") -> None:
        """Keeps the checkpoint of a day, in the place of the same one with fewer cosignatures."""
        self._write(self._file(day, _CHECKPOINT), f"{note}{cosignatures}".encode())

    def keep_timestamp(self, day: date, token: bytes) -> None:
        """Keeps the time-stamp of that day's checkpoint."""
        self._write(self._file(day, _TIMESTAMP), token)

    def failures(self) -> dict[str, Failure]:
        """What was not had, by the name of who was asked; nothing where that cannot be read."""
        try:
            data = orjson.loads((self.path / _FAILURES).read_bytes())
            return {name: _failure(each) for name, each in data.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def keep_failures(self, failures: Mapping[str, Failure]) -> None:
        """Keeps what was not had, in the place of what was not had before."""
        if failures != self.failures():
            self._write(self.path / _FAILURES, orjson.dumps({name: each._asdict() for name, each in failures.items()}))

    def _file(self, day: date, kind: str) -> Path:
        return self.path / f"{day.isoformat()}{kind}"

    def _write(self, file: Path, content: bytes) -> None:
        try:
            with written_whole(file) as stream:
                stream.write(content)
        except OSError as exc:
            raise Misconfigured(f"proof.folder: {file} cannot be written: {exc.strerror}.") from exc


def day_of(moment: datetime) -> date:
    """The day under whose name something of that moment is kept."""
    return moment.astimezone(UTC).date()


def _day(name: str) -> date | None:
    try:
        return date.fromisoformat(name)
    except ValueError:
        return None


def _failure(data: Mapping[str, str]) -> Failure:
    return Failure(datetime.fromisoformat(data["since"]), datetime.fromisoformat(data["at"]), str(data["words"]))
