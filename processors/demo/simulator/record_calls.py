"""The calls with `content=record`: export, import, delete and rename; and the next record name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import orjson

from . import export, importing, logic, payload
from .log import records_changed
from .question import Outcome, Question
from .replies import Refusal, Reply, count_reply, ids_reply, reply, table_reply

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .importing import Imported
    from .replies import Row

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d( \d\d:\d\d(:\d\d)?)?")


def export_records(question: Question) -> Outcome:
    """Answer `content=record` without data."""
    project, parameters = question.project, question.parameters
    if not project.rights.export:
        raise Refusal("You do not have API Export privileges", status=403)
    selection = _selection(question)
    names = _names(question)
    if "missing_record" in question.quirks:
        names = names[:-1]
    flat = parameters.text("type", "flat").lower() != "eav"
    rows = (
        export.flat_rows(project, selection, names, all_instances="blank_instances" in question.quirks)
        if flat
        else export.eav_rows(project, selection, names)
    )
    columns = [column.name for column in selection.columns]
    project.note("export", "Data export (API)", f"Exported {len(columns)} fields of {len(names)} records")
    shown = _presented(question, rows)
    labels = parameters.text("rawOrLabelHeaders") == "label" and flat
    headers = export.header_labels(project.dictionary) if labels else None
    answer = table_reply(shown, question.format, delimiter=question.delimiter, headers=headers)
    return Outcome(reply=answer, records=len(names), rows=len(rows), fields=tuple(columns))


def _selection(question: Question) -> export.Selection:
    dictionary = question.project.dictionary
    fields, forms = question.names("fields"), question.names("forms")
    if "comma_strings" in question.quirks:
        # Those servers dropped names that they did not know, and gave everything when none was left.
        fields = [name for name in fields if dictionary.knows(name)]
        forms = [name for name in forms if name in dictionary.forms]
    blank = question.parameters.flag("exportBlankForGrayFormStatus")
    return export.select(dictionary, fields, forms, blank_gray_status=blank)


def _names(question: Question) -> list[str]:
    """The records that the call asks for: by id, by the log's date range and by filter logic."""
    project, parameters = question.project, question.parameters
    named = question.names("records")
    begin, end = _time(question, "dateRangeBegin"), _time(question, "dateRangeEnd")
    wanted = set(named) if named else None
    if begin or end:
        changed = records_changed(project.log, begin, end)
        wanted = changed if wanted is None else wanted & changed
    names = [name for name in project.ordered_records(wanted) if project.is_seen(name)]
    condition = parameters.text("filterLogic")
    return logic.matching(project, names, condition) if condition else names


def _time(question: Question, parameter: str) -> str:
    text = question.parameters.text(parameter).strip()
    if text and not _TIME.fullmatch(text):
        raise Refusal(f'The value of the parameter "{parameter}" is not valid')
    return text


def _presented(question: Question, rows: list[Row]) -> Sequence[Mapping[str, object]]:
    """The rows as the call and the imitated oddities want them shown."""
    shown: Sequence[Mapping[str, object]] = rows
    if question.parameters.text("rawOrLabel") == "label":
        shown = export.labelled(question.project, rows, checkbox_labels=question.parameters.flag("exportCheckboxLabel"))
    if "omit_repeat_columns" in question.quirks and not any(row.get(importing.INSTANCE) for row in rows):
        shown = [{name: row[name] for name in row if name not in _REPEAT} for row in shown]
    if "text_instances" in question.quirks:
        shown = [{name: str(value) for name, value in row.items()} for row in shown]
    if "complete_null" in question.quirks:
        shown = [{name: None if _is_status(question, name) else row[name] for name in row} for row in shown]
    return shown


_REPEAT: Final = (importing.INSTRUMENT, importing.INSTANCE)


def _is_status(question: Question, name: str) -> bool:
    column = question.project.dictionary.columns.get(name)
    return column is not None and column.is_status


def import_records(question: Question) -> Outcome:
    """Answer `content=record` with data."""
    project, parameters = question.project, question.parameters
    if not project.rights.import_:
        raise Refusal("You do not have API Import/Update privileges", status=403)
    if project.status == "analysis":
        raise Refusal("Data cannot be imported: the project is in Analysis/Cleanup status.")
    rows = payload.read_rows(parameters.text("data"), question.format, delimiter=question.delimiter)
    if parameters.text("type", "flat").lower() == "eav":
        rows = payload.from_eav(rows, project.dictionary)
    if "half_import" in question.quirks:
        rows = rows[: len(rows) // 2]
    date_format = parameters.text("dateFormat", "YMD").upper()
    if date_format not in ("YMD", "MDY", "DMY"):
        raise Refusal('The value of the parameter "dateFormat" is not valid')
    manner = importing.Manner(
        overwrite=parameters.text("overwriteBehavior", "normal").lower() == "overwrite",
        date_format=date_format,
        auto_number=parameters.flag("forceAutoNumber"),
    )
    imported = importing.import_rows(project, rows, manner)
    fields = tuple(dict.fromkeys(name for row in rows for name in row))
    answer = _import_reply(question, imported, auto_number=manner.auto_number)
    return Outcome(reply=answer, records=len(imported.records), rows=imported.rows, fields=fields, stored=True)


def _import_reply(question: Question, imported: Imported, *, auto_number: bool) -> Reply:
    kind, wanted = question.return_format, question.parameters.text("returnContent", "count").lower()
    if question.parameters.flag("backgroundProcess"):
        return reply(orjson.dumps({"success": True}), "json")
    if wanted == "nothing":
        return reply("", kind)
    if wanted == "ids":
        return ids_reply(imported.records, kind)
    if wanted == "auto_ids" and auto_number:
        return ids_reply([f"{new},{sent}" for sent, new in imported.names.items()], kind, "id,sent_id")
    return count_reply(len(imported.records), kind)


def delete_records(question: Question) -> Outcome:
    """Answer `action=delete`: whole records, one form, or one instance. The reply is a bare number."""
    project, parameters = question.project, question.parameters
    if not project.rights.delete:
        raise Refusal("You do not have Delete Record privileges", status=403)
    names = list(dict.fromkeys(question.names("records")))
    missing = [name for name in names if name not in project.records]
    if missing or not names:
        raise Refusal(
            "One or more of the records provided cannot be deleted because they do not exist in the project. "
            f"The following records do not exist: {', '.join(missing)}"
        )
    form, instance = parameters.text("instrument"), parameters.text("repeat_instance")
    if form:
        export.refuse_unknown("instrument", [] if form in project.dictionary.forms else [form])
    for name in names:
        _delete(question, name, form, instance)
    return Outcome(reply=reply(str(len(names)), "html"), records=len(names))


def _delete(question: Question, name: str, form: str, instance: str) -> None:
    project = question.project
    if not form:
        project.delete(name, username=project.username)
    elif not instance:
        project.clear_form(name, form, username=project.username)
    elif instance.isdecimal() and int(instance) in project.records[name].instances.get(form, {}):
        project.delete_instance(name, form, int(instance), username=project.username)


def rename_record(question: Question) -> Outcome:
    """Answer `action=rename`; the reply is 1."""
    project, parameters = question.project, question.parameters
    if not project.rights.import_:
        raise Refusal("You do not have Rename Record privileges", status=403)
    old, new = parameters.text("record"), parameters.text("new_record_name")
    if old not in project.records or not new:
        raise Refusal(f'The record "{old}" does not exist in the project.')
    project.rename(old, new, username=project.username)
    return Outcome(reply=reply("1", "html"), records=1)


def next_record_name(question: Question) -> Outcome:
    """Answer `content=generateNextRecordName`: plain text in every format."""
    return Outcome(reply=reply(question.project.next_record_name(), "html"))
