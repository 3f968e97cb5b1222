"""Exporting records: the rows and columns REDCap gives for a question, flat and entity-attribute-value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .dictionary import FORM_STATUS, form_label
from .replies import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from .dictionary import Column, Dictionary
    from .record_store import Record, RecordStore, Values
    from .replies import Row


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The columns of an export in dictionary order; untouched form statuses may be blank instead of 0."""

    columns: tuple[Column, ...]
    has_record_id: bool
    blank_gray_status: bool = False

    @classmethod
    def everything(cls, dictionary: Dictionary) -> Selection:
        """What REDCap gives when neither fields nor forms are named."""
        return cls(columns=tuple(dictionary.columns.values()), has_record_id=True)


def select(
    dictionary: Dictionary, fields: Sequence[str], forms: Sequence[str], *, blank_gray_status: bool = False
) -> Selection:
    """The union of the named fields and forms.

    REDCap adds neither the record id nor any `_complete` that was not asked for, and refuses unknown names.
    """
    refuse_unknown("fields", [name for name in fields if not dictionary.knows(name)])
    refuse_unknown("forms", [name for name in forms if name not in dictionary.forms])
    if not fields and not forms:
        everything = Selection.everything(dictionary)
        return Selection(columns=everything.columns, has_record_id=True, blank_gray_status=blank_gray_status)
    wanted = {column.name for name in fields for column in dictionary.of_name(name)}
    columns = tuple(c for c in dictionary.columns.values() if c.name in wanted or c.form in forms)
    has_record_id = any(column.name == dictionary.record_id for column in columns)
    return Selection(columns=columns, has_record_id=has_record_id, blank_gray_status=blank_gray_status)


def refuse_unknown(parameter: str, names: Sequence[str]) -> None:
    """Refuse names that do not exist, in REDCap's words."""
    if names:
        listed = ", ".join(f"'{name}'" for name in names)
        raise Refusal(f'The following values in the parameter "{parameter}" are not valid: {listed}')


def flat_rows(
    store: RecordStore, selection: Selection, names: Iterable[str], *, all_instances: bool = False
) -> list[Row]:
    """One base row a record and one row a stored instance, ordered by instrument and number.

    Values are text, except the instance number. Columns that do not belong to a row's instrument are blank.
    Instances appear if a column of their instrument is asked for, or with `all_instances`.
    """
    tables = {
        instrument: _defaults(store, selection, instrument)
        for instrument in ("", *store.dictionary.forms)
        if not instrument
        or _is_shown(store, selection, instrument)
        or (all_instances and instrument in store.repeating)
    }
    return [row for name in names for row in _rows_of(store, selection, tables, name)]


def _rows_of(
    store: RecordStore, selection: Selection, tables: Mapping[str, Mapping[str, str]], name: str
) -> Iterator[Row]:
    repeats = bool(store.repeating) and selection.has_record_id
    for instrument, instance, values in places(store.records[name], tables):
        row: Row = {}
        if selection.has_record_id:
            row[store.dictionary.record_id] = name
            if store.longitudinal:
                row["redcap_event_name"] = "event_1_arm_1"
        if repeats:
            row["redcap_repeat_instrument"] = instrument
            row["redcap_repeat_instance"] = instance or ""
        for column, default in tables[instrument].items():
            row[column] = values.get(column, default)
        yield row


def places(record: Record, instruments: Iterable[str]) -> Iterator[tuple[str, int, Values]]:
    """The record's base values as ("", 0, values), then its instances of the given instruments, by number."""
    yield "", 0, record.base
    for instrument in instruments:
        numbered = record.instances.get(instrument)
        if numbered:
            for number in sorted(numbered):
                yield instrument, number, numbered[number]


def _is_shown(store: RecordStore, selection: Selection, instrument: str) -> bool:
    return instrument in store.repeating and any(column.form == instrument for column in selection.columns)


def _defaults(store: RecordStore, selection: Selection, instrument: str) -> dict[str, str]:
    """What unstored columns show on a row of the instrument: 0 for its own boxes and status, else blank."""
    defaults = {}
    for column in selection.columns:
        if column.name == store.dictionary.record_id:
            continue
        own = column.form == instrument if instrument else column.form not in store.repeating
        status = column.is_status and not selection.blank_gray_status
        defaults[column.name] = "0" if own and (column.code is not None or status) else ""
    return defaults


def eav_rows(store: RecordStore, selection: Selection, names: Iterable[str]) -> list[Row]:
    """One row a stored value: the record id is a row of its own, a checkbox gives one row a checked code."""
    shown = [form for form in store.dictionary.forms if _is_shown(store, selection, form)]
    return [row for name in names for row in _values_of(store, selection, shown, name)]


def _values_of(store: RecordStore, selection: Selection, shown: Sequence[str], name: str) -> Iterator[Row]:
    for instrument, instance, values in places(store.records[name], shown):
        start: Row = {"record": name}
        if store.repeating:
            start |= {"redcap_repeat_instrument": instrument, "redcap_repeat_instance": instance or ""}
        if selection.has_record_id and not instrument:
            yield {**start, "field_name": store.dictionary.record_id, "value": name}
        for column in selection.columns:
            if column.name in values:
                shown_value = values[column.name] if column.code is None else column.code
                yield {**start, "field_name": column.field.field_name, "value": shown_value}


def labelled(store: RecordStore, rows: Sequence[Row], *, checkbox_labels: bool) -> list[Row]:
    """The rows with labels in place of codes: choices, `Checked`/`Unchecked`, form statuses, instruments."""
    columns = store.dictionary.columns
    return [
        {name: _label(columns.get(name), name, value, checkbox_labels=checkbox_labels) for name, value in row.items()}
        for row in rows
    ]


def _label(column: Column | None, name: str, value: str | int, *, checkbox_labels: bool) -> str | int:
    if name == "redcap_repeat_instrument":
        return form_label(str(value))
    if column is None or value == "":
        return value
    if column.code is not None:
        label = dict(column.field.choices)[column.code]
        names = {"1": label, "0": ""} if checkbox_labels else {"1": "Checked", "0": "Unchecked"}
        return names.get(str(value), value)
    choices = FORM_STATUS if column.is_status else column.field.choices
    return dict(choices).get(str(value), value)


def header_labels(dictionary: Dictionary) -> dict[str, str]:
    """The titles of csv columns for rawOrLabelHeaders=label."""
    return {name: _title(column) for name, column in dictionary.columns.items()}


def _title(column: Column) -> str:
    if column.is_status:
        return "Complete?"
    if column.code is None:
        return column.field.field_label
    return f"{column.field.field_label} (choice={dict(column.field.choices)[column.code]})"
