"""When calls are due so that no minute holds more than so many of them: the generic cell rate algorithm (leaky bucket).

One time is all the memory it needs: `next_call_at`, when the next call is due. A call moves it one
`interval` on, from where it was; but it never lies further back than the `allowance`, which is what a
pause earns: a burst of calls without waiting.

Why the bound holds, for N calls a minute, a burst of B and interval T = 60 s / (N - B + 1), rounded up:
the n-th call of any row of calls comes at least (n - B) * T after the first. If all n lie within less
than a minute, then (n - B) * T < 60 s <= (N - B + 1) * T, hence n <= N.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

MINUTE: Final = timedelta(minutes=1)
_STEP: Final = timedelta.resolution
# A burst of a fifth serves an idle run without waiting and still leaves four fifths of the steady rate.
_BURST_SHARE: Final = 5
# What processes that wait for each other may book ahead. Beyond it, a clock must have been set back: to
# wait until it has caught up would stop all runs for as long. Each process has one call booked, so at
# the default rate two minutes are room for hundreds; at a few calls a minute, some must still fit.
_FARTHEST: Final = timedelta(minutes=2)
_WAITING: Final = 10


@dataclass(frozen=True, kw_only=True)
class Rate:
    """A burst and a rate that together stay within a number of calls in any minute."""

    interval: timedelta
    allowance: timedelta


class Slot(NamedTuple):
    """When one call may be made, and when the one after it is due."""

    due: datetime
    next_call_at: datetime


def rate(calls_per_minute: int) -> Rate:
    """The rate for so many calls in any minute, one at least."""
    if calls_per_minute < 1:
        raise ValueError(f"expected at least one call a minute, found {calls_per_minute}")
    burst = max(1, calls_per_minute // _BURST_SHARE)
    interval = -(-MINUTE // (_STEP * (calls_per_minute - burst + 1))) * _STEP
    return Rate(interval=interval, allowance=interval * (burst - 1))


def reserve(next_call_at: datetime | None, now: datetime, rate: Rate) -> Slot:
    """The slot of a call that is asked for now; `next_call_at` None: the first call ever.

    A time too far ahead stems from a clock that was set back. The call then waits a whole minute, after
    which no earlier call can count any more. Up to ten callers at once are never taken for that.
    """
    if next_call_at is None:
        next_call_at = now - rate.allowance
    elif next_call_at - now > max(_FARTHEST, _WAITING * rate.interval):
        next_call_at = now + MINUTE
    start = max(next_call_at, now - rate.allowance)
    return Slot(due=max(now, start), next_call_at=start + rate.interval)
