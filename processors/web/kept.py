"""What takes a while to make: whoever asks gets what was made last, and the next one is made for whoever asks after."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from time import monotonic
from typing import Final, Generic, TypeVar

Value = TypeVar("Value")

LASTS: Final = 60.0
"""So many seconds after one was begun, it is new enough."""


class Kept(Generic[Value]):
    """What `make` gave the last time; nothing is made while nobody asks."""

    def __init__(self, make: Callable[[], Value], clock: Callable[[], float] = monotonic) -> None:
        self._make = make
        self._clock = clock
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kept")
        self._lock = Lock()
        self._begun = 0.0
        self._newest: Future[Value] | None = None
        self._next: Future[Value] | None = None

    def get(self) -> Value:
        """The newest one, at once; another one is begun where it is old. Where there is none, it is waited for.

        Whatever making it raises is raised where there is none.
        """
        with self._lock:
            self._take_over()
            wanted = self._newest or self._next or self._begin()
            if self._next is None and self._clock() - self._begun >= LASTS:
                self._begin()
        return wanted.result()

    @contextmanager
    def made_beforehand(self) -> Iterator[None]:
        """Begins the first one at once; ends when none is being made any more."""
        with self._lock:
            self._begin()
        try:
            yield
        finally:
            self._worker.shutdown()

    def _begin(self) -> Future[Value]:
        self._begun = self._clock()
        self._next = self._worker.submit(self._make)
        return self._next

    def _take_over(self) -> None:
        """What has been made is the newest; what failed is not, and is tried again when it is time for the next."""
        if self._next is not None and self._next.done():
            if self._next.exception() is None:
                self._newest = self._next
            self._next = None
