import time

import pytest

from ledger.errors import Unreachable
from processors.web.kept import FRESH, LONGEST, Kept


class Made:
    """Counts how often it was made, at a time that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0
        self.times = 0
        self.away = False
        self.kept = Kept(self._make, lambda: self.now)

    def _make(self) -> int:
        if self.away:
            raise Unreachable("PostgreSQL is away.")
        self.times += 1
        return self.times

    def wait_for(self, times: int) -> None:
        deadline = time.monotonic() + 10
        while self.times < times and time.monotonic() < deadline:
            time.sleep(0.001)
        assert self.times == times


def test_it_is_shown_while_the_next_is_made_and_never_when_it_is_a_minute_old() -> None:
    made = Made()
    assert (made.kept.get(), made.kept.get()) == (1, 1)
    made.now = FRESH
    assert made.kept.get() == 1
    made.wait_for(2)
    made.now += LONGEST
    assert made.kept.get() == 3


def test_whoever_asks_when_there_is_none_is_told_what_is_wrong() -> None:
    made = Made()
    made.away = True
    with pytest.raises(Unreachable):
        made.kept.get()
    made.away = False
    assert made.kept.get() == 1
