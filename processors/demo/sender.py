"""A stand-in for the sender: the programs that carry transfer requests out, as hospitals run them.

They decide what leaves the hospital, so it does what they do, their faults included. It works on the simulator's
project with the form `transfers`, on the folder of summaries, and on three folders of its own. It never sleeps:
its caller says what time it is and when which program runs.

| program | usually runs |
|---|---|
| `create_transfer_requests` | every minute |
| `anonymize_and_send` | every 5 to 10 minutes, one batch at a time |
| `resend_project` | every hour, or by hand |
| `clear_old_files` | every hour |
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from processors.demo.simulator import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping
    from pathlib import Path

    from processors.demo.simulator import Project

NOT_PSEUDONYMISED: Final = "1"
NOT_SENT: Final = "2"
MASKED: Final = "3"
"""The codes of transfer_error. The last one is information: pixels were masked, and the study was sent."""

_FORM: Final = "transfers"
_MINUTE: Final = "%Y-%m-%d %H:%M"
_COMPLETE: Final = "2"
_UNVERIFIED: Final = "1"
_MESSAGES: Final = {
    NOT_PSEUDONYMISED: "the study could not be pseudonymised",
    NOT_SENT: "no connection to the archive",
}


class Taken(NamedTuple):
    """A request file as it was read: what its row said when the file was written, and the file's name."""

    study: str
    project: str
    name: str
    event_name: str
    instance: int
    file: str


class Sent(NamedTuple):
    """What left the hospital: a study as its request file said, and the study UIDs under which it went."""

    request: Taken
    mapped_uids: tuple[str, ...]


class Step(NamedTuple):
    """What a batch has just done; `request` is None where it has read the queue."""

    done: Literal["read", "tried", "written", "moved"]
    request: Taken | None


@dataclass(kw_only=True)
class Sender:
    """The four programs, on `transfers` (the project with that form), the summaries in `raw` and its own folders.

    `clock` gives the time with its zone. `ticks` are the codes that the next attempts to send a study end with;
    `parts` the number of studies that a study becomes by being pseudonymised, where that is not one. `sent` is
    all that has left the hospital, in order.
    """

    transfers: Project
    raw: Path
    queue: Path
    done: Path
    fail: Path
    clock: Callable[[], datetime]
    ticks: dict[str, frozenset[str]] = field(default_factory=dict)
    parts: dict[str, int] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)
    _sending: bool = False

    def __post_init__(self) -> None:
        for folder in (self.queue, self.done, self.fail):
            folder.mkdir(parents=True, exist_ok=True)

    def create_transfer_requests(self) -> list[str]:
        """Writes a file for each row that was never tried, or that a late series came after; gives their names."""
        return self._write_files(lambda row: not row["transfer_date"] or self._has_late_series(row))

    def resend_project(self, project: str | None = None) -> list[str]:
        """Writes a file for each row, of all projects or one, that was requested after it was tried."""
        return self._write_files(
            lambda row: (
                row["transfer_requested_date"] > row["transfer_date"] != ""
                and project in (None, row["transfer_project_name"])
            )
        )

    def anonymize_and_send(self) -> Generator[Step]:
        """Works through the files that lie in the queue now, newest first. Between two steps anything may happen.

        To kill it in the middle, close it. While a batch is under way, another one ends without a step.
        """
        if self._sending:
            return
        self._sending = True
        try:
            batch = self._read()
            yield Step("read", None)
            for request in batch:
                yield from self._carry_out(request)
        finally:
            self._sending = False

    def clear_old_files(self, capacity: int) -> list[str]:
        """Deletes the oldest studies until a fifth of a disk of `capacity` bytes is free; gives what it deleted."""
        sizes = {study: _size(study) for study in self.raw.iterdir() if study.is_dir()}
        deleted = []
        for study in sorted(sizes, key=lambda study: (_newest(study) or 0, study.name)):
            if sum(sizes.values()) * 5 <= capacity * 4:
                break
            shutil.rmtree(study)
            del sizes[study]
            deleted.append(study.name)
        return deleted

    def _write_files(self, is_due: Callable[[Mapping[str, str]], bool]) -> list[str]:
        written = []
        for stored in self.transfers.rows():
            row = {column: str(value) for column, value in stored.items()}
            is_complete = row["transfer_project_name"] and row["transfer_name"]
            if row["redcap_repeat_instrument"] == _FORM and is_complete and is_due(row):
                path = self.queue / _file_name(row)
                if not path.exists():
                    self._write_file(path, row)
                    written.append(path.name)
        return written

    def _write_file(self, path: Path, row: Mapping[str, str]) -> None:
        path.write_text(json.dumps(row), encoding="utf-8")
        written_at = self.clock().timestamp()
        os.utime(path, (written_at, written_at))

    def _has_late_series(self, row: Mapping[str, str]) -> bool:
        newest = _newest(self.raw / row[self._record_id])
        if newest is None:
            return False
        tried_at = datetime.strptime(row["transfer_date"], _MINUTE).replace(tzinfo=self.clock().tzinfo)
        return newest > tried_at.timestamp()

    def _read(self) -> list[Taken]:
        newest_first = sorted(self.queue.glob("*.json"), key=lambda path: (-path.stat().st_mtime, path.name))
        return [self._taken(path) for path in newest_first]

    def _taken(self, path: Path) -> Taken:
        row = json.loads(path.read_text(encoding="utf-8"))
        return Taken(
            study=row[self._record_id],
            project=row["transfer_project_name"],
            name=row["transfer_name"],
            event_name=row["transfer_event_name"],
            instance=int(row["redcap_repeat_instance"]),
            file=path.name,
        )

    def _carry_out(self, request: Taken) -> Iterator[Step]:
        if not (self.raw / request.study).is_dir():
            # Nothing is said in REDCap, and the next minute writes the file anew.
            yield self._moved(request, failed=True)
            return
        begun = self.clock()
        ticks = self.ticks.get(request.study, frozenset())
        mapped_uids = () if NOT_PSEUDONYMISED in ticks else self._mapped_uids(request)
        failed = not ticks.isdisjoint(_MESSAGES)
        if not failed:
            self.sent.append(Sent(request, mapped_uids))
        yield Step("tried", request)
        self._write_row(request, ticks, mapped_uids, begun)
        yield Step("written", request)
        yield self._moved(request, failed=failed)

    def _mapped_uids(self, request: Taken) -> tuple[str, ...]:
        """Always the same for a study in a project, as pseudonymising makes them."""
        of_study = f"{request.study} in {request.project}"
        digest = int(hashlib.sha256(of_study.encode()).hexdigest()[:24], 16)
        return tuple(f"2.25.{digest + part}" for part in range(self.parts.get(request.study, 1)))

    def _write_row(self, request: Taken, ticks: frozenset[str], mapped_uids: tuple[str, ...], begun: datetime) -> None:
        """Writes what came of it into the instance of which the file was made, whatever stands there now."""
        now = self.clock()
        messages = [message for code, message in _MESSAGES.items() if code in ticks]
        row = {
            self._record_id: request.study,
            "redcap_repeat_instrument": _FORM,
            "redcap_repeat_instance": request.instance,
            "transfer_date": now.strftime(_MINUTE),
            "transfer_mapped_uid": ",".join(mapped_uids),
            "transfer_active_proc_time": str(int((now - begun).total_seconds())),
            "transfer_error_message": json.dumps({"message": messages}) if messages else "",
            "transfers_complete": _UNVERIFIED if messages else _COMPLETE,
        }
        row |= {f"transfer_error___{code}": str(int(code in ticks)) for code in (NOT_PSEUDONYMISED, NOT_SENT, MASKED)}
        # It does not read REDCap's answer: of what is refused, such as in a locked record, it knows nothing.
        with suppress(Refusal):
            self.transfers.put([row])

    def _moved(self, request: Taken, *, failed: bool) -> Step:
        target = (
            self.fail / f"{request.file}_fail.log"
            if failed
            else self.done / f"{request.file}_ok_{self.clock().strftime('%Y%m%d%H%M%S')}.log"
        )
        # Somebody may have taken the file back after the batch had read it.
        with suppress(FileNotFoundError):
            (self.queue / request.file).rename(target)
        return Step("moved", request)

    @property
    def _record_id(self) -> str:
        return self.transfers.dictionary.record_id


def _file_name(row: Mapping[str, str]) -> str:
    columns = ("study_instance_uid", "transfer_project_name", "transfer_name", "redcap_repeat_instance")
    return "_".join(row[column] for column in columns) + ".json"


def _newest(study: Path) -> float | None:
    """When the newest of the study's summaries was written; None where there is none."""
    return max((path.stat().st_mtime for path in study.glob("*.json")), default=None)


def _size(study: Path) -> int:
    return sum(path.stat().st_size for path in study.rglob("*") if path.is_file())
