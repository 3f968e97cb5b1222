"""What a server makes of a text is known again; another text is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.alterations import is_saved_as
from processors.demo.simulator.alterations import ALTERATIONS, saved

TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=60)


@given(text=TEXTS, alterations=st.sets(st.sampled_from(sorted(ALTERATIONS))))
def test_a_text_is_known_in_whatever_servers_make_of_it(text: str, alterations: set[str]) -> None:
    assert is_saved_as(text, saved(text, alterations))


@pytest.mark.parametrize("alteration", sorted(ALTERATIONS))
def test_so_is_one_of_several_lines_or_without_end(alteration: str) -> None:
    for text in ("a\r\nb\rc", "ä & <b> " * 20_000, "x" * 70_000):
        assert is_saved_as(text, saved(text, [alteration]))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("H-001", "H-002"), ("H-001", "H-001x"), ("H-001", ""), ("a🧠b", "acb"), ("x" * 70_000, "x" * 100), ("a", "A")],
)
def test_another_text_is_not_taken_for_ours(ours: str, theirs: str) -> None:
    assert not is_saved_as(ours, theirs)
