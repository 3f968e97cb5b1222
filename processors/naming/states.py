"""All ways of reading a name at once: the states of a deterministic automaton, found as they are needed.

A *thread* is one way of reading: a step of the program and what its groups hold. A *state* is the set of all
threads that are possible after some beginning of a name. Every name leads through one sequence of states,
however many ways there are of reading it: that is why ambiguous patterns count each name once.

Back references would need a state for every content of a group. Instead a group holds *cells*: either
a character or a variable, which stands for a character that is not yet decided. A variable has a set of
characters it may stand for, and may be *settled*: known to differ from all other settled variables of the
same atom. Only where two threads make it matter what a variable is (one wants it repeated, another wants
a character of some set) the state is split: by its atom, then by which settled variable it equals, if any.
A variable that no thread needs any longer is dropped, and its character counts as chosen at that moment.

A state thus stands for all assignments to its variables, and each move says which of them it decides.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from operator import itemgetter
from typing import TYPE_CHECKING

from processors.naming.alphabet import Alphabet, bits, partition
from processors.naming.errors import PatternError
from processors.naming.program import Accept, Close, Fork, Open, Program, Read, Recall

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

# About two seconds of work; what people use as naming patterns takes a few hundred steps.
MOST_EFFORT = 1_500_000
MOVE_EFFORT = 5

Cell = int | str
Cells = tuple[Cell, ...]
Holdings = tuple[tuple[int, Cells], ...]


@dataclass(frozen=True, slots=True)
class Thread:
    """One way of reading: the step it waits at, what is left of a recall there, and what groups hold."""

    step: int
    rest: Cells
    held: Holdings

    def cells(self) -> Iterator[Cell]:
        """Every cell that the thread still needs."""
        yield from self.rest
        for _, cells in self.held:
            yield from cells

    def renamed(self, names: Sequence[Cell]) -> Thread:
        """The same thread with variable k replaced by `names[k]`."""
        held = tuple((group, _renamed(cells, names)) for group, cells in self.held)
        return Thread(self.step, _renamed(self.rest, names), held)


def _renamed(cells: Cells, names: Sequence[Cell]) -> Cells:
    return tuple(names[cell] if isinstance(cell, int) else cell for cell in cells)


@dataclass(frozen=True, slots=True)
class Variable:
    """A character that is not yet decided."""

    mask: int
    settled: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """The threads that are possible after some beginning, and the variables they share."""

    threads: frozenset[Thread]
    variables: tuple[Variable, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """The name ends here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wrote:
    """A character out of `mask` follows; it is a new variable, numbered after the others."""

    mask: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Repeated:
    """The character that `variable` stands for follows."""

    variable: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Narrowed:
    """Nothing is read; `variable` is one of `mask`."""

    variable: int
    mask: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Equalled:
    """Nothing is read; `variable` is the same as the settled `other`."""

    variable: int
    other: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Parted:
    """Nothing is read; `variable` differs from all settled ones and is settled now."""

    variable: int


Cause = Ended | Wrote | Repeated | Narrowed | Equalled | Parted


@dataclass(frozen=True, kw_only=True, slots=True)
class Drop:
    """`variable` is not needed any longer: it is one of `mask`, different from all of `apart`."""

    variable: int
    mask: int
    apart: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Move:
    """What happens next, which variables are decided by it, which go on, and to which state.

    `kept[k]` is the number that the target's variable k had before; a target of None is the end of the name.
    """

    cause: Cause
    drops: tuple[Drop, ...]
    kept: tuple[int, ...]
    target: State | None


class Reading:
    """The states of one program. `text` is for the `PatternError` that is raised when they are too many."""

    def __init__(self, program: Program, text: str) -> None:
        self._text = text
        self._effort = 0
        self._program = program
        self.alphabet = Alphabet(step.chars for step in program.steps if isinstance(step, Read))
        self._masks = [self.alphabet.mask(step.chars) if isinstance(step, Read) else 0 for step in program.steps]

    def start(self) -> State:
        """The state before anything has been read."""
        return State(self._waiting({(0, ())}), ())

    def moves(self, state: State) -> list[Move]:
        """All that can happen next; no two of them lead to the same name."""
        wants = _Wants()
        for thread in state.threads:
            self._add_want(wants, thread)
        conflicts = _conflicts(wants, state.variables)
        for variable in conflicts:
            if not state.variables[variable].settled:
                return list(self._splits(state, variable))
        contested = 0
        for variable in conflicts:
            contested |= state.variables[variable].mask
        return list(self._readings(state, wants, contested))

    # What the threads of a state wait for

    def _add_want(self, wants: _Wants, thread: Thread) -> None:
        step = self._program.steps[thread.step]
        if isinstance(step, Accept):
            wants.end = True
        elif isinstance(step, Read):
            wants.sets.setdefault(self._masks[thread.step], []).append(thread)
        elif isinstance(thread.rest[0], str):
            wants.sets.setdefault(self.alphabet.bit(thread.rest[0]), []).append(thread)
        else:
            wants.variables.setdefault(thread.rest[0], []).append(thread)

    # Moves that read nothing

    def _splits(self, state: State, variable: int) -> Iterator[Move]:
        mask = state.variables[variable].mask
        if mask & (mask - 1):
            for bit in bits(mask):
                yield self._narrowing(state, variable, bit)
            return
        block = _settled(state.variables, mask)
        for other in block:
            names = [other if k == variable else k for k in range(len(state.variables))]
            threads = (thread.renamed(names) for thread in state.threads)
            yield self._move(Equalled(variable=variable, other=other), threads, state.variables)
        if self.alphabet.size(mask) > len(block):
            variables = _replaced(state.variables, variable, Variable(mask, settled=True))
            yield self._move(Parted(variable=variable), state.threads, variables)

    def _narrowing(self, state: State, variable: int, bit: int) -> Move:
        names: list[Cell] = list(range(len(state.variables)))
        letters = self.alphabet.letters(bit).text
        if len(letters) == 1:
            names[variable] = letters
        variables = _replaced(state.variables, variable, Variable(bit))
        threads = (thread.renamed(names) for thread in state.threads)
        return self._move(Narrowed(variable=variable, mask=bit), threads, variables)

    # Moves that read a character, or the end

    def _readings(self, state: State, wants: _Wants, contested: int) -> Iterator[Move]:
        if wants.end:
            yield self._move(Ended(), (), state.variables)
        again = {variable: list(threads) for variable, threads in wants.variables.items()}
        fresh = list[tuple[int, bool, list[Thread]]]()
        for part in partition(sorted(wants.sets)):
            threads = [thread for mask, waiting in wants.sets.items() if mask & part for thread in waiting]
            for bit in bits(part & contested):
                for variable in _settled(state.variables, bit):
                    again.setdefault(variable, []).extend(threads)
                fresh.append((bit, True, threads))
            if part & ~contested:
                fresh.append((part & ~contested, False, threads))
        # Sorted, because threads come in the order of a set, and ranks must be the same in every process.
        for variable, threads in sorted(again.items(), key=itemgetter(0)):
            advanced = self._advanced(threads, variable)
            yield self._move(Repeated(variable=variable), advanced, state.variables)
        for mask, settled, threads in sorted(fresh, key=lambda item: item[0] & -item[0]):
            yield from self._writing(state, mask, threads, settled=settled)

    def _writing(self, state: State, mask: int, threads: list[Thread], *, settled: bool) -> Iterator[Move]:
        block = _settled(state.variables, mask) if settled else ()
        letters = self.alphabet.size(mask)
        if letters <= len(block):
            return
        number = len(state.variables)
        cell: Cell = number if letters > 1 else self.alphabet.letters(mask).text
        variables = (*state.variables, Variable(mask, settled))
        cause = Wrote(mask=mask)
        yield self._move(cause, self._advanced(threads, cell), variables)

    def _advanced(self, threads: Iterable[Thread], cell: Cell) -> frozenset[Thread]:
        """The threads after each of these has read its character, which is `cell`."""
        recalling = set[Thread]()
        passing = set[tuple[int, Holdings]]()
        for thread in threads:
            held = self._with_recorded(thread, cell)
            if len(thread.rest) > 1:
                recalling.add(Thread(thread.step, thread.rest[1:], held))
            else:
                passing.add((thread.step + 1, held))
        return self._waiting(passing) | recalling

    def _with_recorded(self, thread: Thread, cell: Cell) -> Holdings:
        groups = self._program.recorded[thread.step]
        if not groups:
            return thread.held
        return tuple((group, (*cells, cell) if group in groups else cells) for group, cells in thread.held)

    # Steps that read nothing

    def _waiting(self, passing: set[tuple[int, Holdings]]) -> frozenset[Thread]:
        """The threads that wait for a character, or for the end, when reading goes on at these steps."""
        waiting = set[Thread]()
        seen = set(passing)
        ahead = list(passing)
        while ahead:
            for following in self._pass(*ahead.pop(), waiting):
                if following not in seen:
                    seen.add(following)
                    ahead.append(following)
        self._spend(len(seen))
        return frozenset(waiting)

    def _spend(self, effort: int) -> None:
        self._effort += effort
        if self._effort > MOST_EFFORT:
            raise PatternError(
                f"expected a pattern that can be counted in {MOST_EFFORT} steps, found one that can be read "
                "in too many ways at once; make options, repetitions or back references less ambiguous",
                self._text,
                0,
            )

    def _pass(self, at: int, held: Holdings, waiting: set[Thread]) -> list[tuple[int, Holdings]]:
        program = self._program
        match program.steps[at]:
            case Fork(targets=targets):
                return [(target, held) for target in targets]
            case Open(group=group):
                opened = dict(held) | ({group: ()} if program.recorded[at] else {})
                return [(at + 1, tuple(sorted(opened.items())))]
            case Close(group=group):
                kept = held if group in program.live[at + 1] else _without(held, group)
                return [(at + 1, kept)]
            case Recall(group=group):
                return self._recall(at, group, held, waiting)
            case Read():
                waiting.add(Thread(at, (), self._needed(at, held)))
            case Accept():
                waiting.add(Thread(at, (), ()))
        return []

    def _recall(self, at: int, group: int, held: Holdings, waiting: set[Thread]) -> list[tuple[int, Holdings]]:
        content = dict(held).get(group)
        if content is None:
            # As in Python's re: a reference to a group that took no part matches nothing, not even nothing.
            return []
        if not content:
            return [(at + 1, held)]
        waiting.add(Thread(at, content, self._needed(at, held)))
        return []

    def _needed(self, at: int, held: Holdings) -> Holdings:
        live, recorded = self._program.live[at + 1], self._program.recorded[at]
        return tuple((group, cells) for group, cells in held if group in live or group in recorded)

    # Forgetting what no thread needs

    def _move(self, cause: Cause, threads: Iterable[Thread], variables: tuple[Variable, ...]) -> Move:
        remaining = frozenset(threads)
        self._spend(MOVE_EFFORT + len(remaining) * (1 + len(variables)))
        needed = {cell for thread in remaining for cell in thread.cells() if isinstance(cell, int)}
        drops = list[Drop]()
        present = list(range(len(variables)))
        if isinstance(cause, Equalled):
            # It has not been decided: it is another one from here on.
            present.remove(cause.variable)
        for number, variable in enumerate(variables):
            if number in present and number not in needed:
                present.remove(number)
                apart = tuple(_settled_among(present, variables, variable.mask)) if variable.settled else ()
                drops.append(Drop(variable=number, mask=variable.mask, apart=apart))
        if isinstance(cause, Ended):
            return Move(cause=cause, drops=tuple(drops), kept=(), target=None)
        state = _renumbered(remaining, present, variables)
        return Move(cause=cause, drops=tuple(drops), kept=tuple(present), target=state)


class _Wants:
    def __init__(self) -> None:
        self.end = False
        self.sets: dict[int, list[Thread]] = {}
        self.variables: dict[int, list[Thread]] = {}


def _conflicts(wants: _Wants, variables: tuple[Variable, ...]) -> list[int]:
    """The wanted variables that another thread's wish may or may not coincide with."""
    wanted = sorted(wants.variables)
    conflicts = list[int]()
    for variable in wanted:
        mask = variables[variable].mask
        others = (variables[other].mask for other in wanted if other != variable)
        if any(mask & other for other in (*wants.sets, *others)):
            conflicts.append(variable)
    return conflicts


def _settled(variables: tuple[Variable, ...], atom: int) -> tuple[int, ...]:
    return tuple(_settled_among(range(len(variables)), variables, atom))


def _settled_among(numbers: Iterable[int], variables: tuple[Variable, ...], atom: int) -> Iterator[int]:
    return (number for number in numbers if variables[number].settled and variables[number].mask == atom)


def _replaced(variables: tuple[Variable, ...], number: int, new: Variable) -> tuple[Variable, ...]:
    return (*variables[:number], new, *variables[number + 1 :])


def _without(held: Holdings, group: int) -> Holdings:
    return tuple(item for item in held if item[0] != group)


def _renumbered(threads: frozenset[Thread], present: list[int], variables: tuple[Variable, ...]) -> State:
    if not variables:
        return State(threads, ())
    names: list[Cell] = [0] * len(variables)
    for new, old in enumerate(present):
        names[old] = new
    kept = tuple(variables[number] for number in present)
    return State(frozenset(thread.renamed(names) for thread in threads), _led(kept))


def _led(variables: tuple[Variable, ...]) -> tuple[Variable, ...]:
    """The variables with one of each atom settled: alone, it has nobody to differ from.

    So states that differ in nothing else are one, and the first split of an atom costs nothing.
    """
    led = list(variables)
    atoms = {variable.mask for variable in variables if variable.settled}
    for number, variable in enumerate(variables):
        if variable.mask & (variable.mask - 1) == 0 and variable.mask not in atoms:
            led[number] = replace(variable, settled=True)
            atoms.add(variable.mask)
    return tuple(led)
