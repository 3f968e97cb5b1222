"""Where the bars of a plot stand, for a template that draws them. Pure."""

from collections.abc import Sequence
from typing import Final, NamedTuple

WIDTH: Final = 320
HEIGHT: Final = 96
_TOP: Final = 14
_GAP: Final = 2


class Bar(NamedTuple):
    """A bar from the ground up, and what it stands for."""

    x: float
    y: float
    width: float
    height: float
    label: str
    value: int


class Plot(NamedTuple):
    """Bars of one thing by day, and the highest of them."""

    title: str
    bars: Sequence[Bar]
    highest: int
    total: int


def plot(title: str, values: Sequence[tuple[str, int]]) -> Plot:
    """The values, each with its label, side by side; a value above 0 is always seen."""
    highest = max((value for _, value in values), default=0)
    step = WIDTH / max(len(values), 1)
    bars = []
    for number, (label, value) in enumerate(values):
        height = max((HEIGHT - _TOP) * value / highest, 2) if value else 0
        bars.append(
            Bar(
                round(number * step, 2),
                round(HEIGHT - height, 2),
                round(step - _GAP, 2),
                round(height, 2),
                label,
                value,
            )
        )
    return Plot(title, bars, highest, sum(value for _, value in values))
