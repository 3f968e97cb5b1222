"""Whether a pseudonym fits: it is of the project's naming pattern, and holds nothing that tells whose it is. Pure."""

from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from processors.national_numbers import is_national_number
from processors.routing.name_parts import share_a_part
from processors.text import is_blank, same_to_people, without_padding

if TYPE_CHECKING:
    from processors.naming import Pattern

NOT_OF_THE_PATTERN = "it is not of the project's naming pattern (project_patient_naming)"
A_NATIONAL_NUMBER = "it is a national identity number"
THE_PATIENT_ID = "it is the study's own PatientID"
PART_OF_THE_NAME = "it shares a part of three letters or more with the PatientName"


class Identity(NamedTuple):
    """What a study's series say of whose it is."""

    patient_ids: Collection[str] = ()
    patient_names: Collection[str] = ()


@lru_cache(maxsize=1_000)
def readable(pattern: str) -> "Pattern | None":
    """The naming pattern; None where it is blank, or the engine that draws pseudonyms cannot read it."""
    if is_blank(pattern):
        return None
    # Imported here: the engine of patterns is large, and most runs meet none.
    from processors.naming import PatternError, parse

    try:
        return parse(pattern)
    except PatternError:
        return None


def breaks_pattern(pseudonym: str, patterns: Sequence["Pattern"]) -> str | None:
    """What is wrong with a pseudonym by the project's patterns: it must be a name of one of them, if there are any."""
    return NOT_OF_THE_PATTERN if patterns and not _is_of(patterns, pseudonym) else None


def tells_whose(
    pseudonym: str, patterns: Sequence["Pattern"], identity: Identity, countries: Collection[str]
) -> str | None:
    """What in a pseudonym tells whose it is, such as somebody may have typed."""
    if any(is_national_number(country, pseudonym) for country in countries):
        return A_NATIONAL_NUMBER
    if any(
        same_to_people(each) == same_to_people(pseudonym) and not _is_of(patterns, without_padding(each))
        for each in identity.patient_ids
    ):
        return THE_PATIENT_ID
    if any(
        share_a_part(each, pseudonym) and not _is_of(patterns, without_padding(each)) for each in identity.patient_names
    ):
        return PART_OF_THE_NAME
    return None


def _is_of(patterns: Sequence["Pattern"], text: str) -> bool:
    return any(pattern.matches(text) for pattern in patterns)
