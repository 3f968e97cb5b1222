"""A page that takes a while to make: the newest one is shown while the next is being made."""

from collections.abc import Callable
from contextlib import suppress
from threading import Lock, Thread
from time import monotonic
from typing import Final, Generic, TypeVar

from ledger.errors import LedgerError

Value = TypeVar("Value")

FRESH: Final = 10.0
"""For so many seconds nothing is made anew."""

LONGEST: Final = 60.0
"""What is older is not shown any more: whoever asks waits for the next."""


class Kept(Generic[Value]):
    """What `make` gives, at most a minute old."""

    def __init__(self, make: Callable[[], Value], clock: Callable[[], float] = monotonic) -> None:
        self._make = make
        self._clock = clock
        self._kept: tuple[float, Value] | None = None
        self._being_made = Lock()

    def get(self) -> Value:
        """The newest one; the next is begun where it is not fresh. Raises what making it raises where there is none."""
        kept = self._kept
        age = LONGEST if kept is None else self._clock() - kept[0]
        if kept is None or age >= LONGEST:
            with self._being_made:
                return self._renewed()
        if age >= FRESH and self._being_made.acquire(blocking=False):
            Thread(target=self._renew_behind, daemon=True).start()
        return kept[1]

    def _renew_behind(self) -> None:
        # Whoever asks when it is too old is told of an error, which is still there then, or gone.
        try:
            with suppress(LedgerError):
                self._renewed()
        finally:
            self._being_made.release()

    def _renewed(self) -> Value:
        begun = self._clock()
        value = self._make()
        self._kept = (begun, value)
        return value
