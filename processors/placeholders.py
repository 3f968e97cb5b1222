"""Which PatientIDs stand for nobody: blank ones, and placeholders such as UNKNOWN. Pure.

Scanners and anonymisers fill them in where a PatientID is wanted and nobody knows it. As a patient's, each would make
one patient of everybody who has it.
"""

from collections.abc import Collection, Iterator
from functools import cached_property
from itertools import product
from typing import Final

from processors.text import same_to_people, with_padding, without_padding

_MOST_ZEROS: Final = 64
_MOST_LETTERS: Final = 12
"""Of a longer placeholder, all ways to write it would be too many to hash."""
USUAL = ("UNKNOWN", "ANONYMOUS", "NONE", "N/A", "0")


class Placeholders:
    """The PatientIDs that stand for nobody, whatever their case and padding; "0" stands for zeros of any number."""

    def __init__(self, texts: Collection[str]) -> None:
        self._texts = frozenset(map(_compared, texts)) | {""}
        self._spelt = tuple(filter(None, map(without_padding, texts)))

    @cached_property
    def spellings(self) -> frozenset[str]:
        """Those in any case and with scanners' padding, for where only hashes of them can be compared.

        Of a placeholder of more than twelve letters, the usual ones.
        """
        spellings = {"", *(spelling for each in self._spelt for spelling in _spellings(each))}
        return frozenset(padded for spelling in spellings for padded in with_padding(spelling))

    def names_nobody(self, patient_id: str) -> bool:
        """Whether a PatientID is a placeholder, or blank."""
        return _compared(patient_id) in self._texts


def _spellings(text: str) -> Iterator[str]:
    if sum(map(str.isalpha, text)) > _MOST_LETTERS:
        yield from (text, text.lower(), text.upper(), text.title(), text.capitalize())
    else:
        yield from map("".join, product(*({letter.lower(), letter.upper()} for letter in text)))
    if not text.strip("0"):
        yield from ("0" * number for number in range(1, _MOST_ZEROS + 1))


def _compared(text: str) -> str:
    bare = same_to_people(text)
    return bare if bare.strip("0") else bare[:1]


USUAL_PLACEHOLDERS = Placeholders(USUAL)
ONLY_BLANKS = Placeholders(())
