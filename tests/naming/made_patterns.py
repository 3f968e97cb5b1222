"""Random small patterns over the letters a, b and c, and their names found in another way than ours."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import product

from hypothesis import strategies as st

LETTERS = "abc"
LONGEST = 6
TEXTS = ["".join(letters) for length in range(LONGEST + 1) for letters in product(LETTERS, repeat=length)]

_SINGLES = ["a", "b", "c", "[ab]", "[bc]", "[a-c]", r"\x61", r"[\x62c]"]
_QUANTIFIERS = ["?", "{0}", "{2}", "{3}", "{,2}", "{0,2}", "{1,2}", "{2,3}", "??", "{1,2}?"]
_KINDS = ["single", "single", "sequence", "choice", "repeat", "group", "reference"]


def names_by_filtering(text: str) -> set[str]:
    """All texts up to the longest length that Python takes for a match of the whole pattern."""
    expression = re.compile(text)
    return {candidate for candidate in TEXTS if expression.fullmatch(candidate)}


@st.composite
def pattern_texts(draw: st.DrawFn) -> str:
    """The text of a pattern: ambiguous choices, optional parts, counted repetitions, back references."""
    making = _Making(draw=draw)
    if draw(st.booleans()):
        return making.part(depth=3) + making.part(depth=2)
    # Left to themselves, few patterns would refer to anything.
    return making.group(depth=2) + making.part(depth=2) + making.recalling()


@dataclass(kw_only=True)
class _Making:
    draw: st.DrawFn
    opened: int = 0
    finished: list[str] = field(default_factory=list)

    def part(self, *, depth: int) -> str:
        kind = self.draw(st.sampled_from(_KINDS)) if depth else "single"
        if kind == "sequence":
            return self.part(depth=depth - 1) + self.part(depth=depth - 1)
        if kind == "choice":
            return f"(?:{self.options(depth=depth)})"
        if kind == "repeat":
            return f"(?:{self.part(depth=depth - 1)})" + self.draw(st.sampled_from(_QUANTIFIERS))
        if kind == "group":
            return self.group(depth=depth)
        if kind == "reference" and self.finished:
            return self.draw(st.sampled_from(self.finished))
        return self.draw(st.sampled_from(_SINGLES))

    def options(self, *, depth: int) -> str:
        count = self.draw(st.integers(1, 3))
        return "|".join(self.part(depth=depth - 1) if self.draw(st.integers(0, 4)) else "" for _ in range(count))

    def recalling(self) -> str:
        again = self.draw(st.lists(st.sampled_from(self.finished), min_size=1, max_size=3))
        other = self.part(depth=1)
        shapes = ["{0}{1}", "(?:{0}|{1})", "(?:{1}|{0}c?)", "{1}?{0}", "(?:{0}|{1}){{2}}"]
        return self.draw(st.sampled_from(shapes)).format("".join(again), other)

    def group(self, *, depth: int) -> str:
        self.opened += 1
        number = self.opened
        named = self.draw(st.booleans())
        inside = self.options(depth=depth)
        self.finished.append(f"(?P=g{number})" if named else rf"(?:\{number})")
        return f"(?P<g{number}>{inside})" if named else f"({inside})"
