r"""The parts of a pattern that stand for one character: literals, escapes, sets such as `[a-z0-9]`.

Three readings are narrower than in Python's `re`, because names are typed and read aloud by people:
`\d` is 0 to 9, `\w` is an ASCII letter, digit or underscore, `.` is an ASCII letter or digit.
"""

from __future__ import annotations

import string
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from processors.naming.reader import Reader

DIGITS = frozenset(string.digits)
LETTERS_AND_DIGITS = DIGITS | frozenset(string.ascii_letters)
WORD = LETTERS_AND_DIGITS | {"_"}

LARGEST_SET = 50_000

_CLASSES = {"d": DIGITS, "w": WORD}
_NEGATED = {"D": "anything but a digit", "W": "anything but a word character", "S": "anything but a blank"}
_CODE_DIGITS = {"x": 2, "u": 4, "U": 8}
_CONTROLS = frozenset("abfnrtv")
_SET_OPERATORS = ("--", "&&", "~~", "||")

# Line breaks would turn one name into two wherever names are listed one a line; the others cannot be
# seen (control characters) or not be written as UTF-8 (surrogates).
_UNWRITABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})


def read_literal(reader: Reader) -> frozenset[str]:
    """The next character, which stands for itself."""
    place = reader.place
    return frozenset({_writable(reader, reader.take(), place)})


def read_escape(reader: Reader) -> frozenset[str]:
    r"""What an escape stands for: `\d`, `\w`, a code such as `\x41`, or an escaped character itself."""
    place = reader.place
    reader.take()
    if reader.finished:
        reader.refuse("expected a character after the backslash, found the end of the pattern", place)
    letter = reader.take()
    if letter in _CLASSES:
        return _CLASSES[letter]
    if letter in _CODE_DIGITS:
        return frozenset({_read_code(reader, letter, place)})
    if letter in WORD - {"_"}:
        reader.refuse(_why_not(letter), place)
    return frozenset({_writable(reader, letter, place)})


def _why_not(letter: str) -> str:
    if letter in _NEGATED:
        return f"expected a set of named characters, found \\{letter}, which is {_NEGATED[letter]}"
    if letter == "s":
        return "expected a character that can be seen in a name, found \\s, which is any kind of blank"
    if letter in "bB":
        return f"expected a character, found the word boundary \\{letter}, which is not supported"
    if letter in "AZ":
        return f"expected the anchor \\{letter} only at the {'start' if letter == 'A' else 'end'} of the pattern"
    if letter in _CONTROLS:
        return f"expected a character that can be seen in a name, found the control character \\{letter}"
    if letter in DIGITS:
        return f"expected a character, found \\{letter}, an octal code; write it as \\x and two hex digits"
    return f"expected an escape that is known here, found \\{letter}"


def _read_code(reader: Reader, kind: str, place: int) -> str:
    wanted = _CODE_DIGITS[kind]
    code = reader.take(wanted)
    if len(code) < wanted or not set(code) <= set(string.hexdigits):
        reader.refuse(f"expected {wanted} hex digits after \\{kind}, found something else", place)
    if int(code, 16) > 0x10FFFF:
        reader.refuse(f"expected a character's code up to 10ffff, found {code}", place)
    return _writable(reader, chr(int(code, 16)), place)


def _writable(reader: Reader, letter: str, place: int) -> str:
    if unicodedata.category(letter) in _UNWRITABLE:
        reader.refuse(
            f"expected a character that can be seen in a name, found U+{ord(letter):04X} "
            f"(a control character, line break or surrogate)",
            place,
        )
    return letter


def read_set(reader: Reader) -> frozenset[str]:
    r"""A set in brackets: single characters, ranges and the classes `\d` and `\w`."""
    place = reader.place
    reader.take()
    if reader.sees("^"):
        reader.refuse("expected a set of named characters, found the negated set [^...]")
    characters = set(_read_member(reader, place))
    while not reader.accept("]"):
        characters |= _read_member(reader, place)
    if len(characters) > LARGEST_SET:
        reader.refuse(f"expected a set of at most {LARGEST_SET} characters, found {len(characters)}", place)
    return frozenset(characters)


def _read_member(reader: Reader, opened: int) -> frozenset[str]:
    if reader.finished:
        reader.refuse("expected a closing ] for this set, found the end of the pattern", opened)
    if reader.sees("[", *_SET_OPERATORS):
        # Python's re warns that it will read these in another way one day: no name may depend on that.
        reader.refuse("expected a plain set, found a nested set or a set operation; escape it to mean the character")
    place = reader.place
    first = _read_single(reader)
    if not reader.sees("-") or reader.sees("-]"):
        return first
    reader.take()
    if reader.finished:
        reader.refuse("expected a closing ] for this set, found the end of the pattern", opened)
    return _range(reader, first, _read_single(reader), place)


def _read_single(reader: Reader) -> frozenset[str]:
    return read_escape(reader) if reader.sees("\\") else read_literal(reader)


def _range(reader: Reader, first: frozenset[str], last: frozenset[str], place: int) -> frozenset[str]:
    written = reader.text[place : reader.place]
    if len(first) != 1 or len(last) != 1:
        reader.refuse(f"expected a range between two characters, found {written}", place)
    (low,), (high,) = first, last
    if low > high:
        reader.refuse(f"expected a range from the lower to the higher character, found {written}", place)
    if ord(high) - ord(low) >= LARGEST_SET:
        reader.refuse(f"expected a range of at most {LARGEST_SET} characters, found {written}", place)
    return frozenset(_writable(reader, chr(code), place) for code in range(ord(low), ord(high) + 1))
