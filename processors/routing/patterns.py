"""Routing patterns under a time limit.

Patterns are Python regular expressions, as administrators know them from today's rules. A pattern
such as `(a+)+$` can take longer than the universe on a short text, and the library `re` cannot be
given a limit; the library `regex` can. So that no rule comes to mean something else here than
elsewhere, what compiles is decided by `re`, and what the two libraries read differently is spelled
out for `regex`.
"""

import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import regex

from processors.text import is_blank


class BadPattern(Exception):
    """A pattern that does not compile; the message says why, without quoting it."""


class PatternTimeout(Exception):
    """A match that took longer than its limit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """A pattern that matches from the start of a text; `whole`: it can match all of the text."""

    whole: bool


def check(pattern: str) -> None:
    """Raises `BadPattern` where the pattern cannot be used."""
    _compiled(pattern)


def match(pattern: str, text: str, *, time_limit: float) -> Match | None:
    """How the pattern matches from the start of the text, or None.

    A blank pattern or text matches nothing: a rule that says nothing must not mean everything, and
    nobody can be named by a blank. Raises `PatternTimeout` after `time_limit` seconds.
    """
    compiled = _compiled(pattern)
    if compiled is None or is_blank(text):
        return None
    try:
        if compiled.match(text, timeout=time_limit) is None:
            return None
        # Asked anew, as `a|ab` matches the start of "ab" first although it can match all of it.
        return Match(whole=compiled.fullmatch(text, timeout=time_limit) is not None)
    except TimeoutError as exc:
        raise PatternTimeout from exc


@lru_cache(maxsize=1_000)
def literal_start(pattern: str) -> str:
    """What every text begins with that the pattern matches, as far as that is plain to see.

    Patterns begin with a project's letters mostly, so that most texts need not be tried.
    """
    if "|" in pattern or "(?" in pattern:
        return ""
    return _LITERAL_START.sub(r"\1", pattern)


# Up to the first character that means something else, or may be missing because of what follows it.
_LITERAL_START = re.compile(r"^\^?((?:[A-Za-z0-9_-](?![?*+{]))*).*", re.DOTALL)


@lru_cache(maxsize=1_000)
def _compiled(pattern: str) -> Any:
    """The pattern as `regex` has it; None where it is blank."""
    if is_blank(pattern):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            understood = re.compile(pattern)
        except re.error as exc:
            position = f" at position {exc.pos}" if exc.pos is not None else ""
            # A group's name is quoted, and may be anybody's.
            problem, *_ = re.split(r""" ['"]""", exc.msg, maxsplit=1)
            raise BadPattern(f"{problem}{position}") from exc
        except _TOO_MUCH as exc:
            raise BadPattern(f"the pattern is too large or too deep ({type(exc).__name__})") from exc
        spelled = _spelled_for_regex(pattern, understood.flags)
        try:
            return regex.compile(spelled, regex.VERSION0)
        except _TOO_MUCH as exc:
            raise BadPattern(f"the pattern is too large or too deep ({type(exc).__name__})") from exc
        except regex.error as exc:
            # Its message would quote our spelling.
            raise BadPattern("the library regex cannot be given a pattern like this") from exc


_TOO_MUCH = (OverflowError, RecursionError, MemoryError, ValueError)
_LARGEST = 1_000_000

# `\w` of `re` is a letter, a number or `_`; that of `regex` also a combining mark, but not every
# number. `\s` of `re` is also one of the separators 1C to 1F. Sets of `regex` cannot be subtracted,
# so that what is left is listed.
_WORD = r"\p{L}\p{N}_"
_SPACE = r"\s\x1c-\x1f"
_IN_SET = {
    r"\w": _WORD,
    r"\W": r"\p{M}\p{S}\p{Z}\p{C}\p{Pd}\p{Ps}\p{Pe}\p{Pi}\p{Pf}\p{Po}\u203f\u2040\u2054\ufe33\ufe34\ufe4d-\ufe4f\uff3f",
    r"\s": _SPACE,
    r"\S": r"\p{L}\p{M}\p{N}\p{P}\p{S}\p{Cf}\p{Cn}\p{Co}\p{Cs}\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f",
}
# Where case is ignored, one combining mark would pass for the letter that it becomes in capitals.
_ONE_WORD = f"(?-i:[{_WORD}])"
_ONE_OTHER = f"(?-i:[^{_WORD}])"
_ALONE = {
    r"\w": _ONE_WORD,
    r"\W": _ONE_OTHER,
    r"\s": f"[{_SPACE}]",
    r"\S": f"[^{_SPACE}]",
    r"\b": f"(?:(?<={_ONE_WORD})(?!{_ONE_WORD})|(?<!{_ONE_WORD})(?={_ONE_WORD}))",
    r"\B": f"(?:(?<={_ONE_WORD})(?={_ONE_WORD})|(?<!{_ONE_WORD})(?!{_ONE_WORD}))",
}

# The parts of a pattern that `re` has accepted. Everywhere an escaped character is one token to it,
# so that `\)` does not end a remark.
_PARTS = r"""
      (?P<escape>   \\N\{[^}]*\} | \\. )
    | (?P<set>      \[ \^? \]? (?: \\. | [^\]\\] )* \] )
    | (?P<nothing>  \(\?\# (?: \\. | [^)\\] )* \) )
    | (?P<scope>    \(\? [a-zA-Z]* (?: -[a-z]+ )? : )
    | (?P<repeat>   \{ (?!\}) (?P<least>[0-9]*) (?: ,[0-9]* )? \} )
    | (?P<brace>    \{ )
    | (?P<other>    . )
"""
_VERBOSE_PARTS = r"(?P<space> [\ \t\n\r\f\v]+ | \# (?: \\. | [^\n\\] )* ) |" + _PARTS
_PART = re.compile(_PARTS, re.VERBOSE | re.DOTALL)
_VERBOSE_PART = re.compile(_VERBOSE_PARTS, re.VERBOSE | re.DOTALL)
_MEMBER = re.compile(r"\\.|.", re.DOTALL)


def _spelled_for_regex(pattern: str, flags: int) -> str:
    """The pattern spelled so that `regex` understands by it what `re` does.

    `regex` takes for its own what is plain text to `re`: by `a{e}` it would find anything that
    resembles an "a", by `[[:alpha:]]` any letter. Its classes hold other characters, too. Two things
    stay different: characters that Python's Unicode tables do not know yet, and a dotless i, which
    `re` takes for an "i" where case is ignored. Raises `BadPattern` for what cannot be spelled.
    """
    parts = list((_VERBOSE_PART if flags & re.VERBOSE else _PART).finditer(pattern))
    _check_size(parts, len(pattern))
    ascii_only = bool(flags & re.ASCII)
    return "".join(_part_for_regex(part, ascii_only=ascii_only) for part in parts)


def _part_for_regex(part: re.Match[str], *, ascii_only: bool) -> str:
    text = part[0]
    match part.lastgroup:
        case "escape" if not ascii_only:
            return _ALONE.get(text, text)
        case "set":
            return _set_for_regex(text, {} if ascii_only else _IN_SET)
        case "scope" if set(text) & set("aux"):
            # `regex` would not end the first two with their group.
            raise BadPattern(f"the flags a, u and x cannot be set for a group, at position {part.start()}")
        case "brace":
            return r"\{"
        case "nothing" | "space":
            # A remark instead of nothing, so that what stood around it does not join.
            return "(?#)"
    return text


def _set_for_regex(text: str, classes: Mapping[str, str]) -> str:
    head = "[^" if text.startswith("[^") else "["
    members = [member[0] for member in _MEMBER.finditer(text, len(head), len(text) - 1)]
    if head == "[^" and any({kind, kind.upper()} <= set(members) for kind in (r"\d", r"\s", r"\w")):
        # A set that holds nothing holds everything to `regex`.
        return "(?:(?!).)"
    return head + "".join("\\" + one if one in "[]" else classes.get(one, one) for one in members) + "]"


def _check_size(parts: Iterable[re.Match[str]], length: int) -> None:
    """Raises `BadPattern` where `regex`, which writes repeats out, might need more memory than there is."""
    largest, groups, before = 1, 1, ""
    for part in parts:
        if part.lastgroup == "repeat":
            least = int(part["least"] or 0)
            if before == ")":
                groups *= max(least, 1)
            else:
                largest = max(largest, least)
            if largest * groups * length > _LARGEST:
                raise BadPattern(f"the pattern repeats too much, at position {part.start()}")
        if part.lastgroup not in ("nothing", "space"):
            before = part[0]
