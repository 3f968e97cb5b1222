"""Where a run's time goes: what is waited for REDCap and for PostgreSQL, what is computed, and the rest.

The rest is neither computed nor waited for one of the two: the disk, mostly, and other programs that have the
processor. Nothing is measured unless somebody asks for it.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, NamedTuple

Server = Literal["REDCap", "PostgreSQL"]


class Reading(NamedTuple):
    """What the stopwatch shows at a moment, in seconds: time gone by, and of that computed and waited."""

    wall: float
    computed: float
    waited: Mapping[Server, float]

    def since(self, earlier: "Reading") -> dict[str, float]:
        """Where the time since then went."""
        waited: dict[str, float] = {server: took - earlier.waited[server] for server, took in self.waited.items()}
        computed = self.computed - earlier.computed
        rest = self.wall - earlier.wall - computed - sum(waited.values())
        return {**waited, "disk": max(rest, 0.0), "Python": computed}


class Stopwatch:
    """Measures one thread, the one that made it: what others wait for meanwhile keeps nobody waiting."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._waited: dict[Server, float] = {"REDCap": 0.0, "PostgreSQL": 0.0}
        self._computed_waiting = 0.0
        self._inner = (0.0, 0.0)

    @contextmanager
    def waiting(self, server: Server) -> Iterator[None]:
        """Meanwhile, a server is waited for; what is computed meanwhile counts as waiting, too."""
        if threading.get_ident() != self._thread:
            yield
            return
        outer, self._inner = self._inner, (0.0, 0.0)
        wall, computed = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            waited, computed = time.perf_counter() - wall, time.thread_time() - computed
            # What was waited within for another server is that one's already.
            self._waited[server] += waited - self._inner[0]
            self._computed_waiting += computed - self._inner[1]
            self._inner = (outer[0] + waited, outer[1] + computed)

    def read(self) -> Reading:
        """What it shows now."""
        return Reading(time.perf_counter(), time.thread_time() - self._computed_waiting, dict(self._waited))
