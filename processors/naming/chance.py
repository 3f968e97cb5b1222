"""Chance that can be repeated, for tests and demonstrations.

Names for use come from the randomness of the operating system.
"""

from __future__ import annotations

from hashlib import shake_256
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def seeded(text: str) -> Callable[[int], int]:
    """A function that takes the place of `secrets.randbelow`; the same text gives the same numbers.

    It is built on SHAKE-256, because Python does not promise that `random` gives the same numbers for ever.
    """
    seed = text.encode()
    turns = count()

    def randbelow(limit: int) -> int:
        if limit < 1:
            raise ValueError(f"expected a limit from 1, found {limit}")
        bits = (limit - 1).bit_length()
        while True:
            block = shake_256(b"%d:%b" % (next(turns), seed)).digest(bits // 8 + 1)
            number = int.from_bytes(block) & ((1 << bits) - 1)
            # Numbers from the limit on are passed over: bending them down would favour some.
            if number < limit:
                return number

    return randbelow
