"""REDCap's data dictionary, read: the fields that it makes and the choices of a dropdown."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

_NOT_IN_A_NAME: Final = re.compile(r"[^a-z0-9_]")


def field_names(metadata: Iterable[Mapping[str, str]]) -> frozenset[str]:
    """All names that a data dictionary makes: fields, columns of checkboxes, form statuses."""
    return frozenset(name for field in metadata for name in _names(field))


def choices(text: str) -> dict[str, str]:
    """The labels by code of a dropdown, radio or checkbox field: `0, Label | 1, Label, with comma`.

    Only the first comma of a choice parts its code from its label. A choice without a comma is its own
    label; of two choices with one code the last counts.
    """
    labels = {}
    for choice in text.split("|"):
        code, comma, label = choice.partition(",")
        if code.strip():
            labels[code.strip()] = label.strip() if comma else code.strip()
    return labels


def column_ending(code: str) -> str:
    """What a checkbox's column for this code ends with."""
    return _NOT_IN_A_NAME.sub("_", code.lower())


def _names(field: Mapping[str, str]) -> Iterator[str]:
    name = field["field_name"]
    yield name
    yield f"{field['form_name']}_complete"
    if field["field_type"] == "checkbox":
        # REDCap's columns are lower case, and a code such as -1 becomes name____1.
        for code in choices(field["select_choices_or_calculations"]):
            yield f"{name}___{column_ending(code)}"
