"""Which times can be relied on: stored ones that lie ahead say nothing, and our clock is compared with others'. Pure.

A clock can be a year ahead for one run. What that run has stored must not put anything off for a year: so no
decision looks at a stored time but by `believed`, `is_due` or, in SQL, `due`. And no run decides anything while its
clock contradicts PostgreSQL's or REDCap's by hours: one of them is wrong, and nobody knows which.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Final

from processors.errors import WrongClock

TOLD_FROM: Final = timedelta(minutes=5)
"""A difference that people are told of, though runs go on."""

_HOURS_FROM: Final = timedelta(minutes=120)
_DAYS_FROM: Final = timedelta(hours=48)


def believed(stored: datetime | None, now: datetime) -> datetime | None:
    """The stored time; None where there is none, or it lies ahead: a clock was wrong when it was stored, or is now."""
    return stored if stored is not None and stored <= now else None


def is_due(last: datetime | None, now: datetime, after: timedelta) -> bool:
    """Whether so much time has passed since `last`, as far as that is known: once too often rather than never again."""
    known = believed(last, now)
    return known is None or now - known >= after


def due(column: str) -> str:
    """`is_due` as SQL, of a column and the parameters :now and :before, which is so much earlier."""
    return f"(({column} > :before and {column} <= :now) is not true)"


def duration(time: timedelta) -> str:
    """How long that is, to the minute, hour or day."""
    if time < _HOURS_FROM:
        minutes = int(time / timedelta(minutes=1))
        return {0: "less than a minute", 1: "1 minute"}.get(minutes, f"{minutes} minutes")
    return f"{int(time / timedelta(hours=1))} hours" if time < _DAYS_FROM else f"{time.days} days"


class ClockComparison:
    """Our clock beside those of others; `differences` are the largest yet, by whose, positive where ours is ahead.

    `newest` are those that were heard last.
    """

    def __init__(self, clock: Callable[[], datetime], *, tolerance: timedelta) -> None:
        self._clock = clock
        self.tolerance = tolerance
        self.differences: dict[str, timedelta] = {}
        self.newest: dict[str, timedelta] = {}

    def hear(self, whose: str, theirs: datetime) -> None:
        """Takes note of what somebody's clock says. Raises `WrongClock` where ours says something quite different."""
        ours = self._clock()
        difference = self.newest[whose] = ours - theirs
        if abs(difference) > abs(self.differences.get(whose, timedelta(0))):
            self.differences[whose] = difference
        if abs(difference) > self.tolerance:
            raise WrongClock(
                f"This machine's clock says {_shown(ours)}, that of {whose} {_shown(theirs.astimezone(ours.tzinfo))}; "
                f"expected a difference of {self.tolerance / timedelta(minutes=1):g} minutes at most. Nothing is "
                "decided by a time that may be wrong: have the wrong clock set (on Linux, `timedatectl` shows whether "
                "it is synchronised). The next run goes on by itself."
            )

    def warnings(self) -> Iterator[str]:
        """What is to be said of clocks that differ by minutes."""
        for whose, difference in self.differences.items():
            if abs(difference) >= TOLD_FROM:
                minutes = abs(difference) / timedelta(minutes=1)
                side = "ahead of" if difference > timedelta(0) else "behind"
                yield f"This machine's clock is {minutes:.0f} minutes {side} that of {whose}: have the wrong one set."


def _shown(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"
