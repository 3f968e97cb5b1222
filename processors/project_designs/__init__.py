"""The REDCap projects that a gateway works on, as they are to be set up: dictionaries, what repeats, what is numbered.

The one place that says so. `redcap xml` and `redcap build` make projects of it, `check --deep` compares with it those
that there are, and the simulator starts from it. The dictionaries are in REDCap's own CSV format.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

_DICTIONARIES: Final = Path(__file__).parent / "dictionaries"

KEYS: Final = (
    "field_name",
    "form_name",
    "section_header",
    "field_type",
    "field_label",
    "select_choices_or_calculations",
    "field_note",
    "text_validation_type_or_show_slider_number",
    "text_validation_min",
    "text_validation_max",
    "identifier",
    "branching_logic",
    "required_field",
    "custom_alignment",
    "question_number",
    "matrix_group_name",
    "matrix_ranking",
    "field_annotation",
)
"""What REDCap's export of a data dictionary tells of each field, in the order of its CSV format."""

DESTINATION: Final = "routing_dest_project"
"""The dropdown of the research projects that a routing rule may name."""

Field = Mapping[str, str]
"""A field of a data dictionary, by `KEYS`."""


@dataclass(frozen=True, kw_only=True)
class ReportDesign:
    """A report of REDCap's: the records for which `logic` holds, with these fields."""

    title: str
    fields: tuple[str, ...]
    logic: str


@dataclass(frozen=True, kw_only=True)
class ProjectDesign:
    """One project. `is_written`: this system imports into it; the others hold what people enter, and it only reads."""

    name: str
    title: str
    fields: tuple[Field, ...]
    repeating: tuple[str, ...] = ()
    reports: tuple[ReportDesign, ...] = ()
    autonumbering: bool = True
    is_written: bool = False

    @property
    def record_id(self) -> str:
        """The field of the record id."""
        return self.fields[0]["field_name"]

    @property
    def forms(self) -> tuple[str, ...]:
        """Its instruments, in their order."""
        return tuple(dict.fromkeys(field["form_name"] for field in self.fields))


def project_designs(
    *, separate_transfers: bool = False, with_withdrawals: bool = False, destinations: Sequence[str] = ()
) -> dict[str, ProjectDesign]:
    """By our name for it, each project of a gateway: incoming, coupling, routing, projects and autoid.

    With `separate_transfers`, the instrument `transfers` leaves incoming for a sixth project of that name.
    `with_withdrawals`: there is a list of withdrawals, which few sites keep. `destinations` are the research projects
    that routing rules may name.
    """
    incoming = _dictionary("incoming")
    routing = _with_choices(_dictionary("routing"), destinations) if destinations else _dictionary("routing")
    designs = [
        _written("incoming", "FIONA: incoming studies", incoming, "series", "transfers"),
        ProjectDesign(name="coupling", title="FIONA: coupling list", fields=_dictionary("coupling")),
        ProjectDesign(name="routing", title="FIONA: routing rules", fields=routing),
        ProjectDesign(name="projects", title="FIONA: projects", fields=_dictionary("projects")),
        replace(_written("autoid", "FIONA: generated IDs", _dictionary("autoid")), autonumbering=True),
    ]
    if separate_transfers:
        kept, moved = _without_transfers(incoming)
        designs[0] = _written("incoming", "FIONA: incoming studies", kept, "series")
        designs.append(_written("transfers", "FIONA: transfers", moved, "transfers"))
    if with_withdrawals:
        designs.append(ProjectDesign(name="withdrawals", title="FIONA: withdrawals", fields=_dictionary("withdrawals")))
    return {design.name: design for design in designs}


def _written(name: str, title: str, fields: tuple[Field, ...], *repeating: str) -> ProjectDesign:
    """A project that this system writes: its record ids are UIDs of DICOM, which REDCap cannot number."""
    return ProjectDesign(
        name=name,
        title=title,
        fields=fields,
        repeating=repeating,
        reports=(_unsent(fields),) if "transfers" in repeating else (),
        autonumbering=False,
        is_written=True,
    )


def _unsent(fields: Sequence[Field]) -> ReportDesign:
    """What people ask for most: which requests the sender has not met yet."""
    asked = tuple(field["field_name"] for field in fields if field["form_name"] == "transfers")
    return ReportDesign(
        title="Studies with requests not yet sent",
        fields=(fields[0]["field_name"], *asked),
        logic="[transfer_name] <> '' and [transfer_date] = ''",
    )


def _dictionary(name: str) -> tuple[Field, ...]:
    with (_DICTIONARIES / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return tuple(dict(zip(KEYS, row, strict=True)) for row in list(csv.reader(file))[1:])


def _with_choices(fields: Iterable[Field], destinations: Sequence[str]) -> tuple[Field, ...]:
    choices = " | ".join(f"{code}, {name}" for code, name in enumerate(destinations, start=1))
    return tuple(
        {**field, "select_choices_or_calculations": choices} if field["field_name"] == DESTINATION else field
        for field in fields
    )


def _without_transfers(incoming: Sequence[Field]) -> tuple[tuple[Field, ...], tuple[Field, ...]]:
    """Incoming's fields without those of `transfers`, and the latter."""
    moved = [field for field in incoming if field["form_name"] == "transfers"]
    # A record id on a form that repeats would have no base row, so that it gets a form of its own.
    record_id = {**incoming[0], "form_name": "studies"}
    return tuple(field for field in incoming if field["form_name"] != "transfers"), (record_id, *moved)
