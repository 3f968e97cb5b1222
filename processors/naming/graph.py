"""The states of a pattern with the exact number of names behind each of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING

from processors.naming.states import Cause, Drop, Move, Narrowed, Reading, State, Wrote

if TYPE_CHECKING:
    from processors.naming.alphabet import Alphabet, Letters

END = -1


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """A variable that a way decides: one of `letters`, different from the variables `apart`."""

    variable: int
    letters: Letters
    apart: tuple[int, ...]

    @property
    def choices(self) -> int:
        """How many characters it can be."""
        return len(self.letters.text) - len(self.apart)


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """A move out of a node: `first` names of the node come before it, `rest` follow each of its decisions."""

    cause: Cause
    letters: Letters
    decisions: tuple[Decision, ...]
    kept: tuple[int, ...]
    target: int
    first: int
    rest: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """A state: the number of names behind it, and the ways on.

    A *plain* node is one that no variable outlives: each of its ways reads one character and decides it.
    """

    count: int
    ways: tuple[Way, ...]
    plain: bool
    firsts: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Graph:
    """All nodes that a name can lead through, and the one where it starts."""

    nodes: tuple[Node, ...]
    start: int

    @property
    def count(self) -> int:
        """How many names there are."""
        return self.nodes[self.start].count


def explore(reading: Reading) -> Graph:
    """The graph of a program's states. Raises `PatternError` when it is too large."""
    moves = _discover(reading)
    building = _Building(alphabet=reading.alphabet)
    start = reading.start()
    for state in _targets_first(moves, start):
        building.add(state, moves[state])
    return Graph(nodes=tuple(building.nodes), start=building.places[start])


def _discover(reading: Reading) -> dict[State, list[Move]]:
    moves: dict[State, list[Move]] = {}
    ahead = [reading.start()]
    while ahead:
        state = ahead.pop()
        if state not in moves:
            moves[state] = reading.moves(state)
            ahead += [move.target for move in moves[state] if move.target is not None]
    return moves


def _targets_first(moves: dict[State, list[Move]], start: State) -> list[State]:
    """The states in an order in which every state comes after all that it leads to."""
    order = list[State]()
    entered = set[State]()
    stack = [(start, False)]
    while stack:
        state, left = stack.pop()
        if left:
            order.append(state)
        elif state not in entered:
            entered.add(state)
            stack.append((state, True))
            stack += [(move.target, False) for move in moves[state] if move.target is not None]
    return order


@dataclass(kw_only=True)
class _Building:
    alphabet: Alphabet
    nodes: list[Node] = field(default_factory=list)
    places: dict[State, int] = field(default_factory=dict)

    def add(self, state: State, moves: list[Move]) -> None:
        ways = list[Way]()
        count = 0
        for move in moves:
            target = END if move.target is None else self.places[move.target]
            rest = 1 if target == END else self.nodes[target].count
            decisions = tuple(self.decision(drop) for drop in move.drops)
            names = rest * prod(decision.choices for decision in decisions)
            if names:
                ways.append(
                    Way(
                        cause=move.cause,
                        letters=self.letters(move.cause),
                        decisions=decisions,
                        kept=move.kept,
                        target=target,
                        first=count,
                        rest=rest,
                    )
                )
            count += names
        plain = not state.variables and not any(way.kept for way in ways)
        firsts = tuple(way.first for way in ways)
        self.places[state] = len(self.nodes)
        self.nodes.append(Node(count=count, ways=tuple(ways), plain=plain, firsts=firsts))

    def decision(self, drop: Drop) -> Decision:
        return Decision(variable=drop.variable, letters=self.alphabet.letters(drop.mask), apart=drop.apart)

    def letters(self, cause: Cause) -> Letters:
        mask = cause.mask if isinstance(cause, Wrote | Narrowed) else 0
        return self.alphabet.letters(mask)
