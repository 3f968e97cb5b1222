"""A pattern's tree unrolled into steps that only lead forward.

Quantifiers are written out (`x{2,3}` becomes `x x (x or not)`), so no step is ever reached twice and the
language is finite by construction. For back references two facts are worked out beforehand, so that no more
is remembered of a name than what can still matter: which groups are *live* at a step (some way on from there
refers to what they hold) and which ones are being *recorded* there.
"""

from __future__ import annotations

from dataclasses import dataclass

from processors.naming.errors import PatternError
from processors.naming.tree import (
    Chars,
    Choice,
    Group,
    Node,
    Reference,
    Repeat,
    Sequence,
    children,
    groups,
    may_be_empty,
    references,
)

MOST_STEPS = 20_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Read:
    """One character out of a set."""

    chars: frozenset[str]
    within: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Recall:
    """What a group holds, character by character."""

    group: int
    within: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fork:
    """Go on at any of these steps."""

    targets: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Open:
    """Start to record a group."""

    group: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Close:
    """From here on the group holds what was recorded since it was opened at `opened`."""

    group: int
    opened: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Accept:
    """The end of the pattern."""


Step = Read | Recall | Fork | Open | Close | Accept


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """The steps, and for each step the groups that are live and the groups being recorded."""

    steps: tuple[Step, ...]
    live: tuple[frozenset[int], ...]
    recorded: tuple[tuple[int, ...], ...]


def unroll(tree: Node, text: str) -> Program:
    """The program of a tree; `text` is for messages. Raises `PatternError` when it would be too long."""
    _check(tree, text, references(tree))
    if _length(tree, text) >= MOST_STEPS:
        raise PatternError(f"expected a pattern of at most {MOST_STEPS} steps, found a longer one", text, 0)
    writer = _Writer()
    writer.write(tree)
    writer.steps.append(Accept())
    live = _liveness(writer.steps)
    return Program(steps=tuple(writer.steps), live=live, recorded=_recordings(writer.steps, live))


def _check(tree: Node, text: str, referred: frozenset[int]) -> None:
    """Refuse the one combination for which Python's `re` has no meaning that could be stated.

    Whether it tries another repetition that matches nothing depends on how it got there; as long as
    nobody asks afterwards what the group held, that makes no difference.
    """
    if isinstance(tree, Repeat) and tree.most > max(tree.least, 1):
        referred_groups = groups(tree.part) & referred
        if referred_groups and may_be_empty(tree.part):
            raise PatternError(
                f"expected no back reference to group {min(referred_groups)}, "
                "which this quantifier repeats and which may be repeated with nothing in it",
                text,
                tree.place,
            )
    for child in children(tree):
        _check(child, text, referred)


def _length(tree: Node, text: str) -> int:
    match tree:
        case Chars() | Reference():
            return 1
        case Repeat(part=part, most=most, place=place):
            length = most * (_length(part, text) + 1)
            if length >= MOST_STEPS:
                problem = f"expected repetitions of at most {MOST_STEPS} steps in all, found {length}"
                raise PatternError(problem, text, place)
            return length
        case Choice(options=options):
            return 1 + sum(_length(option, text) + 1 for option in options)
        case Group(part=part):
            return 2 + _length(part, text)
        case Sequence(parts=parts):
            return sum(_length(part, text) for part in parts)


class _Writer:
    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.open: tuple[int, ...] = ()

    def write(self, tree: Node) -> None:
        match tree:
            case Chars(chars=chars):
                self.steps.append(Read(chars=chars, within=self.open))
            case Reference(number=number):
                self.steps.append(Recall(group=number, within=self.open))
            case Sequence(parts=parts):
                for part in parts:
                    self.write(part)
            case Choice(options=options):
                self.write_choice(options)
            case Repeat(part=part, least=least, most=most):
                self.write_repeat(part, least, most)
            case Group(number=number, part=part):
                self.write_group(number, part)

    def write_choice(self, options: tuple[Node, ...]) -> None:
        fork = self.reserve()
        starts, ends = list[int](), list[int]()
        for option in options:
            starts.append(len(self.steps))
            self.write(option)
            ends.append(self.reserve())
        self.steps[fork] = Fork(targets=tuple(starts))
        self.join(ends)

    def write_repeat(self, part: Node, least: int, most: int) -> None:
        for _ in range(least):
            self.write(part)
        exits = list[int]()
        for _ in range(least, most):
            exits.append(self.reserve())
            self.write(part)
        end = len(self.steps)
        for leave in exits:
            self.steps[leave] = Fork(targets=(leave + 1, end))

    def write_group(self, number: int, part: Node) -> None:
        opened, outside = len(self.steps), self.open
        self.steps.append(Open(group=number))
        self.open = (*outside, opened)
        self.write(part)
        self.open = outside
        self.steps.append(Close(group=number, opened=opened))

    def reserve(self) -> int:
        self.steps.append(Fork(targets=()))
        return len(self.steps) - 1

    def join(self, ends: list[int]) -> None:
        for end in ends:
            self.steps[end] = Fork(targets=(len(self.steps),))


def _liveness(steps: list[Step]) -> tuple[frozenset[int], ...]:
    # Steps only lead forward, so one pass from the end sees every target before what leads to it.
    nothing = frozenset[int]()
    live = [nothing] * len(steps)
    for at in range(len(steps) - 2, -1, -1):
        match steps[at]:
            case Fork(targets=targets):
                live[at] = nothing.union(*(live[target] for target in targets))
            case Recall(group=group):
                live[at] = live[at + 1] | {group}
            case Close(group=group):
                live[at] = live[at + 1] - {group}
            case _:
                live[at] = live[at + 1]
    return tuple(live)


def _recordings(steps: list[Step], live: tuple[frozenset[int], ...]) -> tuple[tuple[int, ...], ...]:
    # A group is recorded from an Open only if what it then holds is asked for after the Close of that Open.
    wanted = {
        step.opened: step.group
        for at, step in enumerate(steps)
        if isinstance(step, Close) and step.group in live[at + 1]
    }
    return tuple(
        tuple(wanted[opened] for opened in step.within if opened in wanted)
        if isinstance(step, Read | Recall)
        else ((step.group,) if at in wanted and isinstance(step, Open) else ())
        for at, step in enumerate(steps)
    )
