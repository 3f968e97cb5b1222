"""The numbers by which countries know people, as python-stdnum knows them. Pure."""

from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from unicodedata import decimal

import stdnum

from processors.text import same_to_people

_NUMBERS = (
    "personalid",
    "idnr",
    "bsn",
    "nir",
    "nhs",
    "codicefiscale",
    "dni",
    "nie",
    "pesel",
    "pk",
    "asmens",
    "pps",
    "rc",
    "ssn",
    "cc",
    "tckimlik",
    "cpf",
    "aadhaar",
    "ric",
    "rrn",
    "in_",
    "sin",
    "tfn",
)
"""What python-stdnum calls the number that a country gives to a person."""


def is_national_number(country: str, text: str) -> bool:
    """Whether the text, whatever its digits, blanks and dashes, is a number that the country gives to a person."""
    digits = "".join(str(decimal(each, each)) for each in same_to_people(text))
    return any(numbers.is_valid(digits) for numbers in national_numbers(country))


def known_countries() -> list[str]:
    """The codes of the countries whose numbers are known."""
    codes = [package.name.rstrip("_") for package in iter_modules(stdnum.__path__) if package.ispkg]
    return [code for code in codes if national_numbers(code)]


@lru_cache
def national_numbers(country: str) -> Sequence[ModuleType]:
    """The modules of python-stdnum that know the country's numbers; none where there are none."""
    # Python's reserved words cannot name a module.
    name = f"{country}_" if country in ("in", "is", "if") else country
    try:
        package = import_module(f"stdnum.{name}")
    except ModuleNotFoundError:
        return ()
    modules = (getattr(package, number, None) or _submodule(package, number) for number in _NUMBERS)
    return tuple(dict.fromkeys(each for each in modules if each is not None))


def _submodule(package: ModuleType, name: str) -> ModuleType | None:
    try:
        return import_module(f"{package.__name__}.{name}")
    except ModuleNotFoundError:
        return None
