"""Which names a pattern has: the same as for Python's `re`, each once."""

from __future__ import annotations

import pickle
import re
import string
import subprocess
import sys
import tracemalloc

import pytest
from hypothesis import given, reject, settings

from processors.naming import Pattern, PatternError, parse
from tests.naming.made_patterns import LONGEST, TEXTS, names_by_filtering, pattern_texts

MOST_LISTED = 3000

SMALL_AND_ODD = [
    "(a|ab)(c|bc)",
    "[ab]|[bc]",
    "(a|b|)?(a|)",
    "(a|bc|)",
    "(?:)",
    "",
    "a{,2}b{0}c{2}",
    "(?:a?){3}",
    "(?:a|b?){2,3}",
    "^a|b$",
    r"\A[ab]{1,2}\Z",
    "a??b{1,2}?",
    r"(a|b)\1",
    r"(?P<first>[ab])c?(?P=first)",
    r"(a)?\1",
    r"(a)?(?:\1|b)",
    r"(a|)?\1",
    r"(?:(a)|b){2}\1",
    r"([ab]){2}\1",
    r"([abc]{1,2})(?:\1|ab|[bc])",
    r"([abc])([abc])(?:\1|\2|c)",
    r"([abc])([abc])([abc])(?:\3|\1|\2)(?:\1|\2)",
    r"((a|b)\2)\1",
    r"([ab]{1,3})\1",
    r"(?:([abc])\1){2}\1",
    r"(a|b|)\1(?:\1c)?",
]


@pytest.mark.parametrize("text", SMALL_AND_ODD)
def test_small_patterns_have_the_names_that_filtering_all_texts_finds(text: str) -> None:
    pattern = parse(text)
    names = [pattern.unrank(number) for number in range(pattern.count)]
    assert len(set(names)) == len(names)
    assert set(names) == names_by_filtering(text)


@settings(derandomize=True, deadline=None, max_examples=150, database=None)
@given(pattern_texts())
def test_any_small_pattern_has_the_names_that_filtering_all_texts_finds(text: str) -> None:
    pattern = _parsed(text)
    expected = names_by_filtering(text)
    assert {candidate for candidate in TEXTS if pattern.matches(candidate)} == expected
    if pattern.count <= MOST_LISTED:
        names = [pattern.unrank(number) for number in range(pattern.count)]
        assert {name for name in names if len(name) <= LONGEST} == expected
        assert all(re.fullmatch(text, name) for name in names)


@settings(derandomize=True, deadline=None, max_examples=100, database=None)
@given(pattern_texts())
def test_rank_is_the_inverse_of_unrank(text: str) -> None:
    pattern = _parsed(text)
    step = pattern.count // MOST_LISTED + 1
    for number in range(0, pattern.count, step):
        assert pattern.rank(pattern.unrank(number)) == number


def _parsed(text: str) -> Pattern:
    try:
        return parse(text)
    except PatternError as problem:
        # The one refusal that depends on how parts are put together, and not on the parts.
        if not problem.problem.startswith("expected no back reference to group"):
            raise
        reject()


def test_a_count_of_three_to_five_means_three_to_five() -> None:
    pattern = parse("[0-9a-f]{3,5}")
    assert pattern.count == 16**3 + 16**4 + 16**5
    assert [pattern.matches("0" * length) for length in range(2, 7)] == [False, True, True, True, False]


def test_ranks_of_a_fixed_number_of_digits_are_in_reading_order() -> None:
    pattern = parse("PROJ_[0-9]{4}")
    assert [pattern.unrank(number) for number in (0, 1, 9999)] == ["PROJ_0000", "PROJ_0001", "PROJ_9999"]


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        (r"\d", string.digits),
        (r"\w", string.ascii_letters + string.digits + "_"),
        (".", string.ascii_letters + string.digits),
        (r"[\d-]", string.digits + "-"),
        (r"[\w.]", string.ascii_letters + string.digits + "_."),
    ],
)
def test_classes_hold_the_documented_characters_and_no_others(text: str, letters: str) -> None:
    pattern = parse(text)
    assert pattern.count == len(letters)
    assert {pattern.unrank(number) for number in range(pattern.count)} == set(letters)
    assert not pattern.matches("\N{ARABIC-INDIC DIGIT ONE}")
    assert not pattern.matches("é")


@pytest.mark.parametrize(
    "text",
    [
        "[]a]", "[a-]", "[-a]", "[a^]", r"[a\]b]", r"[\[\\]", "[é-í]", "日本[一二]", r"\.\-\_\(",
        r"\x41\u00e9\U0001F600", "a{", "a{x}", "a{}", "{a", "x{1,2", "a}", "]", r"[+-\-]", r"a\ b", "a#b",
        "[.]", "[$^]", "🙂?",
    ],
)  # fmt: skip
def test_literals_escapes_and_sets_mean_what_they_mean_to_python(text: str) -> None:
    pattern = parse(text)
    names = {pattern.unrank(number) for number in range(pattern.count)}
    letters = {chr(code) for code in range(0x20, 0x250)} | set("日本一二🙂😀")
    assert all(re.fullmatch(text, name) for name in names)
    assert names & letters == {letter for letter in letters if re.fullmatch(text, letter)}


def test_back_references_into_very_large_groups_are_counted_exactly() -> None:
    assert parse(r"([a-z0-9]{12})-[0-9]{4}-\1").count == 36**12 * 10**4
    assert parse(r"([0-9]{8})(?:\1|[0-9]{8})").count == 10**16
    # Three letters, three letters, and one of the two again: the pairs that are equal have one name.
    assert parse(r"([A-Z]{3})([A-Z]{3})(?:\1|\2)").count == 2 * 26**6 - 26**3
    pattern = parse(r"(\w{64})(\w{64})\2\1")
    name = pattern.unrank(pattern.count // 3)
    assert pattern.rank(name) == pattern.count // 3
    assert name[:64] == name[192:]
    assert name[64:128] == name[128:192]


def test_a_pattern_with_more_names_than_atoms_on_earth_costs_next_to_nothing() -> None:
    tracemalloc.start()
    try:
        pattern = parse("[a-z0-9]{64}")
        assert pattern.count == 36**64
        assert pattern.rank(pattern.unrank(36**63)) == 36**63
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_pattern_whose_groups_can_never_take_part_has_no_names() -> None:
    assert parse(r"(a){0}\1").count == 0


@pytest.mark.parametrize("number", [-1, 10])
def test_a_rank_outside_the_pattern_is_refused(number: int) -> None:
    with pytest.raises(IndexError, match=f"expected a rank from 0 to below 10, found {number}"):
        parse("[0-9]").unrank(number)


@pytest.mark.parametrize("text", ["", "P_1", "P_123", "p_12", "P_12\n", "P_1٢", " P_12"])
def test_a_text_that_is_no_name_has_no_rank(text: str) -> None:
    pattern = parse("P_[0-9]{2}")
    assert not pattern.matches(text)
    with pytest.raises(ValueError, match="expected a name of the pattern"):
        pattern.rank(text)


@pytest.mark.parametrize("text", [r"(a|b|[b-d]x)([cd]|ab?)(?:\1|\2|[ab]c|z)(?:\2|b)?", "[a-c]|[b-d]|(?:x|y)[xz]?"])
def test_ranks_are_the_same_in_every_process(text: str) -> None:
    code = "import sys; from processors.naming import parse; pattern = parse(sys.argv[1]); "
    code += "print([pattern.unrank(number) for number in range(pattern.count)])"
    printed = {
        subprocess.run(
            [sys.executable, "-c", code, text],
            env={"PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            encoding="utf-8",
        ).stdout
        for seed in "123"
    }
    pattern = parse(text)
    assert printed == {f"{[pattern.unrank(number) for number in range(pattern.count)]}\n"}


def test_patterns_are_values_that_can_be_compared_and_sent_to_another_process() -> None:
    pattern = parse("[ab]{400}")
    assert pattern == parse("[ab]{400}")
    assert pickle.loads(pickle.dumps(pattern)).unrank(5) == pattern.unrank(5)  # noqa: S301  # our own bytes
    assert repr(parse("[ab]")) == "Pattern(text='[ab]', count=2)"
