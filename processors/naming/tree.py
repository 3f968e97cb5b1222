"""A naming pattern as a tree, as it was written: nothing is unrolled yet."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Chars:
    """One character out of a set."""

    chars: frozenset[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sequence:
    """One part after the other."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """One of several options."""

    options: tuple[Node, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Repeat:
    """A part `least` to `most` times; `place` is where its quantifier stands."""

    part: Node
    least: int
    most: int
    place: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """A part that back references can repeat, by its number."""

    number: int
    part: Node


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """What the group of that number matched last, once more."""

    number: int
    place: int


Node = Chars | Sequence | Choice | Repeat | Group | Reference


def children(node: Node) -> tuple[Node, ...]:
    """The parts that a node is made of."""
    match node:
        case Sequence(parts=parts):
            return parts
        case Choice(options=options):
            return options
        case Repeat(part=part) | Group(part=part):
            return (part,)
        case _:
            return ()


def references(node: Node) -> frozenset[int]:
    """The numbers of the groups that something in the tree refers to."""
    if isinstance(node, Reference):
        return frozenset({node.number})
    return frozenset().union(*map(references, children(node)))


def groups(node: Node) -> frozenset[int]:
    """The numbers of the groups within a tree."""
    own = frozenset({node.number}) if isinstance(node, Group) else frozenset[int]()
    return own.union(*map(groups, children(node)))


def may_be_empty(node: Node) -> bool:
    """Whether a part may match nothing; a back reference counts as one that may."""
    match node:
        case Chars():
            return False
        case Reference():
            return True
        case Choice(options=options):
            return any(map(may_be_empty, options))
        case Repeat(least=0):
            return True
        case _:
            return all(map(may_be_empty, children(node)))


def most_characters(node: Node) -> int:
    """How many characters a part has at most; what it could match is not looked at."""
    lengths: dict[int, int] = {}

    def of(node: Node) -> int:
        match node:
            case Chars():
                return 1
            case Reference(number=number):
                return lengths.get(number, 0)
            case Choice(options=options):
                return max(map(of, options), default=0)
            case Repeat(part=part, most=most):
                return most * of(part)
            case Group(number=number, part=part):
                lengths[number] = of(part)
                return lengths[number]
            case Sequence(parts=parts):
                return sum(map(of, parts))

    return of(node)
