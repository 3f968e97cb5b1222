"""The calls about a project rather than its records: dictionary, instruments, repeating set-up, log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import export, log, payload
from .dictionary import Dictionary, form_label
from .question import Outcome, Question
from .replies import Refusal, reply, table_reply

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NO_REPEATS: Final = (
    "You cannot export repeating instruments and events because the project does not contain any repeating "
    "instruments and events"
)


def _table(question: Question, rows: Sequence[Mapping[str, object]], done: str) -> Outcome:
    """Answer a question about the project with a table, and log it as REDCap does."""
    if not question.project.rights.export:
        raise Refusal("You do not have API Export privileges", status=403)
    question.project.note("manage", "Manage/Design", f"{done} (API)")
    answer = table_reply(rows, question.format, delimiter=question.delimiter)
    return Outcome(reply=answer, rows=len(rows))


def export_metadata(question: Question) -> Outcome:
    """Answer `content=metadata`: 18 text keys a field, limited to the named fields and forms."""
    dictionary = question.project.dictionary
    fields, forms = question.names("fields"), question.names("forms")
    export.refuse_unknown("fields", [name for name in fields if name not in dictionary.by_name])
    export.refuse_unknown("forms", [name for name in forms if name not in dictionary.forms])
    everything = not fields and not forms
    rows = [
        row for row in dictionary.metadata() if everything or row["field_name"] in fields or row["form_name"] in forms
    ]
    return _table(question, rows, "Download data dictionary")


def import_metadata(question: Question) -> Outcome:
    """Answer `content=metadata` with data, which replaces the dictionary; the reply counts its fields."""
    _needs_design_right(question)
    rows = _read(question)
    try:
        dictionary = Dictionary.from_metadata(rows, missing_data_codes=question.project.dictionary.missing_data_codes)
    except (TypeError, ValueError):
        raise Refusal("The data is not in the specified format.") from None
    question.project.dictionary = dictionary
    question.project.note("manage", "Manage/Design", "Upload data dictionary (API)")
    return Outcome(reply=reply(str(len(dictionary.fields)), question.return_format), stored=True)


def export_field_names(question: Question) -> Outcome:
    """Answer `content=exportFieldNames`: one row a column of an export; `field` limits it to one."""
    dictionary = question.project.dictionary
    wanted = question.parameters.text("field")
    export.refuse_unknown("field", [wanted] if wanted and not dictionary.knows(wanted) else [])
    rows = [
        {
            "original_field_name": column.field.field_name,
            "choice_value": column.code or "",
            "export_field_name": column.name,
        }
        for column in dictionary.columns.values()
        if wanted in ("", column.field.field_name) and column.field.field_type != "file"
    ]
    return _table(question, rows, "Export field names")


def export_instruments(question: Question) -> Outcome:
    """Answer `content=instrument`."""
    forms = question.project.dictionary.forms
    rows = [{"instrument_name": form, "instrument_label": form_label(form)} for form in forms]
    return _table(question, rows, "Export instruments")


def export_repeating(question: Question) -> Outcome:
    """Answer `content=repeatingFormsEvents` of a classic project: rows without an event name."""
    if not question.project.repeating:
        raise Refusal(_NO_REPEATS)
    rows = [{"form_name": form, "custom_form_label": ""} for form in question.project.repeating]
    return _table(question, rows, "Export repeating instruments and events")


def import_repeating(question: Question) -> Outcome:
    """Answer `content=repeatingFormsEvents` with data, which replaces the set-up; the reply counts it."""
    _needs_design_right(question)
    project = question.project
    forms = [row.get("form_name", "") for row in _read(question)]
    export.refuse_unknown("form_name", [form for form in forms if form not in project.dictionary.forms])
    project.repeating = tuple(form for form in project.dictionary.forms if form in forms)
    project.note("manage", "Manage/Design", "Import repeating instruments and events (API)")
    return Outcome(reply=reply(str(len(project.repeating)), question.return_format), stored=True)


def _needs_design_right(question: Question) -> None:
    if not (question.project.rights.import_ and question.project.rights.design):
        raise Refusal("You do not have Project Design privileges", status=403)


def _read(question: Question) -> list[payload.TextRow]:
    return payload.read_rows(question.parameters.text("data"), question.format, delimiter=question.delimiter)


def export_project(question: Question) -> Outcome:
    """Answer `content=project`: one object, flags as numbers, the rest as text."""
    project = question.project
    facts: dict[str, object] = {
        "project_id": int(project.token[:4], 16),
        "project_title": form_label(project.name),
        "creation_time": project.created,
        "production_time": "",
        "in_production": int(project.status == "production"),
        "project_language": "English",
        "purpose": 0,
        "purpose_other": "",
        "project_notes": "",
        "custom_record_label": "",
        "secondary_unique_field": "",
        "is_longitudinal": int(project.longitudinal),
        "has_repeating_instruments_or_events": int(bool(project.repeating)),
        "surveys_enabled": 0,
        "scheduling_enabled": 0,
        "record_autonumbering_enabled": int(project.autonumbering),
        "randomization_enabled": 0,
        "ddp_enabled": 0,
        "project_irb_number": "",
        "project_grant_number": "",
        "project_pi_firstname": "",
        "project_pi_lastname": "",
        "project_pi_email": "",
        "display_today_now_button": 1,
        "missing_data_codes": project.dictionary.missing_data_codes,
        "external_modules": "",
        "bypass_branching_erase_field_prompt": 0,
    }
    table = _table(question, [facts], "Export project information")
    if question.format != "json":
        return table
    return Outcome(reply=reply(table.reply.body[1:-1], "json"), rows=1)


def export_version(question: Question) -> Outcome:
    """Answer `content=version`: plain text."""
    return Outcome(reply=reply(question.version, "html"))


def export_log(question: Question) -> Outcome:
    """Answer `content=log`, newest entry first; it needs the rights to export and to see the log."""
    rights, parameters = question.project.rights, question.parameters
    if not (rights.export and rights.logging):
        raise Refusal("You do not have Logging privileges", status=403)
    log_question = log.LogQuestion(
        kind=parameters.text("logtype"),
        username=parameters.text("user"),
        record=parameters.text("record"),
        begin=parameters.text("beginTime"),
        end=parameters.text("endTime"),
    )
    rows = log.exported(question.project.log, log_question)
    return _table(question, rows, "Export Logging")


def refuse_longitudinal(question: Question) -> Outcome:
    """Refuse what only longitudinal projects have; PyCap tells them apart by this answer."""
    content = question.parameters.text("content")
    things = {"arm": "arms", "event": "events", "formEventMapping": "form/event mappings"}
    raise Refusal(f"You cannot export {things[content]} for classic projects")
