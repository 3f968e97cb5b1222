"""Patterns mean what `re` takes them to mean, but cannot run for ever."""

import random
import re
import sys
import warnings
from unicodedata import category

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from processors.routing import patterns
from processors.routing.patterns import BadPattern, Match, PatternTimeout
from processors.text import is_blank

PATIENT = 20.0
"""Seconds: a limit that no pattern that ends at all can reach here."""


def match(pattern: str, text: str) -> Match | None:
    return patterns.match(pattern, text, time_limit=PATIENT)


def reason(pattern: str) -> str:
    with pytest.raises(BadPattern) as refused:
        patterns.check(pattern)
    return str(refused.value)


def by_re(pattern: str, text: str) -> Match | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled = re.compile(pattern)
    if compiled.match(text) is None:
        return None
    return Match(whole=compiled.fullmatch(text) is not None)


# Matching


def test_a_pattern_matches_from_the_start() -> None:
    assert match("PROJ_[0-9]+", "PROJ_17") == Match(whole=True)
    assert match("PROJ_[0-9]+", "a PROJ_17") is None


def test_a_tail_makes_a_match_partial() -> None:
    assert match("PROJ_[0-9]+", "PROJ_17 Hansen^Ola") == Match(whole=False)


def test_a_shorter_alternative_that_comes_first_does_not_hide_a_whole_match() -> None:
    assert match("a|ab", "ab") == Match(whole=True)


def test_a_lazy_pattern_is_whole_where_it_can_be() -> None:
    assert match("P.*?", "P-1") == Match(whole=True)


def test_a_line_break_at_the_end_is_a_tail_although_a_dollar_matches_before_it() -> None:
    assert match("P[0-9]+$", "P1\n") == Match(whole=False)


@pytest.mark.parametrize("blank", ["", " ", "\t\n", "\N{NO-BREAK SPACE}"])
def test_a_blank_pattern_matches_nothing(blank: str) -> None:
    assert match(blank, "P1") is None
    assert match(blank, blank) is None


@pytest.mark.parametrize("blank", ["", " ", "\t\n", "\N{IDEOGRAPHIC SPACE}"])
def test_a_blank_text_is_matched_by_nothing(blank: str) -> None:
    assert match(".*", blank) is None


def test_a_match_of_no_characters_is_partial() -> None:
    assert match("x*", "P1") == Match(whole=False)


@pytest.mark.parametrize(
    ("pattern", "start"),
    [
        ("PROJ_[0-9]+", "PROJ_"),
        ("^HRT-1$", "HRT-1"),
        ("PA?", "P"),
        ("PA{0,2}", "P"),
        ("PA*|B", ""),
        ("(PA)", ""),
        ("(?i)pa", ""),
        ("^^P", ""),
        ("P.A", "P"),
        (r"P\d", "P"),
        ("", ""),
    ],
)
def test_what_a_match_begins_with_is_seen_where_it_is_plain(pattern: str, start: str) -> None:
    assert patterns.literal_start(pattern) == start


# Time


ENDLESS = ["(a|aa)+$", "(?:a|a)+$", "(a|aa)+c"]
"""Patterns that `regex` would try for longer than the universe, too; for `(a+)+$` it knows a way out."""


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a*)*b", "(a|a)*c", "(.*a){20}$", "(?:a?){30}a{60}$"])
def test_a_pattern_that_keeps_re_busy_for_ever_ends_one_way_or_the_other(pattern: str) -> None:
    try:
        found = patterns.match(pattern, "a" * 60 + "!", time_limit=0.01)
    except PatternTimeout:
        return
    assert found is None or not found.whole


def test_a_pattern_whose_start_is_found_at_once_runs_into_its_limit_over_the_whole() -> None:
    with pytest.raises(PatternTimeout):
        patterns.match("(a|aa)+", "a" * 60 + "!", time_limit=0.01)


def test_a_timeout_says_nothing_of_the_text() -> None:
    with pytest.raises(PatternTimeout) as stopped:
        patterns.match(ENDLESS[0], "a" * 60 + "Hansen", time_limit=0.01)
    assert "Hansen" not in str(stopped.value)


def test_a_blank_text_takes_no_time() -> None:
    assert patterns.match("(a+)+$", " ", time_limit=1e-9) is None


# What cannot be used


@pytest.mark.parametrize(
    "pattern", ["(", "[a", "*a", "a**", "(?P<n>a)(?P<n>b)", r"\p{L}", "(?<=a+)b", "a{2,1}", "(?(1)a)", "\\"]
)
def test_what_does_not_compile_is_refused(pattern: str) -> None:
    assert reason(pattern)
    with pytest.raises(BadPattern):
        match(pattern, "a")


def test_a_refusal_names_the_place_and_does_not_quote() -> None:
    found = reason("Hansen(")
    assert "position 6" in found
    assert "Hansen" not in found


@pytest.mark.parametrize("pattern", ["(?P<Han sen>a)", "(?P<Hansen>a)(?P<Hansen>b)", "(?P=Hansen)", "(?(Hansen)a)"])
def test_a_refusal_does_not_quote_a_group_s_name(pattern: str) -> None:
    found = reason(pattern)
    assert "group name at position" in found
    assert "sen" not in found


@pytest.mark.parametrize("pattern", [r"\p{L}", r"(?e)a", "(?|a|b)", r"\m", r"\X", "(?V1)a", "(?<=ab|c)d", "(?r)a"])
def test_what_only_the_library_regex_knows_is_refused(pattern: str) -> None:
    assert reason(pattern)


@pytest.mark.parametrize("pattern", ["", " ", "P.*", "[[:alpha:]]"])
def test_what_compiles_passes(pattern: str) -> None:
    patterns.check(pattern)


def test_warnings_of_the_libraries_are_kept_from_cron_mails(recwarn: pytest.WarningsRecorder) -> None:
    # `re` warns of a possible nested set.
    patterns.check("[[a]--[b]--never-compiled-before]")
    assert not recwarn.list


@pytest.mark.parametrize("pattern", ["(" * 3_000 + "a" + ")" * 3_000, "(?:a|" * 400 + "b" + ")" * 400])
def test_a_pattern_that_is_too_deep_is_refused(pattern: str) -> None:
    assert "too large or too deep" in reason(pattern)


def test_a_count_beyond_what_re_can_count_is_refused() -> None:
    assert reason("a{99999999999}")
    assert reason("a{" + "9" * 5_000 + "}")


@pytest.mark.parametrize("pattern", ["(?:[A-Z]{2,4}_){3}[0-9]{8}(?:-[0-9]{6}){4}", "a{0,9999}", "[0-9]{64}"])
def test_repeats_as_people_write_them_are_used(pattern: str) -> None:
    patterns.check(pattern)


def test_a_long_list_of_identifiers_is_used() -> None:
    assert match("|".join(f"P{number}" for number in range(2_000)), "P1999") == Match(whole=True)


@pytest.mark.parametrize("pattern", [r"(?a:\w)x", r"x(?u:\w)", "(?x: a b )", "(?i-x:a)", "(?ai:a)"])
def test_flags_that_regex_would_not_end_with_their_group_are_refused(pattern: str) -> None:
    assert "flags" in reason(pattern)


# The same meaning as in `re`


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("a{e}", "b"),
        ("a{e<=1}", "xa"),
        ("a{i}", "ab"),
        ("(?:proj){s}", "prox"),
        ("a{e}", "a{e}"),
        ("{e}", "{e}"),
        ("a{}", "a{}"),
        ("a{1, 2}", "aa"),
        ("(?x)a{1, 2}", "a{1,2}"),
        ("[[:alpha:]]+", "ab"),
        ("[[:alpha:]]", ":]"),
        ("[[:alpha:]]", "a"),
        (r"\w+", "e\N{COMBINING ACUTE ACCENT}"),
        (r"\w+", "\N{DEVANAGARI LETTER KA}\N{DEVANAGARI VOWEL SIGN I}"),
        (r"[\w]+", "a\N{COMBINING ACUTE ACCENT}"),
        (r"a\b", "a\N{COMBINING ACUTE ACCENT}"),
        (r"a\B", "a\N{SUPERSCRIPT TWO}"),
        (r"[^\W]", "\N{SUPERSCRIPT TWO}"),
        (r"[\W\d]+", "1-\N{COMBINING ACUTE ACCENT}\N{CHARACTER TIE}"),
        (r"a\s", "a\x1c"),
        (r"a[\s]", "a\x1f"),
        (r"a[\S]", "a\x1f"),
        (r"a[^\d\D]", "ab"),
        (r"a[^\s\S]*", "ab"),
        (r"(?a)\w+", "aé"),
        (r"(?a)a\b", "aé"),
        (r"(?#\){e})a", "a"),
        ("(?x)a # {e} [ (\n b", "ab"),
        ("(?x)a # \\\n z\nb", "ab"),
        ("(a)(?#x)0", "a0"),
        (r"(a)\1(?#x)0", "aa0"),
        ("[]a]+", "]a"),
        ("[^]a]+", "b]"),
        (r"\{e}", "{e}"),
        (r"\N{LATIN SMALL LETTER A}{e}", "a{e}"),
        ("[a&&b]+", "a&b"),
        ("(?i)straße", "STRASSE"),
        ("(?i)k", "\N{KELVIN SIGN}"),
        ("(?>a+)b", "aab"),
        ("(?P<e>a)(?P=e)(?(e)b|c)", "aab"),
    ],
)
def test_what_the_libraries_read_differently_means_what_re_takes_it_for(pattern: str, text: str) -> None:
    assert match(pattern, text) == by_re(pattern, text)


@pytest.mark.parametrize(
    "pattern",
    [
        *(rf"{flags}{spelled}" for flags in ("", "(?i)", "(?a)") for spelled in (r"\w", r"\W", r"\s", r"\S", r"\d")),
        *(r"[\w]", r"[\W]", r"[^\W]", r"[\s]", r"[\S]", r"[^\S]", r"[\W\d]", r"[\S\s]", "."),
    ],
)
def test_classes_hold_the_characters_that_they_hold_in_re(pattern: str) -> None:
    """But for those that Python's Unicode tables do not know yet."""
    # Every assigned character of the planes with living scripts, each beside a letter: nothing is blank.
    known = [chr(code) for code in range(0x20000) if category(chr(code)) not in ("Cn", "Cs")]
    ours = patterns._compiled(f"(?s){pattern}" if not pattern.startswith("(?") else pattern)
    theirs = re.compile(f"(?s){pattern}" if not pattern.startswith("(?") else pattern)
    everything = "".join(known)
    assert ours.sub("", everything) == theirs.sub("", everything)


_PIECES = [
    *"abAB1_ -,:<#é\N{COMBINING ACUTE ACCENT}",
    *(r"\w", r"\W", r"\s", r"\S", r"\d", r"\D", ".", r"\b", r"\B", "^", "$", r"\A", r"\Z", r"\.", r"\{", r"\x41"),
    *(r"\n", r"\1", r"\_", r"\ ", "\\#", "{e}", "{", "}", "{}", "{1", "{ 1}", "{1, 2}", "{i<=1}", "{,e}"),
    *("(?#x)", "(?#{)", r"(?#\))", "# c\n", "#[\n", "[[:alpha:]]", "[^]a]", "[a-c]", "[a&&b]", "[a||b]", r"[\w-]"),
    *(r"[^\s\S]", r"[\W\d]", r"[^\W_]", r"[\]\[]", "[{e}]", "[ #]", "[^é]"),
]
_MEMBERS = ["a", "B", "a-c", r"\w", r"\W", r"\s", r"\S", r"\d", "[", ":", "-", "&&", "||", "--", "~~", "{", "#", " "]
_GROUPS = ["(", "(?:", "(?=", "(?!", "(?<=", "(?<!", "(?s:", "(?m:"]
_FLAGS = ["", "", "", "", "(?i)", "(?x)", "(?a)", "(?s)", "(?m)", "(?ix)", "(?ax)"]


def made_pattern(draw: random.Random) -> str:
    """A pattern out of all that `re` knows and the two libraries might read differently."""

    def atom(depth: int) -> str:
        kind = draw.random()
        if kind < 0.2 and depth > 0:
            return f"{draw.choice(_GROUPS)}{choice(depth - 1)})"
        if kind < 0.4:
            members = "".join(draw.choice(_MEMBERS) for _ in range(draw.randint(1, 3)))
            return f"[{draw.choice(['', '^'])}{draw.choice(['', '', ']'])}{members}]"
        piece: str = draw.choice(_PIECES)
        return piece

    def item(depth: int) -> str:
        repeat = draw.choice(["", "", "", "*", "+", "?", "{2}", "{1,2}", "{,2}", "{1,}", "{,}", "{0}", "*?", "{1,2}?"])
        return atom(depth) + repeat

    def choice(depth: int) -> str:
        rivals = draw.choice([1, 1, 1, 2])
        return "|".join("".join(item(depth) for _ in range(draw.randint(1, 4))) for _ in range(rivals))

    return draw.choice(_FLAGS) + choice(2)


@settings(max_examples=3 * settings().max_examples)
@given(seed=st.integers(0, 2**32), texts=st.lists(st.text("abAB_1 -{}[]e,:\x1c\n#é²\u0301", max_size=7), min_size=8))
def test_every_pattern_that_re_accepts_means_the_same(seed: int, texts: list[str]) -> None:
    pattern = made_pattern(random.Random(seed))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(pattern)
    except re.error:
        assume(False)  # noqa: FBT003 - hypothesis has no other way to skip an example
    assume(not is_blank(pattern))
    for text in [*texts, pattern[:10]]:
        if not is_blank(text):
            assert match(pattern, text) == by_re(pattern, text), (pattern, text)


@given(pattern=st.text(max_size=30), text=st.text(max_size=20))
def test_no_pattern_whatever_ends_in_another_error_than_the_two(pattern: str, text: str) -> None:
    try:
        found = patterns.match(pattern, text, time_limit=PATIENT)
    except (BadPattern, PatternTimeout):
        return
    assert found is None or isinstance(found, Match)


@given(st.text(min_size=1))
def test_an_escaped_text_matches_exactly_itself(text: str) -> None:
    assume(not is_blank(text))
    assert match(re.escape(text), text) == Match(whole=True)
    assert match(re.escape(text), text + "x") == Match(whole=False)


def test_the_libraries_recursion_limits_do_not_reach_ours() -> None:
    limit = sys.getrecursionlimit()
    with pytest.raises(BadPattern):
        patterns.check("(?:" * limit + ")" * limit)
    patterns.check("still usable")
