"""What stands for an accession number where it is not to be read."""

from ledger.vault import SubjectName
from processors.text import accession_likeness, without_padding


def accession_subject(number: str) -> SubjectName | None:
    """By what an accession number is known to the vault, whatever pads it; None for a blank one.

    Studies and coupling entries of one number have this subject in common, so that they are found by each other without
    the number, until it is forgotten.
    """
    number = without_padding(number)
    return SubjectName("accession", "", number, accession_likeness(number)) if number else None
