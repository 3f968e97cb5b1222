"""Long work in portions, and how far it has come."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Progress = Callable[[int, int], None]
"""Is called with how many are done and how many there are in all."""


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """The items in lists of at most `size`."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def halves(items: Sequence[Item]) -> list[Sequence[Item]]:
    """Both halves, the first of them last: taken from the end, it comes first."""
    middle = len(items) // 2
    return [items[middle:], items[:middle]]
