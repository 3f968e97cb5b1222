"""A REDCap that takes its time for each call and each row, as a real one does; a server in this process."""

from __future__ import annotations

import time
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from processors.demo.simulator import Simulator, standard_projects
from tests.benchmarks.site import Redcap

if TYPE_CHECKING:
    from processors.demo.simulator.replies import Reply

A_CALL, A_ROW = 0.02, 0.002
"""Seconds."""
TAKES = f"{A_CALL * 1000:g} ms a call, {A_ROW * 1000:g} ms a row"


class Worked(NamedTuple):
    """When REDCap worked on a call, and on which."""

    action: str
    began: float
    ended: float


class SlowRedcap(Simulator):
    """`worked` tells when it did; `waits` are the seconds from each saved entry to its request."""

    def __init__(self) -> None:
        super().__init__(standard_projects())
        self.worked: list[Worked] = []
        self.waits: list[float] = []
        self._saved: dict[bytes, float] = {}
        self._lock = Lock()

    def handle(self, address: str, body: bytes, content_type: str) -> Reply:
        """Answers one call when it has taken its time."""
        began = time.monotonic()
        reply = super().handle(address, body, content_type)
        call = self.calls[-1]
        time.sleep(max(0.0, A_CALL + A_ROW * call.rows - (time.monotonic() - began)))
        with self._lock:
            self.worked.append(Worked(call.action, began, time.monotonic()))
            if call.action == "import":
                for subject in [subject for subject in self._saved if subject in body]:
                    self.waits.append(time.monotonic() - self._saved.pop(subject))
        return reply

    def reached(self) -> Redcap:
        """Where it is, for a site without auto-ID."""
        wanted = ("incoming", "coupling", "routing")
        return Redcap(url=self.url, tokens={name: self.projects[name].token for name in wanted})

    @property
    def imports(self) -> list[Worked]:
        """When it worked on imports."""
        return [work for work in self.worked if work.action == "import"]

    def busy(self, since: float, until: float) -> float:
        """The seconds between these moments in which it worked."""
        return sum(
            min(work.ended, until) - max(work.began, since)
            for work in self.worked
            if work.began < until and work.ended > since
        )

    def save_entry(self, number: int) -> None:
        """Somebody saves an entry for the study of that number."""
        subject = f"H-{number:06d}"
        entry = {
            "record_id": str(number + 1),
            "cl_accessionnumber": f"ACC{number:08d}",
            "cl_projectname": "Heart Study",
            "cl_subjectid": subject,
            "cl_date": "2026-03-01 08:00",
        }
        with self._lock:
            self._saved[subject.encode()] = time.monotonic()
        self.projects["coupling"].put([entry])
