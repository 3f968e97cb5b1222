"""A page that takes a while to make: it is made beforehand, so that nobody waits for it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Lock, Thread
from time import monotonic
from typing import Final, Generic, TypeVar

Value = TypeVar("Value")

EVERY: Final = 45.0
"""So many seconds after one was made, the next is begun."""

LONGEST: Final = 60.0
"""What is older is not shown any more: whoever asks waits for the next."""


class Kept(Generic[Value]):
    """What `make` gives, at most a minute old."""

    def __init__(self, make: Callable[[], Value], clock: Callable[[], float] = monotonic, every: float = EVERY) -> None:
        self._make = make
        self._clock = clock
        self._every = every
        self._kept: tuple[float, Value] | None = None
        self._being_made = Lock()

    def get(self) -> Value:
        """The newest one. Where there is none, it is made, and whatever making it raises is raised."""
        kept = self._current
        if kept is None:
            with self._being_made:
                kept = self._current or self._renewed()
        return kept[1]

    @contextmanager
    def renewed(self) -> Iterator[None]:
        """Until it ends, a thread makes the next one in time."""
        ended = Event()
        thread = Thread(target=self._renew, args=(ended,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _renew(self, ended: Event) -> None:
        while not ended.is_set():
            # Whoever asks when the newest is too old is told of an error, which is still there then, or gone.
            with suppress(Exception), self._being_made:
                self._renewed()
            ended.wait(self._every)

    @property
    def _current(self) -> tuple[float, Value] | None:
        kept = self._kept
        return None if kept is None or self._clock() - kept[0] >= LONGEST else kept

    def _renewed(self) -> tuple[float, Value]:
        begun = self._clock()
        self._kept = (begun, self._make())
        return self._kept
