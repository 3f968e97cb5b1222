"""Patterns that run out of time (ReDoS): found with texts made to be hard for them. Pure.

A pattern such as `(a+)+$` is quick on what it matches and on what it does not resemble. What takes for ever is a
long text that fits almost to its end: the pattern's own parts, over and over, and then something else.
"""

import re
from collections.abc import Iterator

from processors.routing import patterns
from processors.routing.patterns import BadPattern, PatternTimeout

_LENGTHS = (64, 640)
_ENDINGS = ("", "\x01")
_RUN = re.compile(r"[^\W_]+")
_ANY = ("a", "A", "0", "^", " ", "-")
_MOST = 40
"""Parts that are tried: a pattern of a thousand characters need not be tried with each."""


def worst_time(pattern: str, time_limit: float) -> str:
    """How the pattern fares with the hardest texts: "" where it is quick, else what it takes, in words."""
    try:
        for text in _texts(pattern):
            if _runs_out(pattern, text, time_limit / 5):
                whole = _runs_out(pattern, text, time_limit)
                return "runs out of time" if whole else "takes more than a fifth of its time limit"
    except BadPattern:
        return ""
    return ""


def _runs_out(pattern: str, text: str, time_limit: float) -> bool:
    try:
        patterns.match(pattern, text, time_limit=time_limit)
    except PatternTimeout:
        return True
    return False


def _texts(pattern: str) -> Iterator[str]:
    parts = dict.fromkeys([*_RUN.findall(re.sub(r"\\[a-zA-Z]", " ", pattern)), *_ANY])
    for part in list(parts)[:_MOST]:
        for length in _LENGTHS:
            for ending in _ENDINGS:
                yield (part * (length // len(part) + 1))[:length] + ending
