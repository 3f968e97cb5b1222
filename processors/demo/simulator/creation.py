"""Making a project of an import of `content=project`: a super token's call, with project XML (`odm`) or without."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree as ET

from . import payload
from .dictionary import Dictionary, Field
from .project import Project, default_token
from .question import Outcome, action_of, return_format
from .replies import Refusal, error_reply, reply

if TYPE_CHECKING:
    from collections.abc import Callable
    from xml.etree.ElementTree import Element

    from .parameters import Parameters

_ODM = "{http://www.cdisc.org/ns/odm/v1.3}"
_REDCAP = "{https://projectredcap.org}"
_TYPES = {"select": "dropdown", "textarea": "notes"}
_VALIDATIONS = {"int": "integer", "float": "number"}
_COPIED = {
    "section_header": "SectionHeader",
    "field_note": "FieldNote",
    "identifier": "Identifier",
    "branching_logic": "BranchingLogic",
    "required_field": "RequiredField",
    "field_annotation": "FieldAnnotation",
}


class Template(NamedTuple):
    """What project XML says of a project."""

    dictionary: Dictionary
    repeating: tuple[str, ...]
    autonumbering: bool


_EMPTY = Template(Dictionary([Field(field_name="record_id", form_name="form_1")]), (), autonumbering=True)


def create(parameters: Parameters, keep: Callable[[Project], None]) -> Outcome:
    """Make the project and keep it; the reply is its token, as plain text."""
    try:
        project = _project(parameters)
    except Refusal as refusal:
        return Outcome(reply=error_reply(refusal, return_format(parameters)))
    keep(project)
    return Outcome(reply=reply(project.token, "html"), stored=True)


def _project(parameters: Parameters) -> Project:
    """The project as it is asked for; what its maker may do is everything."""
    if (parameters.text("content"), action_of(parameters)) != ("project", "import"):
        raise Refusal('The value of the parameter "content" is not valid')
    kind = parameters.text("format", "xml").lower()
    described = next(iter(payload.read_rows(parameters.text("data"), kind)), {})
    title = described.get("project_title", "")
    if not title or not described.get("purpose"):
        raise Refusal("You must provide a project_title and a purpose")  # its own words are not known
    dictionary, repeating, autonumbering = (
        read_project_xml(parameters.text("odm")) if parameters.text("odm") else _EMPTY
    )
    project = Project(
        title, dictionary, repeating=repeating, autonumbering=autonumbering, token=default_token(f"new {title}")
    )
    project.grant(delete=True, design=True)
    return project


def read_project_xml(text: str) -> Template:
    """What is said in the ODM and in REDCap's attributes; what is not ODM of version 1.3 is refused."""
    try:
        # Entity bombs could only hurt the test or demo that sends them.
        root = ET.fromstring(text)  # noqa: S314
    except ET.ParseError:
        raise Refusal("The data is not in the specified format.") from None
    if root.tag != f"{_ODM}ODM" or not root.get("ODMVersion", "").startswith("1.3"):
        raise Refusal("The data is not in the specified format.")
    repeating = tuple(each.get(f"{_REDCAP}RepeatInstrument", "") for each in root.iter(f"{_REDCAP}RepeatingInstrument"))
    autonumbering = root.findtext(f".//{_REDCAP}RecordAutonumberingEnabled") == "1"
    return Template(Dictionary(_fields(root)), repeating, autonumbering)


def _fields(root: Element) -> list[Field]:
    """The fields in the order of the forms, their groups and their items, but for the forms' status."""
    groups = {group.get("OID"): group for group in root.iter(f"{_ODM}ItemGroupDef")}
    items = {item.get("OID"): item for item in root.iter(f"{_ODM}ItemDef")}
    lists = {codes.get("OID"): codes for codes in root.iter(f"{_ODM}CodeList")}
    fields: dict[str, Field] = {}
    for form in root.iter(f"{_ODM}FormDef"):
        name = form.get(f"{_REDCAP}FormName", "")
        for group in (groups[reference.get("ItemGroupOID")] for reference in form.iter(f"{_ODM}ItemGroupRef")):
            for item in (items[reference.get("ItemOID")] for reference in group.iter(f"{_ODM}ItemRef")):
                field = _field(item, name, lists)
                fields.setdefault(field.field_name, field)
        fields.pop(f"{name}_complete", None)
    return list(fields.values())


def _field(item: Element, form: str, lists: dict[str | None, Element]) -> Field:
    kind = item.get(f"{_REDCAP}FieldType", "text")
    validation = item.get(f"{_REDCAP}TextValidationType", "")
    return Field(
        field_name=item.get(f"{_REDCAP}Variable", ""),
        form_name=form,
        field_type=_TYPES.get(kind, kind),
        field_label=item.findtext(f"{_ODM}Question/{_ODM}TranslatedText", ""),
        select_choices_or_calculations=_choices(item, kind, lists),
        text_validation_type_or_show_slider_number=_VALIDATIONS.get(validation, validation),
        **{key: item.get(f"{_REDCAP}{attribute}", "") for key, attribute in _COPIED.items()},
    )


def _choices(item: Element, kind: str, lists: dict[str | None, Element]) -> str:
    reference = item.find(f"{_ODM}CodeListRef")
    if reference is None or kind in ("yesno", "truefalse"):
        return ""
    codes = lists[reference.get("CodeListOID")]
    if kind == "checkbox":
        return codes.get(f"{_REDCAP}CheckboxChoices", "").replace("|", " | ")
    return " | ".join(
        f"{each.get('CodedValue')}, {each.findtext(f'{_ODM}Decode/{_ODM}TranslatedText')}"
        for each in codes.iter(f"{_ODM}CodeListItem")
    )
