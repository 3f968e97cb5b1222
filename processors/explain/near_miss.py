"""What nearly matches: texts that a person takes for the same, patterns that would match but for a detail. Pure."""

import contextlib
from collections.abc import Callable, Collection
from typing import Final, NamedTuple

from processors.routing import patterns
from processors.routing.patterns import BadPattern, PatternTimeout
from processors.routing.rules import MatchMode
from processors.text import accession_likeness, without_padding


class Matching(NamedTuple):
    """How patterns are read: whether they must match all of a text, and for how long each may be tried."""

    mode: MatchMode
    time_limit: float


_STEPS: dict[str, Callable[[str], str]] = {
    "blanks": lambda text: "".join(text.split()),
    "case": str.casefold,
    "leading zeros": lambda text: text.lstrip("0"),
}
_OF_TITLES = ("blanks", "case")


def title_difference(one: str, other: str) -> str:
    """What keeps two AE titles or UIDs from being equal: blanks, case or both; "" where it is more, or nothing."""
    return _difference(one, other, _OF_TITLES)


def accession_difference(one: str, other: str) -> str:
    """The same for accession numbers, where leading zeros may be what differs, too."""
    return _difference(one, other, _STEPS)


def accession_nearness(wanted: str, known: str) -> str:
    """What keeps two accession numbers from being equal, in words; "" where it is more than one typing error."""
    detail = accession_difference(wanted, known)
    if detail:
        return f"differs by {detail} only"
    is_near = accession_likeness(known) in one_error(accession_likeness(wanted))
    return "differs by one character, or by two that are swapped" if is_near else ""


_LONGEST_TYPED: Final = 64
_DIGITS: Final = "0123456789"
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"


def one_error(text: str) -> set[str]:
    """All texts that one typing error makes of it: another character, one too many or too few, or two swapped.

    Other characters are digits, letters where it holds any, and its own. What nobody types is left alone.
    """
    if len(text) > _LONGEST_TYPED:
        return set()
    alphabet = {*_DIGITS, *text, *(_LETTERS if any(map(str.isalpha, text)) else "")}
    places = range(len(text))
    return {
        *(text[:at] + other + text[at + 1 :] for at in places for other in alphabet),
        *(text[:at] + other + text[at:] for at in range(len(text) + 1) for other in alphabet),
        *(text[:at] + text[at + 1 :] for at in places),
        *(text[:at] + text[at + 1 : at + 2] + text[at] + text[at + 2 :] for at in places[:-1]),
    } - {text, ""}


def pattern_nearness(pattern: str, text: str, matching: Matching) -> str:
    """What keeps a pattern from matching a text that it nearly matches; "" where there is no such thing."""
    with contextlib.suppress(BadPattern, PatternTimeout):
        if matching.mode == "full" and _matches(pattern, text, Matching("prefix", matching.time_limit)):
            return 'matches the start only, which counts where routing.match is "prefix"'
        if _matches(f"(?i){pattern}", text, matching):
            return "would match if case were ignored"
        if _matches(pattern, without_padding(text), matching):
            return "would match without the blanks around the text"
    return ""


def _matches(pattern: str, text: str, matching: Matching) -> bool:
    match = patterns.match(pattern, text, time_limit=matching.time_limit)
    return match is not None and (match.whole or matching.mode == "prefix")


def _difference(one: str, other: str, names: Collection[str]) -> str:
    alike = _without(names, one)
    if one == other or not alike or alike != _without(names, other):
        return ""
    needed = [name for name in names if _without_others(name, names, one) != _without_others(name, names, other)]
    return " and ".join([*([", ".join(needed[:-1])] if needed[1:] else []), *needed[-1:]])


def _without_others(name: str, names: Collection[str], text: str) -> str:
    return _without([other for other in names if other != name], text)


def _without(names: Collection[str], text: str) -> str:
    for name in names:
        text = _STEPS[name](text)
    return text
