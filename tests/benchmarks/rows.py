"""What a benchmark says: figures beside the limit or peer that was measured in the same run."""

from __future__ import annotations

import os
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SCALE = float(os.environ.get("BENCH_SCALE", "0.1"))
"""1 measures at the sizes that the goals speak of."""
REPETITIONS = 3


class Row(NamedTuple):
    """One line of the table; `goal` is about the ratio of ours to the limit or peer."""

    what: str
    ours: str
    limit: str
    ratio: str
    goal: str
    met: str


class Goal(NamedTuple):
    """What the ratio of ours to the limit must be."""

    bound: float
    at_least: bool

    def __str__(self) -> str:
        return f"at {'least' if self.at_least else 'most'} {self.bound:g}"

    def holds(self, ratio: float) -> bool:
        """Whether the ratio is as it must be."""
        return ratio >= self.bound if self.at_least else ratio <= self.bound


def at_least(bound: float) -> Goal:
    """A rate is this part of the limit, or this many times the peer's."""
    return Goal(bound, at_least=True)


def at_most(bound: float) -> Goal:
    """A time, size or number is no more than this many times the limit."""
    return Goal(bound, at_least=False)


def row(
    what: str, ours: Sequence[float], unit: str, limit_name: str, limit: Sequence[float] | float, goal: Goal
) -> Row:
    """The medians of what was measured, side by side."""
    our_median = median(ours)
    limit_median = limit if isinstance(limit, int | float) else median(limit)
    ratio = our_median / limit_median
    return Row(
        what=what,
        ours=f"{_number(our_median)} {unit}",
        limit=f"{limit_name}: {_number(limit_median)} {unit}",
        ratio=f"{ratio:.2f}",
        goal=str(goal),
        met="yes" if goal.holds(ratio) else "NO",
    )


def sized(full: int, *, least: int = 0) -> int:
    """A size of the goals at the scale of this run, but not below what can be measured."""
    return max(least, int(full * SCALE))


def in_turn(*measured: Callable[[], float]) -> tuple[list[float], ...]:
    """What each of these measures, several times, one after the other in turn: what else the machine does hits all."""
    rounds = [[measure() for measure in measured] for _ in range(REPETITIONS)]
    return tuple(list(figures) for figures in zip(*rounds, strict=True))


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value >= 1 else f"{value:.3f}"
