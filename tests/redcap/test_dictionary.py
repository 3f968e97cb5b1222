"""What a data dictionary says: the fields that it makes, the choices of a dropdown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.redcap.dictionary import choices, field_names


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0, Label | 1, Label, with comma", {"0": "Label", "1": "Label, with comma"}),
        ("1,Heart|2,Brain", {"1": "Heart", "2": "Brain"}),
        ("1,  Heart  Study  |  2 ,Brain", {"1": "Heart  Study", "2": "Brain"}),
        ("a1, Á | -1, unknown", {"a1": "Á", "-1": "unknown"}),
        ("1 | 2, two", {"1": "1", "2": "two"}),
        ("1, one | 1, uno", {"1": "uno"}),
        ("1, one | | ", {"1": "one"}),
        ("1,", {"1": ""}),
        ("", {}),
    ],
)
def test_reads_redcaps_choices(text: str, expected: dict[str, str]) -> None:
    assert choices(text) == expected


CODE = st.text("abc019-", min_size=1, max_size=4)
LABEL = st.text("abc ,.()é", max_size=12).map(str.strip)


@given(
    st.dictionaries(CODE, LABEL, max_size=6),
    st.sampled_from([" | ", "|", "  |"]),
    st.sampled_from([", ", ","]),
)
def test_reads_back_what_was_written(written: dict[str, str], bar: str, comma: str) -> None:
    assert choices(bar.join(f"{code}{comma}{label}" for code, label in written.items())) == written


def test_codes_of_checkboxes_become_columns_as_redcap_writes_them() -> None:
    field = {
        "field_name": "box",
        "form_name": "f",
        "field_type": "checkbox",
        "select_choices_or_calculations": "1, one | A2, two, or more | -1, other",
    }

    assert field_names([field]) == {"box", "f_complete", "box___1", "box___a2", "box____1"}
