"""The notation of naming patterns: text in, tree out, or a refusal that points at the place.

It is the part of Python's regular expressions that describes finitely many texts, read for a match of
the whole text. Where Python's meaning of a construct could not be kept exactly, the construct is refused.
"""

from __future__ import annotations

import re
import string

from processors.naming import characters
from processors.naming.reader import Reader
from processors.naming.tree import Chars, Choice, Group, Node, Reference, Repeat, Sequence

DEEPEST_NESTING = 100

_COUNTED = re.compile(r"\{([0-9]*)(?:(,)([0-9]*))?\}")
_NUMBERED = re.compile(r"\\([1-9][0-9]?)")
_OCTAL = re.compile(r"\\[0-7]{3}")
_MOST_DIGITS_OF_A_COUNT = 9

_NOT_SUPPORTED = {
    "(?=": "a look-ahead",
    "(?!": "a look-ahead",
    "(?<=": "a look-behind",
    "(?<!": "a look-behind",
    "(?>": "an atomic group",
    "(?#": "a comment",
    "(?(": "a condition",
}


def read_pattern(text: str) -> Node:
    """The tree of a pattern. Raises `PatternError`."""
    reading = _Reading(text)
    tree = reading.alternatives(depth=0)
    if not reading.reader.finished:
        reading.reader.refuse("expected the end of the pattern, found a ) that closes nothing")
    return tree


class _Reading:
    def __init__(self, text: str) -> None:
        self.reader = Reader(text)
        self.opened = 0
        self.closed: set[int] = set()
        self.names: dict[str, int] = {}

    def alternatives(self, *, depth: int) -> Node:
        options = [self.sequence(depth=depth)]
        while self.reader.accept("|"):
            options.append(self.sequence(depth=depth))
        return options[0] if len(options) == 1 else Choice(options=tuple(options))

    def sequence(self, *, depth: int) -> Node:
        reader, parts = self.reader, list[Node]()
        # The whole text has to match, so an anchor at either end of an alternative that is in no group says
        # nothing new.
        if depth == 0:
            _ = reader.accept("^") or reader.accept("\\A")
        while not (reader.finished or reader.sees("|", ")")):
            if depth == 0 and self.end_anchor():
                break
            parts.append(self.quantified(depth=depth))
        return Sequence(parts=tuple(parts))

    def end_anchor(self) -> bool:
        reader, start = self.reader, self.reader.place
        if (reader.accept("$") or reader.accept("\\Z")) and (reader.finished or reader.sees("|")):
            return True
        reader.place = start
        return False

    def quantified(self, *, depth: int) -> Node:
        part = self.single(depth=depth)
        place = self.reader.place
        bounds = self.quantifier()
        if bounds is None:
            return part
        # Lazy or not changes which match is found first, never whether the whole text can match.
        self.reader.accept("?")
        if self.reader.sees("+"):
            self.reader.refuse("expected no second quantifier, found a possessive one, which is not supported")
        if self.quantifier() is not None:
            self.reader.refuse("expected no second quantifier; put the first into a group (?:...)", place)
        least, most = bounds
        return Repeat(part=part, least=least, most=most, place=place)

    def quantifier(self) -> tuple[int, int] | None:
        reader, place = self.reader, self.reader.place
        if reader.sees("*", "+"):
            reader.refuse(f"expected a bounded quantifier such as {{1,8}}, found the unbounded {reader.take()}", place)
        if reader.accept("?"):
            return 0, 1
        match = reader.take_match(_COUNTED)
        if match is None:
            return None
        if match[0] == "{}":
            # For Python these are two literal braces.
            reader.place = place
            return None
        return self.bounds(match, place)

    def bounds(self, match: re.Match[str], place: int) -> tuple[int, int]:
        low, comma, high = match.groups()
        if comma and not high:
            self.reader.refuse(f"expected a bounded quantifier such as {{1,8}}, found the unbounded {match[0]}", place)
        if max(len(low), len(high or "")) > _MOST_DIGITS_OF_A_COUNT:
            self.reader.refuse(f"expected a smaller number of repetitions, found {match[0]}", place)
        least = int(low or 0)
        most = int(high) if comma else least
        if most < least:
            self.reader.refuse(f"expected the smaller number first, found {match[0]}", place)
        return least, most

    def single(self, *, depth: int) -> Node:
        reader = self.reader
        if reader.sees("("):
            return self.group(depth=depth)
        if reader.sees("["):
            return Chars(chars=characters.read_set(reader))
        if reader.sees("\\"):
            return self.escape()
        if reader.accept("."):
            return Chars(chars=characters.LETTERS_AND_DIGITS)
        self.refuse_what_is_no_literal()
        return Chars(chars=characters.read_literal(reader))

    def refuse_what_is_no_literal(self) -> None:
        reader, place = self.reader, self.reader.place
        if reader.sees("^"):
            reader.refuse("expected the anchor ^ only at the start of the pattern")
        if reader.sees("$"):
            reader.refuse("expected the anchor $ only at the end of the pattern")
        if reader.sees("*", "+", "?") or self.quantifier() is not None:
            reader.refuse("expected something to repeat before this quantifier", place)

    def escape(self) -> Node:
        reader, place = self.reader, self.reader.place
        if _OCTAL.match(reader.text, place):
            return Chars(chars=characters.read_escape(reader))
        numbered = reader.take_match(_NUMBERED)
        if numbered is not None:
            return self.reference(int(numbered[1]), place)
        return Chars(chars=characters.read_escape(reader))

    def reference(self, number: int, place: int) -> Node:
        if number > self.opened:
            self.reader.refuse(f"expected a group before this reference to it, found no group {number}", place)
        if number not in self.closed:
            self.reader.refuse(f"expected a reference to a finished group, found one within group {number}", place)
        return Reference(number=number, place=place)

    def group(self, *, depth: int) -> Node:
        reader, place = self.reader, self.reader.place
        if depth == DEEPEST_NESTING:
            reader.refuse(f"expected groups nested at most {DEEPEST_NESTING} deep, found another one")
        if reader.accept("(?P="):
            return self.named_reference(place)
        if reader.accept("(?:"):
            return self.rest_of_group(place, depth=depth)
        number = self.open_group(place)
        part = self.rest_of_group(place, depth=depth)
        self.closed.add(number)
        return Group(number=number, part=part)

    def open_group(self, place: int) -> int:
        reader = self.reader
        name = None
        if reader.accept("(?P<"):
            name = self.name(">", place)
            if name in self.names:
                reader.refuse("expected a new name for this group, found that of another one", place)
        elif reader.sees("(?"):
            self.refuse_extension()
        else:
            reader.take()
        self.opened += 1
        if name is not None:
            self.names[name] = self.opened
        return self.opened

    def rest_of_group(self, place: int, *, depth: int) -> Node:
        part = self.alternatives(depth=depth + 1)
        if not self.reader.accept(")"):
            self.reader.refuse("expected a closing ) for this group, found the end of the pattern", place)
        return part

    def named_reference(self, place: int) -> Node:
        name = self.name(")", place)
        if name not in self.names:
            self.reader.refuse("expected a group before this reference to it, found no group of this name", place)
        return self.reference(self.names[name], place)

    def name(self, end: str, place: int) -> str:
        reader = self.reader
        name, closing, _ = reader.text[reader.place :].partition(end)
        if not closing or not name.isidentifier():
            reader.refuse(f"expected a group's name and {end}, found something else", place)
        reader.take(len(name) + len(end))
        return name

    def refuse_extension(self) -> None:
        reader = self.reader
        for start, what in _NOT_SUPPORTED.items():
            if reader.sees(start):
                reader.refuse(f"expected a group, found {what} {start}...), which is not supported")
        if reader.sees(*(f"(?{letter}" for letter in string.ascii_lowercase + "L-")):
            reader.refuse("expected a group, found flags, which are not supported")
        reader.refuse("expected a group: (...), (?:...) or (?P<name>...)")
