"""Whether a pseudonym holds a part of a person's name, in whatever script and transcription. Pure."""

import unicodedata
from collections.abc import Iterator

import regex

from processors.text import same_to_people

SHORTEST_PART = 3

_WORD = regex.compile(r"[\p{L}\p{M}]+")
_PLAIN = str.maketrans(
    {"æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ħ": "h", "ŧ": "t", "ŋ": "ng", "ı": "i"}
    # The stroke that draws an Arabic word out.
    | {"\u0640": ""}
)
"""The letters that Unicode does not take apart; it does so with ö and å."""
_TRANSCRIBED = regex.compile(r"(?<=a)[ae]+|(?<=[ou])e+")
"""What stands after the plain letter where ä, å, æ, ö, ø, œ and ü are written with two."""
_MARKS_TO_READ = frozenset({0, 8, 9, 84, 91, 103, 118, 129, 130, 132})
"""The combining classes of vowels, and of what takes one away: words of India, Tibet and Thailand are made of them."""


def share_a_part(name: str, pseudonym: str) -> bool:
    """Whether a part of three letters or more of a PatientName, or the whole name written as one, is in a pseudonym.

    Case, width and accents make no difference, nor does it whether ø is written so, as o or as oe.
    """
    return any(
        _is_in(folded_name, folded) for folded_name, folded in zip(_foldings(name), _foldings(pseudonym), strict=True)
    )


def are_apart(name: str, other: str) -> bool:
    """Whether two PatientNames share no part of three letters or more; one without such a part is like any other."""
    return _has_a_part(name) and _has_a_part(other) and not (share_a_part(name, other) or share_a_part(other, name))


def _has_a_part(name: str) -> bool:
    return any(len(word) >= SHORTEST_PART for word in _WORD.findall(_foldings(name)[0]))


def _is_in(name: str, pseudonym: str) -> bool:
    words = _WORD.findall(pseudonym)
    apart, as_one = " ".join(words), "".join(words)
    return any(len(part) >= SHORTEST_PART and part in apart for part in _WORD.findall(name)) or any(
        len(whole) >= SHORTEST_PART and whole in as_one for whole in _as_one(name)
    )


def _as_one(name: str) -> Iterator[str]:
    """The name of each script without what stands between its parts, in either order of family and given name."""
    for group in name.split("="):
        parts = ["".join(_WORD.findall(component)) for component in group.split("^")]
        parts = [part for part in parts if part] if sum(map(bool, parts)) > 1 else _WORD.findall(group)
        yield from ("".join(parts), "".join(parts[:2]), "".join(parts[1::-1]))


def _foldings(text: str) -> tuple[str, str]:
    """The text in plain letters, and so that what is written with two letters is as plain, too."""
    decomposed = unicodedata.normalize("NFKD", same_to_people(text).translate(_PLAIN))
    plain = "".join(each for each in decomposed if unicodedata.combining(each) in _MARKS_TO_READ)
    return plain, _TRANSCRIBED.sub("", plain)
