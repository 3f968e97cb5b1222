"""Which PatientIDs stand for nobody: blank ones, and placeholders such as UNKNOWN. Pure.

Scanners and anonymisers fill them in where a PatientID is wanted and nobody knows it. As a patient's, each would make
one patient of everybody who has it.
"""

from collections.abc import Collection, Iterator

from processors.text import same_to_people

_MOST_ZEROS = 16
USUAL = ("UNKNOWN", "ANONYMOUS", "NONE", "N/A", "0")


class Placeholders:
    """The PatientIDs that stand for nobody, whatever their case and padding; "0" stands for zeros of any number.

    `spellings` are those that are usual, for where only hashes of them can be compared.
    """

    def __init__(self, texts: Collection[str]) -> None:
        self._texts = frozenset(map(_compared, texts)) | {""}
        self.spellings = frozenset(spelling for each in texts for spelling in _spellings(each)) | {"", " "}

    def names_nobody(self, patient_id: str) -> bool:
        """Whether a PatientID is a placeholder, or blank."""
        return _compared(patient_id) in self._texts


def _spellings(text: str) -> Iterator[str]:
    yield from (text, text.lower(), text.upper(), text.title())
    if not text.strip("0"):
        yield from ("0" * number for number in range(1, _MOST_ZEROS + 1))


def _compared(text: str) -> str:
    bare = same_to_people(text)
    return bare if bare.strip("0") else bare[:1]


USUAL_PLACEHOLDERS = Placeholders(USUAL)
ONLY_BLANKS = Placeholders(())
