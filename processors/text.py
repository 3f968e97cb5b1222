"""Which texts name nobody, what of a text is padding, which are one to people, and what of them can be shown. Pure.

Scanners pad with blanks and NULs; no-break blanks and zero-width characters come in with copied text, and nobody sees
them. A PatientID of nothing else would make one patient of everybody who has it; one that differs by them alone would
make two patients of one.
"""

import re
from collections.abc import Collection
from typing import Final
from unicodedata import category, normalize

import regex

SHORTEST_TELLING: Final = 4
"""Shorter texts stand in any ledger, and mean nothing there."""

_NOTHING_TO_SEE = ("Cc", "Cf", "Zs", "Zl", "Zp")
_WITHOUT_A_WIDTH = regex.compile(r"[\p{Default_Ignorable_Code_Point}\p{Cf}]+")
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
_HYPHENS = dict.fromkeys([*range(0x2010, 0x2016), 0x2212, 0xFE63, 0xFF0D], "-")


def is_blank(text: str) -> bool:
    """Whether a text holds nothing but whitespace, control and zero-width characters, or nothing at all."""
    # Nearly every text shows at its first character that it is not: asking `all` takes ten times as long.
    return not text[:1].isalnum() and all(map(_is_padding, text))


def without_padding(text: str) -> str:
    """The text without whitespace, control and zero-width characters around it, in whatever order they stand there."""
    # Nearly every text begins and ends with what can be seen: most take no loop.
    start, end = 0, len(text)
    while start < end and _is_padding(text[start]):
        start += 1
    while end > start and _is_padding(text[end - 1]):
        end -= 1
    return text[start:end]


def printable(text: str) -> str:
    """The text on one line: what steers a terminal or a page, is not seen, or turns letters around is replaced."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def uncalculated(text: str) -> str:
    """The text for a cell of a spreadsheet: on one line, after an apostrophe where it would be calculated."""
    text = printable(text)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text


def same_to_people(text: str) -> str:
    """Equal for texts that people, or REDCap's tables, take for one.

    Case, width, characters without a width, and which of the hyphens it is make no difference.
    """
    if text.isascii():
        return without_padding(text).casefold()
    visible = _WITHOUT_A_WIDTH.sub("", text).translate(_HYPHENS)
    return normalize("NFKC", normalize("NFKC", without_padding(visible)).casefold())


def with_padding(patient_id: str) -> list[str]:
    """The PatientID as scanners may have padded it, and without."""
    return [f"{before}{patient_id}{after}" for before in ("", " ") for after in ("", " ", "\x00")]


def words_of(texts: Collection[str]) -> re.Pattern[str]:
    """What finds one of the texts where it stands with no letter or digit beside it, in whatever case."""
    alternatives = "|".join(re.escape(bare) for each in texts if (bare := each.strip()))
    return re.compile(rf"(?<![^\W_])(?:{alternatives})(?![^\W_])" if alternatives else r"(?!)", re.IGNORECASE)


def parts_of_name(name: str) -> list[str]:
    """The words of a PatientName that tell who is meant wherever they stand: those of four characters and more."""
    return [part for part in re.findall(r"[^\W_]+", name) if len(part) >= SHORTEST_TELLING]


def _is_padding(character: str) -> bool:
    return not character.isalnum() and category(character) in _NOTHING_TO_SEE


def accession_likeness(text: str) -> str:
    """What accession numbers have in common that differ by blanks, case or leading zeros; "" where nothing is left."""
    return "".join(text.split()).casefold().lstrip("0")
