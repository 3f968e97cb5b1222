"""Drawing names without replacement.

The unused names are numbered by their ranks with the gaps closed; numbers are drawn by a shuffle
(Fisher-Yates) of which only the places are kept that have been touched. So nothing is tried twice, the last
name is found as fast as the first, and memory grows with what is used and drawn, never with the pattern.
"""

from __future__ import annotations

import secrets
from bisect import bisect_right
from typing import TYPE_CHECKING

from processors.naming.errors import Exhausted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from processors.naming.pattern import Pattern


class Sampler:
    """The names of a pattern that are not in `used`; each is drawn once, all with equal likelihood.

    Entries of `used` that are no names of the pattern make no difference.
    """

    def __init__(self, pattern: Pattern, used: Collection[str]) -> None:
        self.pattern = pattern
        ranks = sorted({rank for rank in map(pattern.find, used) if rank is not None})
        self._gaps = [rank - below for below, rank in enumerate(ranks)]
        self._moved: dict[int, int] = {}
        self.left = pattern.count - len(ranks)

    def draw(self, randbelow: Callable[[int], int] = secrets.randbelow) -> str:
        """One more name. Raises `Exhausted` when none is left."""
        self.require(1)
        index = randbelow(self.left)
        self.left -= 1
        # The last number takes the place of the drawn one, so that those left are always the first `left`.
        drawn = self._moved.get(index, index)
        last = self._moved.pop(self.left, self.left)
        if index != self.left:
            self._moved[index] = last
        return self.pattern.unrank(drawn + bisect_right(self._gaps, drawn))

    def require(self, wanted: int) -> None:
        """Raise `Exhausted` unless that many names are left."""
        if self.left < wanted:
            count = self.pattern.count
            raise Exhausted(pattern=self.pattern.text, count=count, used=count - self.left, wanted=wanted)


def draw(
    pattern: Pattern, used: Collection[str], n: int, randbelow: Callable[[int], int] = secrets.randbelow
) -> list[str]:
    """`n` names that are not in `used`, every sequence of different ones as likely as any other.

    Raises `Exhausted`, before anything is drawn, when fewer than `n` are left.
    """
    if n < 0:
        raise ValueError(f"expected a number of names from 0, found {n}")
    sampler = Sampler(pattern, used)
    sampler.require(n)
    return [sampler.draw(randbelow) for _ in range(n)]
