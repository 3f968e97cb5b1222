"""Project XML, by the published rules of ODM 1.3.1 and by what REDCap's own files say."""

from collections.abc import Iterator
from datetime import datetime
from xml.etree import ElementTree as ET
from xml.etree.ElementTree import Element

import pytest

from processors.project_designs import ProjectDesign, project_designs
from processors.redcap.project_xml import project_xml

ODM, REDCAP = "{http://www.cdisc.org/ns/odm/v1.3}", "{https://projectredcap.org}"
AT = datetime(2026, 3, 2, 9, 30)  # noqa: DTZ001 - as REDCap writes it
DESIGNS = {
    **project_designs(with_withdrawals=True, destinations=["Heart Study", 'Brain, Ageing & "Memory" <1>']),
    "transfers": project_designs(separate_transfers=True)["transfers"],
}
NAMES = list(DESIGNS)

# Of ODM 1.3.1, what our elements may hold in this order, and the attributes that they must have.
CONTENT = {
    "ODM": ["Study"],
    "Study": ["GlobalVariables", "BasicDefinitions", "MetaDataVersion"],
    "GlobalVariables": ["StudyName", "StudyDescription", "ProtocolName"],
    "MetaDataVersion": ["Include", "Protocol", "StudyEventDef", "FormDef", "ItemGroupDef", "ItemDef", "CodeList"],
    "FormDef": ["Description", "ItemGroupRef"],
    "ItemGroupDef": ["Description", "ItemRef"],
    "ItemDef": ["Description", "Question", "ExternalQuestion", "MeasurementUnitRef", "RangeCheck", "CodeListRef"],
    "Question": ["TranslatedText"],
    "CodeList": ["CodeListItem"],
    "CodeListItem": ["Decode"],
    "Decode": ["TranslatedText"],
}
REQUIRED = {
    "ODM": {"FileType", "FileOID", "CreationDateTime"},
    "Study": {"OID"},
    "MetaDataVersion": {"OID", "Name"},
    "FormDef": {"OID", "Name", "Repeating"},
    "ItemGroupRef": {"ItemGroupOID", "Mandatory"},
    "ItemGroupDef": {"OID", "Name", "Repeating"},
    "ItemRef": {"ItemOID", "Mandatory"},
    "ItemDef": {"OID", "Name", "DataType"},
    "CodeListRef": {"CodeListOID"},
    "CodeList": {"OID", "Name", "DataType"},
    "CodeListItem": {"CodedValue"},
}
# REDCap writes lists of choices of the type boolean, too, which ODM does not have.
DATA_TYPES = {
    "ItemDef": {"text", "integer", "float", "date", "partialDatetime", "boolean"},
    "CodeList": {"text", "integer", "float", "string", "boolean"},
}


def parsed(name: str) -> Element:
    return ET.fromstring(project_xml(DESIGNS[name], AT))  # noqa: S314 - our own


def odm(root: Element) -> Iterator[tuple[str, Element]]:
    for element in root.iter():
        if element.tag.startswith(ODM):
            yield element.tag.removeprefix(ODM), element


@pytest.mark.parametrize("name", NAMES)
def test_each_element_is_where_odm_has_it_and_has_what_it_must_have(name: str) -> None:
    for tag, element in odm(parsed(name)):
        parts = [part.tag.removeprefix(ODM) for part in element if part.tag.startswith(ODM)]
        order = CONTENT.get(tag, [])
        assert parts == sorted(parts, key=order.index), tag
        assert REQUIRED.get(tag, set()) <= set(element.attrib), tag
        assert element.get("DataType") in DATA_TYPES.get(tag, {None}), tag
        assert element.get("Repeating") in (None, "Yes", "No")
        assert element.get("Length", "1").isdecimal()


@pytest.mark.parametrize("name", NAMES)
def test_each_reference_leads_to_one_definition_and_each_definition_is_referred_to(name: str) -> None:
    elements = list(odm(parsed(name)))
    for kind in ("ItemGroup", "Item", "CodeList"):
        defined = [element.get("OID") for tag, element in elements if tag in (f"{kind}Def", kind)]
        assert len(set(defined)) == len(defined)
        assert {element.get(f"{kind}OID") for tag, element in elements if tag == f"{kind}Ref"} == set(defined)


@pytest.mark.parametrize("name", NAMES)
def test_redcaps_extensions_have_redcaps_prefix(name: str) -> None:
    text = project_xml(DESIGNS[name], AT).decode()
    assert text.startswith('<?xml version="1.0" encoding="UTF-8" ?>\n<ODM xmlns="http://www.cdisc.org/ns/odm/v1.3" ')
    assert 'ODMVersion="1.3.1"' in text
    assert f'redcap:RecordIdField="{DESIGNS[name].record_id}"' in text
    assert "ns0" not in text


def items(name: str) -> dict[str, Element]:
    return {element.get("OID", ""): element for tag, element in odm(parsed(name)) if tag == "ItemDef"}


def said(item: Element) -> dict[str, str]:
    return {key.removeprefix(REDCAP): value for key, value in item.attrib.items() if key.startswith(REDCAP)}


def test_fields_are_named_as_redcap_names_them_there() -> None:
    incoming = items("incoming")
    assert said(incoming["transfer_requested_date"]) == {
        "Variable": "transfer_requested_date",
        "FieldType": "text",
        "TextValidationType": "datetime_ymd",
    }
    assert incoming["transfer_requested_date"].get("DataType") == "partialDatetime"
    assert said(incoming["series_num_files"])["TextValidationType"] == "int"
    assert said(incoming["transfer_error_message"])["FieldType"] == "textarea"
    assert said(incoming["series_complete"]) == {
        "Variable": "series_complete",
        "FieldType": "select",
        "SectionHeader": "Form Status",
    }
    assert "transfer_error" not in incoming
    assert said(incoming["transfer_error___3"])["Variable"] == "transfer_error"
    assert said(items("routing")["routing_dest_project"])["FieldType"] == "select"
    for project, field in (
        ("incoming", "study_patient_id"),
        ("incoming", "study_patient_name"),
        ("autoid", "autoid_value"),
    ):
        assert said(items(project)[field])["Identifier"] == "y"


def test_what_people_must_not_change_is_read_only_and_what_they_enter_is_not() -> None:
    tagged = {
        name: {said(item)["Variable"] for item in items(name).values() if "@READONLY" in str(said(item))}
        for name in NAMES
    }
    assert {"transfer_date", "transfer_error", "transfer_mapped_uid", "study_patient_id"} <= tagged["incoming"]
    asked = {"transfer_requested_date", "transfer_project_name", "transfer_name", "transfer_event_name"}
    assert not asked & tagged["incoming"]
    assert tagged["autoid"] == {"autoid_project_name", "autoid_hash", "autoid_value", "autoid_method"}
    assert [tagged[name] for name in ("coupling", "routing", "projects", "withdrawals")] == [set()] * 4


@pytest.mark.parametrize(
    ("design", "repeating", "numbered"),
    [("incoming", ["series", "transfers"], "0"), ("coupling", [], "1"), ("transfers", ["transfers"], "0")],
)
def test_what_repeats_and_whether_records_are_numbered_is_among_redcaps_settings(
    design: str, repeating: list[str], numbered: str
) -> None:
    root = parsed(design)
    instruments = list(root.iter(f"{REDCAP}RepeatingInstrument"))
    assert [each.get(f"{REDCAP}RepeatInstrument") for each in instruments] == repeating
    assert {each.get(f"{REDCAP}UniqueEventName") for each in instruments} <= {"event_1_arm_1"}
    assert root.findtext(f".//{REDCAP}RecordAutonumberingEnabled") == numbered


@pytest.mark.parametrize(("design", "reports"), [("incoming", 1), ("transfers", 1), ("coupling", 0), ("autoid", 0)])
def test_a_report_lists_what_is_not_sent_yet_wherever_the_transfers_are(design: str, reports: int) -> None:
    root = parsed(design)
    found = list(root.iterfind(f".//{ODM}GlobalVariables/{REDCAP}ReportsGroup/{REDCAP}Reports"))
    assert len(found) == reports
    for report in found:
        assert set(report.attrib) == IN_EXPORTS
        fields = report.attrib["redcap_reports_fields"].split(",")
        assert fields[0] == DESIGNS[design].record_id
        assert set(fields) <= {field["field_name"] for field in DESIGNS[design].fields}
        assert report.get("advanced_logic") == "[transfer_name] <> '' and [transfer_date] = ''"


IN_EXPORTS = {
    "title",
    "report_order",
    "user_access",
    "user_edit_access",
    "description",
    "combine_checkbox_values",
    "output_dags",
    "output_survey_fields",
    "output_missing_data_codes",
    "remove_line_breaks_in_values",
    "orderby_field1",
    "orderby_sort1",
    "orderby_field2",
    "orderby_sort2",
    "orderby_field3",
    "orderby_sort3",
    "advanced_logic",
    "filter_type",
    "dynamic_filter1",
    "dynamic_filter2",
    "dynamic_filter3",
    "hash",
    "short_url",
    "is_public",
    "report_display_include_repeating_fields",
    "report_display_header",
    "report_display_data",
    "limiter_logic",
    "redcap_reports_fields",
    "redcap_reports_filter_dags",
    "redcap_reports_filter_events",
    "ID",
}
"""What each report has in exports of REDCap 13 and 14, but for the name that a server gives it."""


def test_a_heading_begins_a_group_of_its_own() -> None:
    first, second = {"form_name": "form", "field_type": "text", "select_choices_or_calculations": ""}, "Below"
    fields = (
        {**first, "field_name": "a", "field_label": "A"},
        {**first, "field_name": "b", "field_label": "B", "section_header": second},
        {**first, "field_name": "c", "field_label": "C"},
    )
    root = ET.fromstring(project_xml(ProjectDesign(name="x", title="X", fields=fields), AT))  # noqa: S314
    groups = [group for tag, group in odm(root) if tag == "ItemGroupDef"]
    named = [(group.get("Name"), [each.get("ItemOID") for each in group]) for group in groups]
    assert named == [("Form", ["a"]), ("Below", ["b", "c"]), ("Form Status", ["form_complete"])]
