"""From a number to the name of that rank, and back: one walk through the graph each.

Ways out of a node are in a fixed order and each has a known number of names behind it, so a number below
the count says which way to go and what is left of it is the number within that way. Where nothing is kept
in mind (all of a pattern without back references) a way reads one character, and that is all.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

from processors.naming.graph import END, Decision, Graph, Way
from processors.naming.states import Ended, Equalled, Narrowed, Parted, Repeated, Wrote


def unrank(graph: Graph, number: int) -> str:
    """The name of that rank; the caller has checked that it is below the count."""
    nodes = graph.nodes
    at = graph.start
    written = list[str]()
    while True:
        node = nodes[at]
        if not node.plain:
            return _Unranking(written=written).go(graph, at, number)
        way = node.ways[bisect_right(node.firsts, number) - 1]
        if way.target == END:
            return "".join(written)
        choice, number = divmod(number - way.first, way.rest)
        written.append(way.letters.text[choice])
        at = way.target


def rank(graph: Graph, name: str) -> int | None:
    """The rank of a name, or None for a text that is no name of this pattern."""
    nodes = graph.nodes
    at = graph.start
    number = 0
    for place, letter in enumerate(name):
        node = nodes[at]
        if not node.plain:
            return _Ranking(name=name, place=place, number=number).go(graph, at)
        for way in node.ways:
            choice = way.letters.places.get(letter)
            if choice is not None:
                break
        else:
            return None
        number += way.first + choice * way.rest
        at = way.target
    return _Ranking(name=name, place=len(name), number=number).go(graph, at)


@dataclass(kw_only=True, slots=True)
class _Unranking:
    """Writes a name whose characters are decided in another order than they are read.

    A character is decided when nobody needs it any longer, but it may have to differ from others that are
    decided later. So decisions are collected on the way and carried out from the last to the first.
    """

    written: list[str]
    same_as: dict[int, int] = field(default_factory=dict)
    where: list[int] = field(default_factory=list)
    postponed: list[tuple[int, int, Decision, tuple[int, ...]]] = field(default_factory=list)

    def go(self, graph: Graph, at: int, number: int) -> str:
        while at != END:
            node = graph.nodes[at]
            way = node.ways[bisect_right(node.firsts, number) - 1]
            choices, number = divmod(number - way.first, way.rest)
            self.follow(way, choices)
            at = way.target
        return self.finished()

    def follow(self, way: Way, choices: int) -> None:
        match way.cause:
            case Wrote():
                self.where.append(len(self.written))
                self.written.append("")
            case Repeated(variable=variable):
                self.same_as[len(self.written)] = self.where[variable]
                self.written.append("")
            case Equalled(variable=variable, other=other):
                self.same_as[self.where[variable]] = self.where[other]
        for decision in way.decisions:
            choices, choice = divmod(choices, decision.choices)
            apart = tuple(self.where[other] for other in decision.apart)
            self.postponed.append((self.where[decision.variable], choice, decision, apart))
        self.where = [self.where[number] for number in way.kept]

    def finished(self) -> str:
        for place, choice, decision, apart in reversed(self.postponed):
            taken = {self.at(other) for other in apart}
            self.written[place] = _pick(decision, taken, choice)
        return "".join(self.at(place) for place in range(len(self.written)))

    def at(self, place: int) -> str:
        while place in self.same_as:
            place = self.same_as[place]
        return self.written[place]


def _pick(decision: Decision, taken: set[str], choice: int) -> str:
    text = decision.letters.text
    if not taken:
        return text[choice]
    return [letter for letter in text if letter not in taken][choice]


@dataclass(kw_only=True, slots=True)
class _Ranking:
    """Reads a name; being known as a whole, it says at once what each variable stands for."""

    name: str
    place: int
    number: int
    values: list[str] = field(default_factory=list)

    def go(self, graph: Graph, at: int) -> int | None:
        while at != END:
            way = next((way for way in graph.nodes[at].ways if self.takes(way)), None)
            if way is None:
                return None
            self.follow(way)
            at = way.target
        return self.number

    def takes(self, way: Way) -> bool:
        """Whether the name goes this way; ways that repeat come before those that write something new."""
        letter = self.name[self.place : self.place + 1]
        match way.cause:
            case Ended():
                return not letter
            case Wrote():
                return letter in way.letters.places
            case Repeated(variable=variable):
                return letter == self.values[variable]
            case Narrowed(variable=variable):
                return self.values[variable] in way.letters.places
            case Equalled(variable=variable, other=other):
                return self.values[variable] == self.values[other]
            case Parted():
                return True

    def follow(self, way: Way) -> None:
        if isinstance(way.cause, Wrote):
            self.values.append(self.name[self.place])
        if isinstance(way.cause, Wrote | Repeated):
            self.place += 1
        choices, radix = 0, 1
        for decision in way.decisions:
            choices += radix * self.choice(decision)
            radix *= decision.choices
        self.number += way.first + choices * way.rest
        self.values = [self.values[number] for number in way.kept]

    def choice(self, decision: Decision) -> int:
        taken = {self.values[other] for other in decision.apart}
        value = self.values[decision.variable]
        if not taken:
            return decision.letters.places[value]
        return sum(letter < value for letter in decision.letters.text if letter not in taken)
