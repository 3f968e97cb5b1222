"""A project's data dictionary: its forms, fields and columns."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

FORM_STATUS = (("0", "Incomplete"), ("1", "Unverified"), ("2", "Complete"))
_FIXED_CHOICES = {
    "yesno": (("1", "Yes"), ("0", "No")),
    "truefalse": (("1", "True"), ("0", "False")),
    "form_status": FORM_STATUS,
}


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field of a dictionary; the attributes are the 18 keys of REDCap's metadata export, all text."""

    field_name: str
    form_name: str
    section_header: str = ""
    field_type: str = "text"
    field_label: str = ""
    select_choices_or_calculations: str = ""
    field_note: str = ""
    text_validation_type_or_show_slider_number: str = ""
    text_validation_min: str = ""
    text_validation_max: str = ""
    identifier: str = ""
    branching_logic: str = ""
    required_field: str = ""
    custom_alignment: str = ""
    question_number: str = ""
    matrix_group_name: str = ""
    matrix_ranking: str = ""
    field_annotation: str = ""

    @cached_property
    def choices(self) -> tuple[tuple[str, str], ...]:
        """The (code, label) pairs of a field with choices; empty for every other field."""
        if self.field_type in ("dropdown", "radio", "checkbox"):
            return parse_choices(self.select_choices_or_calculations)
        return _FIXED_CHOICES.get(self.field_type, ())

    @cached_property
    def codes(self) -> frozenset[str]:
        """The codes that an import may carry for this field."""
        return frozenset(code for code, _label in self.choices)

    @property
    def validation(self) -> str:
        """The name of the text validation, such as `datetime_ymd`; blank where there is none."""
        return self.text_validation_type_or_show_slider_number if self.field_type == "text" else ""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of an export: a field, one box of a checkbox field (`code`), or a form's status."""

    name: str
    field: Field
    code: str | None = None

    @property
    def form(self) -> str:
        """The form on which the column's field stands."""
        return self.field.form_name

    @property
    def is_status(self) -> bool:
        """Whether this is the `<form>_complete` column of a form."""
        return self.field.field_type == "form_status"


_KEYS = tuple(field.name for field in fields(Field))


class Dictionary:
    """The fields of a project in their order; the first one holds the record id. It never changes.

    `missing_data_codes` are those of the project, `NA, Not available | UNK, Unknown`: every field takes them.
    """

    def __init__(self, dictionary_fields: Iterable[Field], *, missing_data_codes: str = "") -> None:
        self.fields = tuple(dictionary_fields)
        self.missing_data_codes = missing_data_codes
        self.missing = tuple(code for code, _label in parse_choices(missing_data_codes))
        if not self.fields:
            raise ValueError("expected a dictionary with at least the record id field, found no fields")
        self.record_id = self.fields[0].field_name
        self.by_name = {field.field_name: field for field in self.fields}
        self.forms = tuple(dict.fromkeys(field.form_name for field in self.fields))
        self.columns = {column.name: column for column in self._all_columns()}

    @classmethod
    def from_metadata(cls, rows: Iterable[Mapping[str, str]], *, missing_data_codes: str = "") -> Dictionary:
        """The dictionary in the shape of REDCap's metadata export: 18 text keys a field."""
        described = (Field(**{key: row[key] for key in row.keys() & _KEYS}) for row in rows)
        return cls(described, missing_data_codes=missing_data_codes)

    def metadata(self) -> list[dict[str, str]]:
        """What REDCap's metadata export answers: 18 text keys a field, the record id first."""
        return [{key: getattr(field, key) for key in _KEYS} for field in self.fields]

    def of_form(self, form: str) -> tuple[Column, ...]:
        """The columns of one form, its `_complete` last."""
        return tuple(column for column in self.columns.values() if column.form == form)

    def of_name(self, name: str) -> tuple[Column, ...]:
        """The columns meant by a name in `fields[]`: a checkbox stands for all its boxes."""
        field = self.by_name.get(name)
        if field is None:
            column = self.columns.get(name)
            return (column,) if column is not None and column.is_status else ()
        return tuple(self._columns_of(field))

    def knows(self, name: str) -> bool:
        """Whether REDCap accepts the name in `fields[]`: a field or a form's `_complete`."""
        return name in self.by_name or (name in self.columns and self.columns[name].is_status)

    def with_choices(self, name: str, choices: Sequence[tuple[str, str]]) -> Dictionary:
        """The same dictionary with other choices for one field."""
        text = " | ".join(f"{code}, {label}" for code, label in choices)
        changed = replace(self.by_name[name], select_choices_or_calculations=text)
        return self._with_fields(changed if field.field_name == name else field for field in self.fields)

    def without(self, name: str) -> Dictionary:
        """The same dictionary without one field, which must not be the record id."""
        if name not in self.by_name or name == self.record_id:
            raise ValueError(f"expected a field other than the record id, found {name!r}")
        return self._with_fields(field for field in self.fields if field.field_name != name)

    def with_missing_data_codes(self, codes: str) -> Dictionary:
        """The same dictionary in a project with these codes."""
        return Dictionary(self.fields, missing_data_codes=codes)

    def _with_fields(self, dictionary_fields: Iterable[Field]) -> Dictionary:
        return Dictionary(dictionary_fields, missing_data_codes=self.missing_data_codes)

    def _all_columns(self) -> Iterable[Column]:
        for form in self.forms:
            for field in self.fields:
                if field.form_name == form:
                    yield from self._columns_of(field)
            status = Field(field_name=f"{form}_complete", form_name=form, field_type="form_status")
            yield Column(name=status.field_name, field=status)

    def _columns_of(self, field: Field) -> Iterable[Column]:
        if field.field_type == "descriptive":
            return
        if field.field_type != "checkbox":
            yield Column(name=field.field_name, field=field)
            return
        for code in (*(code for code, _label in field.choices), *self.missing):
            yield Column(name=box_name(field.field_name, code), field=field, code=code)


def box_name(field: str, code: str) -> str:
    """The column of one box of a checkbox field, such as `transfer_error___1`."""
    return f"{field}___{code.lower().replace('-', '_')}"


def parse_choices(text: str) -> tuple[tuple[str, str], ...]:
    """Read `1, First | 2, Second, of two`: bars part choices, the first comma parts code and label."""
    pairs = []
    for part in text.split("|"):
        code, comma, label = part.partition(",")
        if code.strip():
            pairs.append((code.strip(), label.strip() if comma else code.strip()))
    return tuple(pairs)


def form_label(form: str) -> str:
    """The title of a form that was made from a dictionary: `incoming_studies` is "Incoming Studies"."""
    return form.replace("_", " ").title()
