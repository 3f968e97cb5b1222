"""Numbers that countries give to people, in whatever digits they are typed. All are examples of documentation."""

import pytest
from pydantic import ValidationError

from processors.configuration.settings import IdentitySection
from processors.national_numbers import is_national_number

NUMBERS = {
    "no": "27087824522",
    "se": "811228-9874",
    "es": "54362315K",
    "pt": "00000000 0 ZZ4",
    "tr": "10000000146",
    "br": "390.533.447-05",
    "in": "234123412346",
    "cn": "360426199101010071",
    "kr": "971013-9019902",
    "jp": "6214 9832 0257",
    "ca": "123-456-782",
    "au": "123 456 782",
}


@pytest.mark.parametrize(("country", "number"), NUMBERS.items())
@pytest.mark.parametrize(
    "zero", ["0", "\N{FULLWIDTH DIGIT ZERO}", "\N{ARABIC-INDIC DIGIT ZERO}", "\N{THAI DIGIT ZERO}"]
)
def test_a_number_is_known_in_any_digits(country: str, number: str, zero: str) -> None:
    typed = number.translate({ord("0") + digit: ord(zero) + digit for digit in range(10)})
    assert is_national_number(country, typed)
    assert not is_national_number(country, "H-001")


def test_a_country_that_is_not_known_is_told_which_are() -> None:
    with pytest.raises(ValidationError, match=r"expected one of .*\bau, .*\bin, .*\bno, .*\bza"):
        IdentitySection(national_numbers=("xx",))
