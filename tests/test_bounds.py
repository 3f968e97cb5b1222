"""Bounds of what comes in: nothing that is longer, larger or odd gets through, and what differs stays different."""

import math
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors import bounds

ANY_TEXT = st.text(st.characters(), max_size=60)


@given(ANY_TEXT, st.integers(20, 50))
def test_no_text_is_longer_than_its_bound_and_shorter_ones_stay(text: str, longest: int) -> None:
    found = bounds.cut(text, longest)
    assert len(found) == min(len(text), longest)
    assert found == text or len(text) > longest


def test_long_texts_that_differ_at_their_end_only_stay_different() -> None:
    assert bounds.cut("a" * 9_000 + "b", 200) != bounds.cut("a" * 9_000 + "c", 200)


def test_a_name_longer_than_the_bound_equals_itself_in_whichever_list_it_stands() -> None:
    long = "PROJECT " * 1_000
    assert bounds.name(f"  {long}\x00") == bounds.name(long.strip())
    assert len(bounds.name(long).encode("utf-32-le")) <= 2_704, "PostgreSQL indexes no more bytes"


def test_what_a_list_holds_beyond_the_bound_is_counted() -> None:
    found = bounds.items(["x" * 9_000] * 250)
    assert (len(found), len(found[0]), found[-1]) == (100, 200, "~151 more")
    assert bounds.items(["T1"] * 100) == ("T1",) * 100


def test_what_is_too_long_is_told_without_what_it_holds() -> None:
    values = {"cl_subjectid": "secret" * 100, "cl_eventname": "short"}
    assert bounds.overlong(values, {"cl_subjectid": 400, "cl_eventname": 200, "absent": 1}) == (
        "cl_subjectid has 600 characters: expected at most 400.",
    )


@given(st.integers(-(2**80), 2**80), st.integers(1, 10**12))
def test_any_time_of_a_file_fits_64_bits_and_another_time_is_another(time: int, later: int) -> None:
    found = bounds.nanoseconds(time)
    assert -(2**63) <= found < 2**63
    assert bounds.nanoseconds(time + later) != found


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"\xef\xbb\xbf{}", {}),
        (b'{"a": NaN, "b": [Infinity, -Infinity]}', {"a": None, "b": [None, None]}),
        (b"[NaN, " + b"9" * 5_000 + b"]", [None, None]),
        (b"[NaN, 123456789012345678901234]", [None, 1.2345678901234568e23]),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
    ],
)
def test_json_is_read_as_leniently_as_by_those_who_write_it(content: bytes, value: object) -> None:
    assert bounds.read_json(content, surrogates="strict") == value


def test_half_a_character_is_wrong_or_replaced() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        bounds.read_json(b'"a\\ud800"', surrogates="strict")
    assert bounds.read_json(b'"a\\ud800"', surrogates="replace") == "a?"


@given(st.binary() | st.text(string.printable).map(str.encode) | st.just(b"[" * 100_000))
def test_any_content_is_a_value_or_a_value_error(content: bytes) -> None:
    try:
        found = bounds.read_json(content, surrogates="replace")
    except ValueError:
        return
    assert not isinstance(found, float) or math.isfinite(found)


@pytest.mark.parametrize(
    ("text", "number"), [("17", 17), ("9" * 5_000, None), ("\u0663", None), ("", None), ("-1", None)]
)
def test_a_count_is_a_number_that_fits(text: str, number: int | None) -> None:
    assert bounds.count(text) == number
