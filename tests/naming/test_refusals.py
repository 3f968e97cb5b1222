"""What is refused in a pattern, and that the message points at the place."""

from __future__ import annotations

import pickle

import pytest

from processors.naming import PatternError, parse, states

# Each pattern is written as what comes before the place, and what begins at it.
REFUSED = [
    ("PROJ", "*", "unbounded \\*"),
    ("PROJ[0-9]", "+", "unbounded \\+"),
    ("a", "{3,}", r"unbounded \{3,\}"),
    ("a", "{,}", r"unbounded \{,\}"),
    ("a", "{5,3}", "smaller number first"),
    ("a", "{9999999999}", "smaller number of repetitions"),
    ("[0-9]", "{20000}", "at most 20000 steps"),
    ("(?:(?:[0-9]{500}){10}x)", "{3}", "at most 20000 steps"),
    ("", "*a", "something to repeat"),
    ("a|", "?", "something to repeat"),
    ("(", "{2})", "something to repeat"),
    ("^", "?", "something to repeat"),
    ("a", "{2}{3}", "no second quantifier"),
    ("a?", "+", "possessive"),
    ("a{2}", "+", "possessive"),
    ("a[", "^b]", "negated set"),
    ("ab", "\\D", "anything but a digit"),
    ("ab", "\\W", "anything but a word character"),
    ("ab", "\\S", "anything but a blank"),
    ("[a", "\\D]", "anything but a digit"),
    ("ab", "\\s", "any kind of blank"),
    ("ab", "\\bc", "word boundary"),
    ("ab", "\\Bc", "word boundary"),
    ("ab", "\\n", "control character"),
    ("ab", "\\x0a", "U\\+000A"),
    ("ab", "\nc", "U\\+000A"),
    ("ab", "\u2028", "U\\+2028"),
    ("ab", "\ud800", "U\\+D800"),
    ("[", "\\x00-\\x7f]", "U\\+0000"),
    ("ab", "\\x4", "2 hex digits"),
    ("ab", "\\U00110000", "up to 10ffff"),
    ("ab", "\\q", "known here"),
    ("ab", "\\0", "octal"),
    ("ab", "\\101", "octal"),
    ("ab", "\\", "after the backslash"),
    ("a(?:b", "^c)", "only at the start"),
    ("a", "\\Ab", "only at the start"),
    ("a", "$b", "only at the end"),
    ("(a", "$)", "only at the end"),
    ("a", "\\Zb", "only at the end"),
    ("a", "(?=b)", "look-ahead"),
    ("a", "(?!b)", "look-ahead"),
    ("a", "(?<=b)", "look-behind"),
    ("a", "(?<!b)", "look-behind"),
    ("a", "(?>b)", "atomic"),
    ("a", "(?#b)", "comment"),
    ("(a)", "(?(1)b|c)", "condition"),
    ("", "(?i)a", "flags"),
    ("", "(?i:a)", "flags"),
    ("", "(?-i:a)", "flags"),
    ("", "(?P!a)", "expected a group"),
    ("ab", "(cd", "closing \\)"),
    ("ab", ")cd", "closes nothing"),
    ("ab", "[cd", "closing ]"),
    ("ab", "[c-", "closing ]"),
    ("[", "z-a]", "lower to the higher"),
    ("[", "a-\\d]", "between two characters"),
    ("[", "!-\U0010ffff]", "at most 50000 characters"),
    ("[a", "[:alpha:]]", "nested set"),
    ("[a", "&&b]", "set operation"),
    ("(a)", "\\2", "no group 2"),
    ("(a", "\\1)", "within group 1"),
    ("(?P<x>a)", "(?P=y)", "no group of this name"),
    ("(?P<x>a)", "(?P<x>b)", "that of another one"),
    ("", "(?P<1x>a)", "group's name"),
    ("(?:" * 100, "(?:a", "nested at most 100 deep"),
    ("(a|)", "{1,3}\\1", "no back reference to group 1"),
    ("(?:(a)?b?)", "{,2}\\1", "no back reference to group 1"),
    ("", "\\w{3000}", "less than 10\\^4000 names"),
    ("", "|".join("abcdefghij" * 2000), "at most 20000 steps"),
]


@pytest.mark.parametrize(("before", "rest", "message"), REFUSED)
def test_what_cannot_be_honoured_is_refused_at_its_place(before: str, rest: str, message: str) -> None:
    with pytest.raises(PatternError, match=message) as caught:
        parse(before + rest)
    assert caught.value.text == before + rest
    assert caught.value.place == len(before)


@pytest.mark.parametrize("pattern", ["(?:a|b){0,40}a(?:a|b){40}", "(.{1,9})(.{1,9})\\1\\2"])
def test_what_has_too_many_ways_at_once_is_refused_as_soon_as_the_effort_is_spent(
    monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    """With less effort than is allowed, which takes seconds."""
    assert states.MOST_EFFORT >= 1_000_000
    monkeypatch.setattr(states, "MOST_EFFORT", 50_000)
    with pytest.raises(PatternError, match="too many ways at once") as caught:
        parse(pattern)
    assert (caught.value.text, caught.value.place) == (pattern, 0)


def test_the_message_shows_the_pattern_and_a_caret_below_the_place() -> None:
    with pytest.raises(PatternError) as caught:
        parse("PROJ_[0-9]+")
    problem, pattern, caret = str(caught.value).split("\n")
    assert problem == "expected a bounded quantifier such as {1,8}, found the unbounded + (at character 11)"
    assert pattern.strip() == "PROJ_[0-9]+"
    assert caret.index("^") == pattern.index("+")


def test_the_caret_stands_below_its_place_after_wide_and_combining_characters() -> None:
    with pytest.raises(PatternError) as caught:
        parse("日本e\N{COMBINING ACUTE ACCENT}*")
    # Two characters of two columns each, one of one column, and an accent above it.
    assert str(caught.value).split("\n")[2] == " " * (4 + 2 + 2 + 1) + "^"


def test_a_line_break_in_a_pattern_does_not_tear_the_message_apart() -> None:
    with pytest.raises(PatternError) as caught:
        parse("ab\nc")
    assert str(caught.value).split("\n")[1:] == ["    ab?c", "      ^"]


def test_refusals_are_value_errors_that_survive_the_way_from_another_process() -> None:
    with pytest.raises(ValueError, match="unbounded") as caught:
        parse("a*")
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301  # our own bytes
    assert (str(again), again.place) == (str(caught.value), 1)


@pytest.mark.parametrize(
    "pattern", ["(?P<Han sen>a)", "(?P<Hansen", "(?P<Hansen>a)(?P<Hansen>b)", "(?P=Hansen)", r"\uHans", r"\UHansenXY"]
)
def test_the_problem_quotes_no_words_of_the_pattern(pattern: str) -> None:
    with pytest.raises(PatternError) as refused:
        parse(pattern)
    assert "Han" not in refused.value.problem
    assert "sen" not in refused.value.problem
