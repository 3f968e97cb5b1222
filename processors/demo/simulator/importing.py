"""Importing records: all rows are checked before any is stored, and all problems are told together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .alterations import saved
from .payload import TextRow, text_row
from .replies import Refusal
from .validation import accepted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from .dictionary import Column
    from .record_store import Record, RecordStore, Values

INSTRUMENT: Final = "redcap_repeat_instrument"
INSTANCE: Final = "redcap_repeat_instance"
_NEW: Final = -1
_LONGEST_ID: Final = 100
_PASSED_OVER: Final = ("redcap_data_access_group", "redcap_survey_identifier")
_UNKNOWN_INSTRUMENT: Final = (
    "redcap_repeat_instrument must be the unique form name of a Repeating Instrument. It currently does "
    "not match the unique form name of any Repeating Instruments.  Please fix this in the data import file "
    "and try again."
)
_NEEDLESS_INSTANCE: Final = (
    "redcap_repeat_instance cannot have a value since this instrument or event is not a repeating instrument "
    "or repeating event, respectively.  The redcap_repeat_instance field must be left blank for this row of "
    "data."
)
_BAD_INSTANCE: Final = "redcap_repeat_instance must be a positive integer or 'new' for a Repeating Instrument."
_LOCKED: Final = "This record has been locked at the record level. No value within this record can be modified."


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How an import is to be done."""

    overwrite: bool = False
    date_format: str = "YMD"
    auto_number: bool = False
    username: str = ""


@dataclass(frozen=True, kw_only=True)
class Change:
    """One checked row: where it goes (instrument blank: the base row) and its values, blanks included."""

    record: str
    instrument: str
    instance: int
    values: Values


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What was stored: the ids of the records by the ids that were sent, and the number of rows."""

    names: dict[str, str]
    rows: int

    @property
    def records(self) -> list[str]:
        """The stored ids, each once, in the order of the payload."""
        return list(dict.fromkeys(self.names.values()))


def import_rows(store: RecordStore, rows: Sequence[Mapping[str, object]], manner: Manner) -> Imported:
    """Store all rows or none; Refusal with one line a problem. The caller holds the project's lock."""
    texts = [text_row(row) for row in rows]
    _refuse_unknown_fields(store, texts)
    problems: list[str] = []
    changes = [change for row in texts if (change := _checked(store, row, manner, problems)) is not None]
    problems += _locked_records(store, changes)
    if problems:
        raise Refusal(*problems)
    names = _names(store, changes, manner)
    for change in changes:
        _store(store, names[change.record], change, manner)
    return Imported(names=names, rows=len(changes))


def _refuse_unknown_fields(store: RecordStore, rows: Sequence[TextRow]) -> None:
    names = dict.fromkeys(name for row in rows for name in row)
    known = store.dictionary.columns
    unknown = [name for name in names if name not in known and not _is_passed_over(store, name)]
    if unknown:
        listed = ", ".join(unknown)
        raise Refusal(f"The following fields were not found in the project as real data fields: {listed}")


def _is_passed_over(store: RecordStore, name: str) -> bool:
    """REDCap takes the columns that it adds to an export back without looking at them."""
    if name in _PASSED_OVER or name.removesuffix("_timestamp") in store.dictionary.forms:
        return True
    return name in (INSTRUMENT, INSTANCE)


def _checked(store: RecordStore, row: TextRow, manner: Manner, problems: list[str]) -> Change | None:
    """The row as a change; None, and lines added to the problems, if something about it is wrong."""
    record = row.get(store.dictionary.record_id, "").strip()
    if not record or len(record) > _LONGEST_ID:
        message = f"expected a record id of 1 to {_LONGEST_ID} characters in {store.dictionary.record_id}"
        problems.append(problem(record, store.dictionary.record_id, record, message))
        return None
    instrument, instance = row.get(INSTRUMENT, "").strip(), row.get(INSTANCE, "").strip().lower()
    findings = [*_misplaced(store, record, instrument, instance)]
    if not findings:
        values: Values = {}
        findings = [*_read_values(store, row, record, instrument, manner, values)]
    if findings:
        problems += findings
        return None
    return Change(record=record, instrument=instrument, instance=_number(instance), values=values)


def _number(instance: str) -> int:
    return _NEW if instance == "new" else int(instance or 0)


def _misplaced(store: RecordStore, record: str, instrument: str, instance: str) -> Iterator[str]:
    """What is wrong with the repeat columns of a row."""
    if instrument and instrument not in store.repeating:
        yield problem(record, INSTRUMENT, instrument, _UNKNOWN_INSTRUMENT)
    if instance and instrument not in store.repeating:
        yield problem(record, INSTANCE, instance, _NEEDLESS_INSTANCE)
    if instrument in store.repeating and instance != "new" and not (instance.isdecimal() and int(instance) > 0):
        yield problem(record, INSTANCE, instance, _BAD_INSTANCE)


def _read_values(
    store: RecordStore, row: TextRow, record: str, instrument: str, manner: Manner, values: Values
) -> Iterator[str]:
    """Fill in the values of a row as they are stored, and tell those that REDCap refuses."""
    columns = store.dictionary.columns
    for name, value in row.items():
        column = columns.get(name)
        if column is None or name == store.dictionary.record_id or column.field.field_type in ("calc", "file"):
            continue
        if not _belongs(store, column, instrument):
            # A whole export may come back: it has blanks in the columns of other instruments.
            if value:
                yield problem(record, name, value, _elsewhere(column, instrument))
            continue
        try:
            taken = accepted(column, value, manner.date_format, store.dictionary.missing) if value else ""
            values[name] = saved(taken, store.alterations)
        except ValueError as refused:
            yield problem(record, name, value, str(refused))


def _belongs(store: RecordStore, column: Column, instrument: str) -> bool:
    return column.form == instrument if instrument else column.form not in store.repeating


def _elsewhere(column: Column, instrument: str) -> str:
    field = column.field.field_name
    if instrument:
        return (
            f"This field ('{field}') does not exist on the Repeating Instrument named '{instrument}'. "
            "You are not allowed to import data for this field into this instrument."
        )
    return (
        f"This field ('{field}') exists on a Repeating Instrument named '{column.form}'. However, the fields "
        "'redcap_repeat_instance' and/or 'redcap_repeat_instrument' for this row of data have no value, "
        "which are both required for importing data into a Repeating Instrument.  You are not allowed to "
        "import data for this field into a non-repeating instrument."
    )


def _locked_records(store: RecordStore, changes: Iterable[Change]) -> list[str]:
    named = dict.fromkeys(change.record for change in changes)
    locked = [name for name in named if name in store.records and store.records[name].locked]
    return [problem(name, store.dictionary.record_id, name, _LOCKED) for name in locked]


def problem(record: str, field: str, value: str, message: str) -> str:
    """One line of REDCap's list of problems: record, field, value and message, each in quotes."""
    quoted = [text.replace('"', '""') for text in (record, field, value, message)]
    return ",".join(f'"{text}"' for text in quoted)


def _names(store: RecordStore, changes: Iterable[Change], manner: Manner) -> dict[str, str]:
    """The ids under which the sent records are stored: their own, or fresh numbers with auto-numbering."""
    sent = list(dict.fromkeys(change.record for change in changes))
    if not (manner.auto_number and store.autonumbering):
        return {name: name for name in sent}
    first = int(store.next_record_name())
    return {name: str(first + offset) for offset, name in enumerate(sent)}


def _store(store: RecordStore, name: str, change: Change, manner: Manner) -> None:
    is_new = name not in store.records
    record = store.record(name)
    instance = record.next_instance(change.instrument) if change.instance == _NEW else change.instance
    changed = _write(store, record, change, instance, overwrite=manner.overwrite)
    if not changed and not is_new:
        return
    where = [f"[instance = {instance}]"] if change.instrument else []
    itself = [f"{store.dictionary.record_id} = '{name}'"] if is_new else []
    details = ", ".join([*where, *itself, *(_detail(store, column, value) for column, value in changed)])
    kind, verb = ("record_add", "Create") if is_new else ("record_edit", "Update")
    store.note(kind, f"{verb} record (import)", details, name, manner.username)


def _write(
    store: RecordStore, record: Record, change: Change, instance: int, *, overwrite: bool
) -> list[tuple[str, str]]:
    """Write the values of one row; blanks erase only if `overwrite`. Gives what became different."""
    columns = store.dictionary.columns
    stored = record.values(change.instrument, instance)
    changed = []
    for name, value in change.values.items():
        if not value and not overwrite:
            continue
        # REDCap keeps checked boxes only: unchecking one removes it.
        after = "" if columns[name].code is not None and value == "0" else value
        if after == stored.get(name, ""):
            continue
        changed.append((name, after))
        if after:
            stored[name] = after
        else:
            del stored[name]
    if not stored:
        record.forget_empty()
    return changed


def _detail(store: RecordStore, name: str, value: str) -> str:
    column = store.dictionary.columns[name]
    if column.code is None:
        return f"{name} = '{value}'"
    return f"{column.field.field_name}({column.code}) = {'checked' if value == '1' else 'unchecked'}"
