"""A receiver that lays out summaries as the real one does, at the time of a clock that is set."""

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from processors.gateway import Gateway

SETTLED = 120.0


class Receiver:
    """Writes below `raw`. File systems count time in steps, so two changes may share one mtime."""

    def __init__(self, raw: Path, clock: Callable[[], datetime]) -> None:
        self.raw = raw
        self.clock = clock
        self._writes = 0
        raw.mkdir(exist_ok=True)

    def summary(self, study: str, series: str, *, age: float = SETTLED, **values: Any) -> Path:
        """A summary, `age` seconds old."""
        document = {"StudyInstanceUID": study, "SeriesInstanceUID": series, "PatientID": "P1"} | values
        return self.file(f"{study}/{series}.json", orjson.dumps(document), age=age)

    def file(self, path: str | bytes, content: bytes, *, age: float = SETTLED) -> Path:
        """Any file, put into place by renaming."""
        place = self.raw / os.fsdecode(path)
        place.parent.mkdir(exist_ok=True)
        waiting = place.parent / ".incoming"
        waiting.write_bytes(content)
        waiting.rename(place)
        self.age(place, age)
        return self._changed(place)

    def in_place(self, place: Path, content: bytes, *, age: float = SETTLED) -> None:
        """Edits a file without its folder noticing."""
        place.write_bytes(content)
        self.age(place, age)

    def made(self, place: Path, *, age: float = SETTLED) -> Path:
        """Something that a test has put into a folder itself."""
        self.age(place, age)
        return self._changed(place)

    def remove(self, place: Path) -> None:
        place.unlink()
        self._changed(place)

    def age(self, place: Path, seconds: float) -> None:
        self._writes += 1
        moment = self._now_ns() - int(seconds * 1e9) + self._writes
        os.utime(place, ns=(moment, moment), follow_symlinks=False)

    def _changed(self, place: Path) -> Path:
        # The real clock runs elsewhere: the folder gets the time that it is here, half a minute ago.
        self.age(place.parent, 30)
        return place

    def _now_ns(self) -> int:
        return int(self.clock().timestamp()) * 1_000_000_000


def history(gateway: Gateway) -> list[tuple[str, dict[str, Any]]]:
    """Type and data of every event, without what is another in each ledger: it depends on the keys."""
    from ledger import store

    with gateway.begin() as work:
        return [(event.type, without_keyed(event.data)) for event in store.read(work.connection)]


def without_keyed(data: dict[str, Any]) -> dict[str, Any]:
    """What an event says in plain, without what depends on its subject's key."""
    return {name: value for name, value in data.items() if name not in KEYED}


KEYED = ("accession", "fingerprint", "study_fingerprint", "identity_fingerprint")


def types(gateway: Gateway) -> list[str]:
    """The type of every event."""
    return [type_ for type_, _ in history(gateway)]
