"""Checking one value against its field, as REDCap does on import: choices, and the text validation types."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

    from .dictionary import Column

NOT_EXPECTED: Final = (
    "The value you provided could not be validated because it does not follow the expected format. Please try again."
)
_NOT_A_NUMBER: Final = "This value you provided is not a number. Please try again."
_NOT_AN_INTEGER: Final = "This value you provided is not an integer. Please try again."
_NOT_AN_EMAIL: Final = "This field must be a valid email address (like joe@user.com). Please re-enter it now."
_OUT_OF_RANGE: Final = "The value you provided must be within the suggested range"

_PATTERNS: Final = {
    "integer": (re.compile(r"[-+]?\d+"), _NOT_AN_INTEGER),
    "number": (re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?"), _NOT_A_NUMBER),
    "number_comma_decimal": (re.compile(r"[-+]?(\d+(,\d*)?|,\d+)"), _NOT_A_NUMBER),
    "email": (re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+"), _NOT_AN_EMAIL),
    "time": (re.compile(r"([01]\d|2[0-3]):[0-5]\d"), NOT_EXPECTED),
    "time_hh_mm_ss": (re.compile(r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d"), NOT_EXPECTED),
    "time_mm_ss": (re.compile(r"[0-5]\d:[0-5]\d"), NOT_EXPECTED),
    "phone": (re.compile(r"\(?\d{3}\)?[-. ]?\d{3}[-. ]?\d{4}"), NOT_EXPECTED),
    "zipcode": (re.compile(r"\d{5}(-\d{4})?"), NOT_EXPECTED),
    "alpha_only": (re.compile(r"[A-Za-z]+"), NOT_EXPECTED),
}
_DECIMALS: Final = re.compile(r"number_([1-4])dp")
_TIMES: Final = {"date": "", "datetime": " %H:%M", "datetime_seconds": " %H:%M:%S"}
_DATES: Final = {"YMD": "%Y-%m-%d", "MDY": "%m/%d/%Y", "DMY": "%d/%m/%Y"}
_DATE_TYPE: Final = re.compile(r"(date|datetime|datetime_seconds)_(ymd|mdy|dmy)")
_CODED: Final = ("dropdown", "radio", "yesno", "truefalse", "form_status")


def accepted(column: Column, value: str, date_format: str, missing: Collection[str] = ()) -> str:
    """The value as it is stored, dates year first; ValueError with REDCap's words if it is refused.

    `missing` are the project's missing data codes, which every field takes.
    """
    if column.code is None and value in missing:
        return value
    if column.code is not None:
        return _one_of(("0", "1"), column, value)
    if column.field.field_type in _CODED:
        return _one_of(column.field.codes, column, value)
    validation = column.field.validation
    if not validation:
        return value
    stored = _of_type(validation, value, date_format)
    _check_range(column, validation, stored)
    return stored


def _one_of(codes: tuple[str, ...] | frozenset[str], column: Column, value: str) -> str:
    if value not in codes:
        raise ValueError(f"The value is not a valid category for {column.field.field_name}")
    return value


def _of_type(validation: str, value: str, date_format: str) -> str:
    date = _DATE_TYPE.fullmatch(validation)
    if date:
        return _date(value, date[1], date_format)
    pattern, message = _PATTERNS.get(validation, (None, NOT_EXPECTED))
    decimals = _DECIMALS.fullmatch(validation)
    if decimals:
        pattern = re.compile(rf"-?\d+\.\d{{{decimals[1]}}}")
    if pattern is not None and not pattern.fullmatch(value):
        raise ValueError(message)
    return value


def _date(value: str, kind: str, date_format: str) -> str:
    given = _DATES[date_format] + _TIMES[kind]
    try:
        moment = datetime.strptime(value, given)  # noqa: DTZ007  (REDCap's times have no zone)
    except ValueError:
        raise ValueError(NOT_EXPECTED) from None
    # strptime takes 2024-1-5 as well, REDCap does not.
    if moment.strftime(given) != value:
        raise ValueError(NOT_EXPECTED)
    return moment.strftime(_DATES["YMD"] + _TIMES[kind])


def _check_range(column: Column, validation: str, value: str) -> None:
    low, high = column.field.text_validation_min, column.field.text_validation_max
    if validation.startswith(("number", "integer")):
        number = _number(value)
        outside = (low and number < _number(low)) or (high and number > _number(high))
    else:
        outside = (low and value < low) or (high and value > high)
    if outside:
        raise ValueError(_OUT_OF_RANGE)


def _number(text: str) -> float:
    return float(text.replace(",", "."))
