from __future__ import annotations

import pytest

from processors.demo.simulator.dictionary import Column, Field
from processors.demo.simulator.validation import accepted


def text_column(validation: str, low: str = "", high: str = "") -> Column:
    field = Field(
        field_name="f",
        form_name="form",
        text_validation_type_or_show_slider_number=validation,
        text_validation_min=low,
        text_validation_max=high,
    )
    return Column(name="f", field=field)


@pytest.mark.parametrize(
    ("validation", "value"),
    [
        ("", "anything\nat all"),
        ("integer", "-12"),
        ("number", "1.5e3"),
        ("number_1dp", "22.0"),
        ("number_comma_decimal", "1,5"),
        ("email", "joe@user.com"),
        ("time", "23:59"),
        ("time_hh_mm_ss", "23:59:59"),
        ("time_mm_ss", "59:59"),
        ("date_dmy", "2026-02-28"),
        ("datetime_ymd", "2026-02-28 00:00"),
        ("datetime_seconds_ymd", "2026-02-28 00:00:01"),
        ("phone", "(615) 322-2222"),
        ("zipcode", "37203"),
        ("alpha_only", "abc"),
        ("postalcode_of_a_site", "unknown types are not checked"),
    ],
)
def test_values_of_their_type_are_stored_as_they_are(validation: str, value: str) -> None:
    assert accepted(text_column(validation), value, "YMD") == value


@pytest.mark.parametrize(
    ("validation", "value", "message"),
    [
        ("integer", "1.0", "not an integer"),
        ("number", "1,0", "not a number"),
        ("number_1dp", "22", "expected format"),
        ("email", "joe", "valid email"),
        ("time", "24:00", "expected format"),
        ("date_ymd", "2026-02-29", "expected format"),
        ("date_ymd", "2026-2-1", "expected format"),
        ("date_ymd", "02/01/2026", "expected format"),
        ("datetime_ymd", "2026-02-01", "expected format"),
        ("datetime_ymd", "2026-02-01 10:00:00", "expected format"),
        ("datetime_ymd", "2026-02-01T10:00", "expected format"),
    ],
)
def test_other_values_are_refused_in_the_words_of_redcap(validation: str, value: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        accepted(text_column(validation), value, "YMD")


@pytest.mark.parametrize(
    ("validation", "low", "high", "value"),
    [
        ("integer", "10", "", "9"),
        ("number", "", "10", "10.5"),
        ("date_ymd", "2026-01-01", "", "2025-12-31"),
    ],
)
def test_values_out_of_range_are_refused(validation: str, low: str, high: str, value: str) -> None:
    with pytest.raises(ValueError, match="suggested range"):
        accepted(text_column(validation, low, high), value, "YMD")


@pytest.mark.parametrize("kind", ["yesno", "truefalse"])
def test_yes_and_true_are_one_and_zero(kind: str) -> None:
    column = Column(name="f", field=Field(field_name="f", form_name="form", field_type=kind))
    assert [accepted(column, code, "YMD") for code in "01"] == ["0", "1"]
    with pytest.raises(ValueError, match="not a valid category"):
        accepted(column, "Yes", "YMD")
