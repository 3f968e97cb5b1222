import time

import pytest

from ledger.errors import Unreachable
from processors.web.kept import LONGEST, Kept


class Made:
    """Counts how often it was made, at a time that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0
        self.times = self.tries = 0
        self.away = False
        self.kept = Kept(self._make, lambda: self.now, every=0.01)

    def _make(self) -> int:
        self.tries += 1
        if self.away:
            raise Unreachable("PostgreSQL is away.")
        self.times += 1
        return self.times

    def try_again(self) -> None:
        """Waits until making it was begun and ended once more."""
        tried, deadline = self.tries, time.monotonic() + 10
        while self.tries < tried + 2 and time.monotonic() < deadline:
            time.sleep(0.001)
        assert self.tries >= tried + 2


def test_it_is_kept_for_a_minute_and_no_longer() -> None:
    made = Made()
    assert (made.kept.get(), made.kept.get()) == (1, 1)
    made.now = LONGEST - 1
    assert made.kept.get() == 1
    made.now = LONGEST
    assert made.kept.get() == 2


def test_nobody_waits_for_it_while_it_is_renewed_whatever_went_wrong_in_between() -> None:
    made = Made()
    with made.kept.renewed():
        made.try_again()
        made.away = True
        made.try_again()
        made.away = False
        made.try_again()
        assert made.kept.get() > 1
    ended = made.tries
    time.sleep(0.03)
    assert made.tries == ended


def test_whoever_asks_when_there_is_none_is_told_what_is_wrong() -> None:
    made = Made()
    made.away = True
    with pytest.raises(Unreachable):
        made.kept.get()
    made.away = False
    assert made.kept.get() == 1
