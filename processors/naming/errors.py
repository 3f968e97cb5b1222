"""What can go wrong with names, by what the caller does next.

* `PatternError` (a `ValueError`): the pattern is not one we take; a person has to mend it.
* `Exhausted`: the pattern is fine, its names are used up; a person has to choose a longer one.
"""

from __future__ import annotations

import unicodedata


class PatternError(ValueError):
    """A naming pattern that is refused. Its message shows the pattern with a caret below the place.

    `problem` quotes none of its words: it is listed and shown where no pattern may stand.
    """

    def __init__(self, problem: str, text: str, place: int) -> None:
        super().__init__(f"{problem} (at character {place + 1})\n    {_shown(text)}\n    {_indent(text, place)}^")
        self.problem = problem
        self.text = text
        self.place = place

    def __reduce__(self) -> tuple[type[PatternError], tuple[str, str, int]]:
        return type(self), (self.problem, self.text, self.place)


class Exhausted(Exception):
    """Fewer names are unused than were wanted."""

    def __init__(self, *, pattern: str, count: int, used: int, wanted: int) -> None:
        super().__init__(
            f"exhausted: the pattern {pattern!r} has {count} names, {used} of them are used, "
            f"{count - used} are left, and {wanted} {'was' if wanted == 1 else 'were'} wanted"
        )
        self.pattern = pattern
        self.count = count
        self.used = used
        self.wanted = wanted

    def __reduce__(self) -> tuple[object, ...]:
        return _exhausted, (self.pattern, self.count, self.used, self.wanted)


def _exhausted(pattern: str, count: int, used: int, wanted: int) -> Exhausted:
    return Exhausted(pattern=pattern, count=count, used=used, wanted=wanted)


def _shown(text: str) -> str:
    # A line break in the pattern would tear the caret away from its place.
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _indent(text: str, place: int) -> str:
    return " " * sum(_columns(letter) for letter in text[:place])


def _columns(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1
