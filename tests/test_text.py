"""Which texts count as blank, wherever it is asked."""

from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.vault import SubjectName
from processors.gateway import patient_subject
from processors.placeholders import ONLY_BLANKS, USUAL_PLACEHOLDERS, Placeholders
from processors.routing import patterns
from processors.routing.patient_keys import padded_key, patient_key
from processors.text import is_blank, same_to_people, without_padding

NOTHING_TO_SEE = st.text(st.characters(categories=("Zs", "Zl", "Zp", "Cc", "Cf")))
VISIBLE = st.characters(exclude_categories=("Zs", "Zl", "Zp", "Cc", "Cf"))


@pytest.mark.parametrize(
    "text",
    ["", " ", "\t\r\n", "\x00\x00", "\x1f", "\x85", "\xa0", "\xad", "\u200b", "\u200d", "\u2060", "\u3000", "\ufeff"],
)
def test_a_text_with_nothing_to_see_is_blank(text: str) -> None:
    assert is_blank(text)


@pytest.mark.parametrize("text", ["0", "-", "\x00a", "\u200b1\u200b", "\u0301", "\ud800", "山"])
def test_a_text_with_anything_to_see_is_not_blank(text: str) -> None:
    assert not is_blank(text)


@given(st.text())
def test_whatever_python_strips_is_blank(text: str) -> None:
    assert is_blank(text) or text.strip()
    assert is_blank(text) == all(category(one)[0] == "Z" or category(one) in ("Cc", "Cf") for one in text)


@given(NOTHING_TO_SEE)
def test_a_blank_patient_id_is_nobody_to_routing_sealing_and_auto_ids(blank: str) -> None:
    assert is_blank(blank)
    assert patterns.match("(?s).+", blank, time_limit=20) is None
    assert patient_subject("1.2.3", blank) == SubjectName("study", "", "1.2.3")
    assert patient_key(blank, ONLY_BLANKS) is None


@given(NOTHING_TO_SEE, VISIBLE, NOTHING_TO_SEE)
def test_anything_to_see_makes_a_patient_id_somebody(before: str, one: str, after: str) -> None:
    text = before + one + after
    assert not is_blank(text)
    assert patterns.match("(?s).+", text, time_limit=20) is not None
    assert patient_subject("1.2.3", text, ONLY_BLANKS) == SubjectName("patient", "", text)
    assert patient_key(text, ONLY_BLANKS) is not None


@pytest.mark.parametrize(
    "text", ["UNKNOWN", "anonymous", " None\x00", "N/A", "n/a ", "0", "000", "\u200b00000000 ", "ＮＯＮＥ"]
)
def test_a_placeholder_names_nobody_whatever_its_case_and_padding(text: str) -> None:
    assert USUAL_PLACEHOLDERS.names_nobody(text)
    assert patient_subject("1.2.3", text) == SubjectName("study", "", "1.2.3")
    assert (patient_key(text, USUAL_PLACEHOLDERS), padded_key(text, USUAL_PLACEHOLDERS)) == (None, None)


@pytest.mark.parametrize("text", ["UNKNOWN 1", "NONE0", "0N/A", "01", "100", "0 0", "NA", "-"])
def test_what_only_resembles_a_placeholder_names_somebody(text: str) -> None:
    assert not USUAL_PLACEHOLDERS.names_nobody(text)


def test_the_configured_placeholders_take_the_place_of_the_usual_ones() -> None:
    configured = Placeholders(["Phantom", "000"])
    given = ["PHANTOM", "0", "0000", "", "UNKNOWN"]
    assert [configured.names_nobody(text) for text in given] == [True, True, True, True, False]


@pytest.mark.parametrize("padded", ["P 1", " P 1", "P 1 ", "P 1\x00", "\x00 P 1 \x00 \n"])
def test_padding_is_what_stands_around_a_text(padded: str) -> None:
    assert without_padding(padded) == "P 1"


@given(st.text(st.sampled_from(" \t\x00aå")))
def test_what_is_without_padding_stays_as_it_is(text: str) -> None:
    bare = without_padding(text)
    assert bare in text
    assert bare == without_padding(bare) == bare.strip().strip("\x00")


@pytest.mark.parametrize(
    "variant",
    ["h-001", " H-001\t", "Ｈ－００１", "\U000e0020H-001"]
    + [f"H{hyphen}001" for hyphen in "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe63\uff0d"]
    + [f"H-0{nothing}01" for nothing in "\xad\u034f\u115f\u1160\u180b\u200b\u200d\u2060\u3164\ufe0f\ufeff\uffa0"],
)
def test_what_looks_the_same_is_the_same_to_people(variant: str) -> None:
    assert same_to_people(variant) == "h-001"


@given(st.text())
def test_what_is_the_same_to_people_stays_so(text: str) -> None:
    assert same_to_people(same_to_people(text)) == same_to_people(text)
