import time
from threading import Event

import pytest

from ledger.errors import Unreachable
from processors.web.kept import LASTS, Kept


class Made:
    """Counts how often it was made, at a time that a test sets; while `may_go_on` is not set, making it takes."""

    def __init__(self) -> None:
        self.now = 0.0
        self.times = self.tries = 0
        self.away = False
        self.may_go_on = Event()
        self.may_go_on.set()
        self.kept = Kept(self._make, lambda: self.now)

    def _make(self) -> int:
        self.tries += 1
        self.may_go_on.wait(10)
        if self.away:
            raise Unreachable("PostgreSQL is away.")
        self.times += 1
        return self.times

    def get_another_than(self, value: int) -> int:
        """What whoever asks again and again gets in the end."""
        deadline = time.monotonic() + 10
        while (found := self.kept.get()) == value and time.monotonic() < deadline:
            time.sleep(0.001)
        return found


def test_nothing_is_made_while_nobody_asks_or_it_is_new() -> None:
    made = Made()
    with made.kept.made_beforehand():
        assert (made.kept.get(), made.kept.get()) == (1, 1)
        made.now = LASTS - 1
        assert made.kept.get() == 1
        made.now = 100 * LASTS
    assert made.tries == 1


def test_whoever_asks_for_an_old_one_has_it_at_once_and_whoever_asks_after_the_next() -> None:
    made = Made()
    assert made.kept.get() == 1
    made.now = LASTS
    made.may_go_on.clear()
    assert (made.kept.get(), made.kept.get()) == (1, 1), "one is being made meanwhile, and nobody waits for it"
    made.may_go_on.set()
    assert made.get_another_than(1) == 2
    assert made.tries == 2


def test_whoever_asks_when_there_is_none_is_told_what_is_wrong() -> None:
    made = Made()
    made.away = True
    with pytest.raises(Unreachable):
        made.kept.get()
    made.away = False
    assert made.kept.get() == 1


def test_what_could_not_be_made_leaves_the_old_one_and_is_tried_again() -> None:
    made = Made()
    assert made.kept.get() == 1
    made.away, made.now = True, LASTS
    assert made.kept.get() == 1
    deadline = time.monotonic() + 10
    while made.tries < 2 and time.monotonic() < deadline:
        time.sleep(0.001)
    made.away, made.now = False, 2 * LASTS
    assert made.get_another_than(1) == 2
