"""A naming pattern: which names it allows, how many, and the name of each rank."""

from __future__ import annotations

from dataclasses import dataclass, field

from processors.naming import ranks
from processors.naming.errors import PatternError
from processors.naming.graph import Graph, explore
from processors.naming.notation import read_pattern
from processors.naming.program import unroll
from processors.naming.states import Reading
from processors.naming.tree import most_characters

# Python refuses to print integers that are much longer.
MOST_NAMES = 10**4000


@dataclass(frozen=True, kw_only=True, slots=True)
class Pattern:
    """The finite set of names that a regular expression allows, in a fixed order. See `parse`.

    No name is longer than `longest`.
    """

    text: str
    count: int
    longest: int = field(repr=False)
    _graph: Graph = field(repr=False, compare=False)

    def matches(self, name: str) -> bool:
        """Whether this is one of the names."""
        return self.find(name) is not None

    def find(self, name: str) -> int | None:
        """The rank of a name, or None for any other text."""
        return ranks.rank(self._graph, name)

    def rank(self, name: str) -> int:
        """The rank of a name, from 0. Raises `ValueError` for any other text."""
        number = self.find(name)
        if number is None:
            raise ValueError(f"expected a name of the pattern {self.text!r}, found {name!r}")
        return number

    def unrank(self, number: int) -> str:
        """The name of that rank. Raises `IndexError` unless 0 <= number < count."""
        if not 0 <= number < self.count:
            raise IndexError(f"expected a rank from 0 to below {self.count}, found {number}")
        return ranks.unrank(self._graph, number)


def parse(text: str) -> Pattern:
    """The pattern that a text describes. Raises `PatternError`, which points at what is refused.

    A name matches if `re.fullmatch` says so, with three narrower readings: see
    `processors.naming.characters`.
    """
    tree = read_pattern(text)
    graph = explore(Reading(unroll(tree, text), text))
    if graph.count > MOST_NAMES:
        raise PatternError("expected a pattern with less than 10^4000 names, found more", text, 0)
    return Pattern(text=text, count=graph.count, longest=most_characters(tree), _graph=graph)
