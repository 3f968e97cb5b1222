"""The circuit breaker for rules that run out of time again and again. Pure."""

from collections import Counter
from collections.abc import Iterable


class CircuitBreaker:
    """Keeps rules out that have run out of time `often`: each time takes half a second, for thousands of studies."""

    def __init__(self, often: int) -> None:
        self._often = often
        self._times: Counter[str] = Counter()

    def note(self, late: Iterable[str]) -> None:
        """These rules (by record id) have run out of time once more."""
        self._times.update(late)

    @property
    def late(self) -> frozenset[str]:
        """The rules that ran out of time."""
        return frozenset(self._times)

    @property
    def open(self) -> frozenset[str]:
        """The rules that are not to be tried any more."""
        return frozenset(record for record, times in self._times.items() if times >= self._often)
