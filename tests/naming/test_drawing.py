"""Drawing: each unused name once, all with equal likelihood, until none is left."""

from __future__ import annotations

import pickle
import tracemalloc
from collections import Counter
from itertools import permutations
from math import sqrt
from statistics import NormalDist

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.naming import Exhausted, Sampler, draw, parse, seeded
from tests.naming.made_patterns import names_by_filtering

AMBIGUOUS = ["(a|ab)(c|bc)", "[ab]|[bc]", "(a|b|)?(a|)", r"([abc])([abc])(?:\1|\2)", r"(a|ab|)c?\1"]


@pytest.mark.parametrize("text", AMBIGUOUS)
def test_drawing_all_gives_every_name_exactly_once(text: str) -> None:
    expected = names_by_filtering(text)
    drawn = draw(parse(text), (), len(expected), seeded(text))
    assert sorted(drawn) == sorted(expected)


@settings(derandomize=True, deadline=None, max_examples=100, database=None)
@given(st.sets(st.sampled_from([f"{number:02}" for number in range(100)])), st.text())
def test_used_names_are_skipped_and_all_others_are_reached(used: set[str], seed: str) -> None:
    pattern = parse("[0-9]{2}")
    drawn = draw(pattern, used, 100 - len(used), seeded(seed))
    assert sorted([*drawn, *used]) == [f"{number:02}" for number in range(100)]


def test_used_texts_that_are_no_names_and_repeated_ones_take_nothing_away() -> None:
    used = ["1", "1", "x", "", "22", "P_1"]
    assert sorted(draw(parse("[0-9]"), used, 9)) == ["0", "2", "3", "4", "5", "6", "7", "8", "9"]


def test_ten_thousand_names_of_exactly_ten_thousand() -> None:
    sampler = Sampler(parse("P_[0-9]{4}"), ())
    drawn = [sampler.draw() for _ in range(10_000)]
    assert sorted(drawn) == [f"P_{number:04}" for number in range(10_000)]
    assert sampler.left == 0
    with pytest.raises(Exhausted):
        sampler.draw()


def test_one_name_more_than_are_left_is_refused_before_anything_is_drawn() -> None:
    asked = list[int]()

    def randbelow(limit: int) -> int:
        asked.append(limit)
        return 0

    with pytest.raises(Exhausted) as caught:
        draw(parse("[0-9]"), {"3", "7"}, 9, randbelow)
    assert asked == []
    assert str(caught.value) == (
        "exhausted: the pattern '[0-9]' has 10 names, 2 of them are used, 8 are left, and 9 were wanted"
    )
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301  # our own bytes


def test_a_pattern_without_names_is_exhausted_from_the_start() -> None:
    with pytest.raises(Exhausted, match="has 0 names"):
        draw(parse(r"(a){0}\1"), (), 1)


def test_drawing_none_is_possible_and_fewer_than_none_is_an_error() -> None:
    assert draw(parse("[0-9]"), (), 0) == []
    with pytest.raises(ValueError, match="expected a number of names from 0, found -1"):
        draw(parse("[0-9]"), (), -1)


def test_a_sampler_says_how_many_are_left() -> None:
    sampler = Sampler(parse("[0-9]{30}"), ["0" * 30])
    assert sampler.left == 10**30 - 1
    sampler.draw()
    assert sampler.left == 10**30 - 2


def test_memory_grows_with_what_is_drawn_and_never_with_the_pattern() -> None:
    pattern = parse("[0-9]{30}")
    tracemalloc.start()
    try:
        assert len(set(draw(pattern, (), 500))) == 500
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_the_systems_randomness_gives_other_names_every_time() -> None:
    pattern = parse("[0-9]{30}")
    assert draw(pattern, (), 5) != draw(pattern, (), 5)


@pytest.mark.parametrize("text", AMBIGUOUS)
def test_every_name_is_drawn_equally_often(text: str) -> None:
    names = names_by_filtering(text)
    pattern, chance = parse(text), seeded(text)
    drawn = Counter(draw(pattern, (), 1, chance)[0] for _ in range(200 * len(names)))
    assert _chi_squared(drawn, names) < _critical_value(len(names) - 1)


def test_every_unused_name_is_drawn_equally_often() -> None:
    pattern, used, chance = (
        parse("[0-9]{2}"),
        {f"{number:02}" for number in range(0, 100, 3)},
        seeded("unused"),
    )
    drawn = Counter(draw(pattern, used, 1, chance)[0] for _ in range(6600))
    unused = {f"{number:02}" for number in range(100)} - used
    assert _chi_squared(drawn, unused) < _critical_value(len(unused) - 1)


def test_every_order_of_names_is_drawn_equally_often() -> None:
    pattern, chance = parse("[a-e]"), seeded("orders")
    drawn = Counter("".join(draw(pattern, {"c"}, 3, chance)) for _ in range(4800))
    orders = {"".join(order) for order in permutations("abde", 3)}
    assert _chi_squared(drawn, orders) < _critical_value(len(orders) - 1)


@pytest.mark.parametrize("limit", [1, 2, 7, 24, 256, 257])
def test_repeatable_numbers_are_equally_likely_and_below_their_limit(limit: int) -> None:
    chance = seeded(f"below {limit}")
    drawn = Counter(str(chance(limit)) for _ in range(50 * limit))
    assert _chi_squared(drawn, {str(number) for number in range(limit)}) <= _critical_value(limit - 1)


def test_repeatable_numbers_repeat_and_depend_on_the_seed() -> None:
    first, again, other = seeded("a"), seeded("a"), seeded("b")
    numbers = [first(10**30) for _ in range(5)]
    assert numbers == [again(10**30) for _ in range(5)]
    assert numbers != [other(10**30) for _ in range(5)]
    with pytest.raises(ValueError, match="expected a limit from 1, found 0"):
        first(0)


def _chi_squared(drawn: Counter[str], expected: set[str]) -> float:
    assert set(drawn) <= expected
    each = drawn.total() / len(expected)
    return sum((drawn[name] - each) ** 2 / each for name in expected)


def _critical_value(degrees: int) -> float:
    """What chi-squared exceeds once in ten thousand times, by Wilson and Hilferty's approximation."""
    if degrees == 0:
        return 0.0
    spread = 2 / (9 * degrees)
    return float(degrees * (1 - spread + NormalDist().inv_cdf(1 - 1e-4) * sqrt(spread)) ** 3)
