"""A REDCap project as project XML: CDISC ODM 1.3.1 with REDCap's extensions, of which a project can be made. Pure.

No schema of the extensions is published: this is the shape of the files that REDCap 9 to 14 themselves have written,
down to their prefixes and the order of their parts, for projects without data. Of a form, each row of fields below a
heading is an item group, and the form's status one more; a checkbox is an item for each choice. What repeats is not
said where ODM has it (`Repeating` is "No" throughout), but among REDCap's own settings.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import Final

# It writes XML and reads none, which is what the warning is about.
from xml.etree.ElementTree import Element, SubElement, indent, tostring  # nosec B405

from processors.project_designs import Field, ProjectDesign, ReportDesign

from .dictionary import choices, column_ending

_NAMESPACES: Final = {
    "xmlns": "http://www.cdisc.org/ns/odm/v1.3",
    "xmlns:ds": "http://www.w3.org/2000/09/xmldsig#",
    "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
    "xmlns:redcap": "https://projectredcap.org",
    "xsi:schemaLocation": "http://www.cdisc.org/ns/odm/v1.3 schema/odm/ODM1-3-1.xsd",
}
# Every file that REDCap is known to have taken names it as the source: whether it takes others, nobody tells.
_SOURCE: Final = {"SourceSystem": "REDCap", "SourceSystemVersion": "14.7.3"}
_SETTINGS: Final = {
    "CustomRecordLabel": "",
    "SecondaryUniqueField": "",
    "SchedulingEnabled": "0",
    "SurveysEnabled": "0",
    "SurveyInvitationEmailField": "",
    "RandomizationEnabled": "0",
    "DisplayTodayNowButton": "1",
    "PreventBranchingEraseValues": "0",
    "RequireChangeReason": "0",
    "DataHistoryPopup": "1",
    "OrderRecordsByField": "",
    "Purpose": "4",
    "PurposeOther": "",
    "ProjectNotes": "",
    "MissingDataCodes": "",
}
OPERATIONAL_SUPPORT: Final = _SETTINGS["Purpose"]
"""REDCap's number for what the project is for."""

_EVENT: Final = "event_1_arm_1"
"""What REDCap calls the one event of a classic project."""

_TYPES: Final = {"dropdown": "select", "notes": "textarea"}
"""Names of field types that are others than in the data dictionary."""

_VALIDATIONS: Final = {"integer": "int", "number": "float"}
"""Likewise, of validations."""

_STATUS: Final = "Form Status"
_FORM_STATUS: Final = "0, Incomplete | 1, Unverified | 2, Complete"
_SWITCHES: Final = {
    "yesno": "1, Yes | 0, No",
    "truefalse": "1, True | 0, False",
    "checkbox": "1, Checked | 0, Unchecked",
}
_LONGEST: Final = "999"
_ON_ONE_LINE: Final = ("Question", "CodeListItem", "Decode")
"""Elements that REDCap writes without blanks between their parts."""
_REPORT: Final = {
    "user_access": "ALL",
    "user_edit_access": "ALL",
    "description": "",
    "combine_checkbox_values": "0",
    "output_dags": "0",
    "output_survey_fields": "0",
    "output_missing_data_codes": "0",
    "remove_line_breaks_in_values": "1",
    "orderby_sort1": "ASC",
    "orderby_field2": "",
    "orderby_sort2": "",
    "orderby_field3": "",
    "orderby_sort3": "",
    "filter_type": "RECORD",
    "dynamic_filter1": "",
    "dynamic_filter2": "",
    "dynamic_filter3": "",
    "hash": "",
    "short_url": "",
    "is_public": "0",
    "report_display_include_repeating_fields": "1",
    "report_display_header": "BOTH",
    "report_display_data": "BOTH",
    "limiter_logic": "",
    "redcap_reports_filter_dags": "",
    "redcap_reports_filter_events": "",
}
"""What all reports have alike, as exports of REDCap 13 and 14 have it: without the prefix of other extensions."""

_ATTRIBUTES: Final = {
    "redcap:FieldNote": "field_note",
    "redcap:SectionHeader": "section_header",
    "redcap:Identifier": "identifier",
    "redcap:BranchingLogic": "branching_logic",
    "redcap:RequiredField": "required_field",
    "redcap:FieldAnnotation": "field_annotation",
}
"""What an item takes from the data dictionary as it is, where there is anything."""


def project_xml(design: ProjectDesign, at: datetime) -> bytes:
    """The file, as made at that time."""
    name = "".join(filter(str.isalnum, design.title))
    moment = at.strftime("%Y-%m-%dT%H:%M:%S")
    root = Element(
        "ODM",
        {
            **_NAMESPACES,
            "ODMVersion": "1.3.1",
            "FileOID": "000-00-0000",
            "FileType": "Snapshot",
            "Description": design.title,
            "AsOfDateTime": moment,
            "CreationDateTime": moment,
            **_SOURCE,
        },
    )
    study = SubElement(root, "Study", OID=f"Project.{name}")
    study.append(_settings(design))
    version = {"OID": f"Metadata.{name}_{at:%Y-%m-%d_%H%M}", "Name": design.title}
    metadata = SubElement(study, "MetaDataVersion", {**version, "redcap:RecordIdField": design.record_id})
    metadata.extend(_dictionary(design))
    indent(root, "\t")
    for element in root.iter():
        if element.tag in _ON_ONE_LINE:
            element.text = None
            for part in element:
                part.tail = None
    body: bytes = tostring(root, "utf-8")
    return b'<?xml version="1.0" encoding="UTF-8" ?>\n' + body + b"\n"


def _settings(design: ProjectDesign) -> Element:
    settings = Element("GlobalVariables")
    for tag, text in (
        ("StudyName", design.title),
        ("StudyDescription", f'This file contains the metadata of the REDCap project "{design.title}".'),
        ("ProtocolName", design.title),
        ("redcap:RecordAutonumberingEnabled", str(int(design.autonumbering))),
        *((f"redcap:{name}", value) for name, value in _SETTINGS.items()),
    ):
        SubElement(settings, tag).text = text
    if design.repeating:
        repeating = SubElement(settings, "redcap:RepeatingInstrumentsAndEvents")
        instruments = SubElement(repeating, "redcap:RepeatingInstruments")
        for form in design.repeating:
            named = {"redcap:UniqueEventName": _EVENT, "redcap:RepeatInstrument": form, "redcap:CustomLabel": ""}
            SubElement(instruments, "redcap:RepeatingInstrument", named)
    if design.reports:
        reports = SubElement(settings, "redcap:ReportsGroup")
        for order, report in enumerate(design.reports, start=1):
            SubElement(reports, "redcap:Reports", _report(report, design.record_id, order))
    return settings


def _report(report: ReportDesign, record_id: str, order: int) -> dict[str, str]:
    return {
        **_REPORT,
        "title": report.title,
        "report_order": str(order),
        "orderby_field1": record_id,
        "advanced_logic": report.logic,
        "redcap_reports_fields": ",".join(report.fields),
        # By which other parts of a file would name it.
        "ID": hashlib.sha1(str(order).encode(), usedforsecurity=False).hexdigest(),
    }


def _dictionary(design: ProjectDesign) -> Iterator[Element]:
    """The forms, then their groups, then all items, then all lists of choices, as ODM has them in this order."""
    fields = [field for form in design.forms for field in _of_form(design, form)]
    groups = {form: list(_groups(_of_form(design, form))) for form in design.forms}
    for form in design.forms:
        yield _form(form, groups[form])
    for form in design.forms:
        yield from (_group(form, group) for group in groups[form])
    for field in fields:
        yield from _items(field)
    for field in fields:
        yield from _code_lists(field)


def _of_form(design: ProjectDesign, form: str) -> list[Field]:
    """The fields of a form, its status last."""
    status = {
        "field_name": f"{form}_complete",
        "form_name": form,
        "field_type": "dropdown",
        "field_label": "Complete?",
        "section_header": _STATUS,
        "select_choices_or_calculations": _FORM_STATUS,
    }
    return [*(field for field in design.fields if field["form_name"] == form), status]


def _groups(fields: Sequence[Field]) -> Iterator[list[Field]]:
    """The fields in rows, each of which begins with a heading or with the form."""
    begun = 0

    def number(field: Field) -> int:
        nonlocal begun
        begun += bool(field.get("section_header"))
        return begun

    for _, group in groupby(fields, key=number):
        yield list(group)


def _group_oid(form: str, group: Sequence[Field]) -> str:
    return f"{form}.{_columns(group[0])[0]}"


def _form(form: str, groups: Iterable[Sequence[Field]]) -> Element:
    named = {"OID": f"Form.{form}", "Name": _title(form), "Repeating": "No", "redcap:FormName": form}
    element = Element("FormDef", named)
    for group in groups:
        SubElement(element, "ItemGroupRef", ItemGroupOID=_group_oid(form, group), Mandatory="No")
    return element


def _group(form: str, group: Sequence[Field]) -> Element:
    name = group[0].get("section_header") or _title(form)
    element = Element("ItemGroupDef", OID=_group_oid(form, group), Name=name, Repeating="No")
    for field in group:
        for column in _columns(field):
            reference = {"ItemOID": column, "Mandatory": "No", "redcap:Variable": field["field_name"]}
            SubElement(element, "ItemRef", reference)
    return element


def _columns(field: Field) -> list[str]:
    """The items of a field: one for each choice of a checkbox."""
    name = field["field_name"]
    if field["field_type"] != "checkbox":
        return [name]
    return [f"{name}___{column_ending(code)}" for code in choices(field["select_choices_or_calculations"])]


def _items(field: Field) -> Iterator[Element]:
    for column in _columns(field):
        listed = _choices(field)
        kind, validation = field["field_type"], _validation(field)
        described = {
            "OID": column,
            "Name": column,
            "DataType": _data_type(field),
            "Length": str(max(map(len, listed))) if listed else _LONGEST,
            "redcap:Variable": field["field_name"],
            "redcap:FieldType": _TYPES.get(kind, kind),
        }
        if validation:
            described["redcap:TextValidationType"] = validation
        described |= {name: field[key] for name, key in _ATTRIBUTES.items() if field.get(key)}
        item = Element("ItemDef", described)
        SubElement(SubElement(item, "Question"), "TranslatedText").text = field["field_label"]
        if listed:
            SubElement(item, "CodeListRef", CodeListOID=f"{column}.choices")
        yield item


def _code_lists(field: Field) -> Iterator[Element]:
    listed = _choices(field)
    for column in _columns(field) if listed else ():
        kind = "boolean" if field["field_type"] in _SWITCHES else "text"
        described = {
            "OID": f"{column}.choices",
            "Name": column,
            "DataType": kind,
            "redcap:Variable": field["field_name"],
        }
        if field["field_type"] == "checkbox":
            described["redcap:CheckboxChoices"] = "|".join(
                f"{code}, {label}" for code, label in choices(field["select_choices_or_calculations"]).items()
            )
        codes = Element("CodeList", described)
        for code, label in listed.items():
            item = SubElement(codes, "CodeListItem", CodedValue=code)
            SubElement(SubElement(item, "Decode"), "TranslatedText").text = label
        yield codes


def _choices(field: Field) -> dict[str, str]:
    """The labels by code of what an item can be; none of free text."""
    return choices(_SWITCHES.get(field["field_type"], field["select_choices_or_calculations"]))


def _validation(field: Field) -> str:
    named = field.get("text_validation_type_or_show_slider_number", "")
    return _VALIDATIONS.get(named, named)


def _data_type(field: Field) -> str:
    """ODM's type of an item; a time without seconds is a part of one."""
    if field["field_type"] in _SWITCHES:
        return "boolean"
    validation = _validation(field)
    if validation in _VALIDATIONS.values():
        return "integer" if validation == "int" else "float"
    kind = validation.partition("_")[0]
    return {"date": "date", "datetime": "partialDatetime"}.get(kind, "text")


def _title(form: str) -> str:
    return form.replace("_", " ").title()
