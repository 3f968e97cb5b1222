"""A place in the text of a pattern, and what is read from there."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from processors.naming.errors import PatternError

if TYPE_CHECKING:
    import re


class Reader:
    """Reads a pattern's text from left to right; `place` is the index of the next character."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.place = 0

    @property
    def finished(self) -> bool:
        """Whether all of the text has been read."""
        return self.place == len(self.text)

    def sees(self, *starts: str) -> bool:
        """Whether the text goes on with one of these."""
        return self.text.startswith(starts, self.place)

    def accept(self, start: str) -> bool:
        """Read `start` if the text goes on with it, and say whether it did."""
        if not self.text.startswith(start, self.place):
            return False
        self.place += len(start)
        return True

    def take(self, count: int = 1) -> str:
        """Read that many characters; fewer at the end of the text."""
        taken = self.text[self.place : self.place + count]
        self.place += len(taken)
        return taken

    def take_match(self, expression: re.Pattern[str]) -> re.Match[str] | None:
        """Read what an expression matches here, or nothing."""
        match = expression.match(self.text, self.place)
        if match is not None:
            self.place = match.end()
        return match

    def refuse(self, problem: str, place: int | None = None) -> NoReturn:
        """Raise a `PatternError` that points at `place`, by default at the next character."""
        raise PatternError(problem, self.text, self.place if place is None else place)
