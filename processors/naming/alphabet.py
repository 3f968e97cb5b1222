"""The characters of one pattern, in groups (*atoms*) that the pattern never tells apart.

A set of characters is an integer with one bit per atom, which makes intersections cheap however many
characters there are.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Letters:
    """The characters of a set in order, and the place of each among them."""

    def __init__(self, letters: Iterable[str]) -> None:
        self.text = "".join(sorted(letters))

    @cached_property
    def places(self) -> dict[str, int]:
        """The place of each character in `text`."""
        return {letter: place for place, letter in enumerate(self.text)}


class Alphabet:
    """The atoms of some sets of characters."""

    def __init__(self, sets: Iterable[frozenset[str]]) -> None:
        self._letters: dict[int, Letters] = {}
        distinct = list(dict.fromkeys(sets))
        membership: dict[str, int] = defaultdict(int)
        for number, letters in enumerate(distinct):
            for letter in letters:
                membership[letter] |= 1 << number
        atoms: dict[int, list[str]] = defaultdict(list)
        for letter in sorted(membership):
            atoms[membership[letter]].append(letter)
        self._atoms = list(atoms.values())
        self._bits = {letter: 1 << atom for atom, letters in enumerate(self._atoms) for letter in letters}
        self._masks = dict.fromkeys(distinct, 0)
        for atom, members in enumerate(atoms):
            for member in bits(members):
                self._masks[distinct[member.bit_length() - 1]] |= 1 << atom

    def mask(self, letters: frozenset[str]) -> int:
        """The bits of one of the sets that the alphabet was made from."""
        return self._masks[letters]

    def bit(self, letter: str) -> int:
        """The bit of the atom that a character belongs to."""
        return self._bits[letter]

    def letters(self, mask: int) -> Letters:
        """The characters that a mask stands for."""
        if mask not in self._letters:
            self._letters[mask] = Letters(letter for bit in bits(mask) for letter in self._atoms[bit.bit_length() - 1])
        return self._letters[mask]

    def size(self, mask: int) -> int:
        """How many characters a mask stands for."""
        return sum(len(self._atoms[bit.bit_length() - 1]) for bit in bits(mask))


def bits(mask: int) -> Iterator[int]:
    """The single bits of a mask, the lowest first."""
    while mask:
        yield mask & -mask
        mask &= mask - 1


def partition(masks: Iterable[int]) -> list[int]:
    """The coarsest disjoint parts such that each mask is made of whole parts."""
    parts = list[int]()
    for mask in masks:
        rest = mask
        refined = list[int]()
        for part in parts:
            refined += [piece for piece in (part & mask, part & ~mask) if piece]
            rest &= ~part
        parts = [*refined, rest] if rest else refined
    return parts
