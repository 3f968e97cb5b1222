"""The five projects of a gateway, and those that few have: for transfers, and for withdrawals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from processors.project_designs import project_designs

from .dictionary import Dictionary
from .project import Project

if TYPE_CHECKING:
    from processors.project_designs import ProjectDesign

_DESTINATIONS: Final = ("Heart Study", "Brain, Ageing and Memory")


def standard_projects(*, separate_transfers: bool = False, with_withdrawals: bool = False) -> dict[str, Project]:
    """Fresh, empty projects by name: incoming, coupling, routing, projects and autoid.

    With `separate_transfers` the form `transfers` leaves incoming for a sixth project of that name, whose
    record id is `study_instance_uid` too. `with_withdrawals`: there is a list of withdrawals, which few sites keep.
    """
    designs = project_designs(
        separate_transfers=separate_transfers, with_withdrawals=with_withdrawals, destinations=_DESTINATIONS
    )
    return {name: _project(design) for name, design in designs.items()}


def _project(design: ProjectDesign) -> Project:
    dictionary = Dictionary.from_metadata(design.fields)
    return Project(design.name, dictionary, repeating=design.repeating, autonumbering=design.autonumbering)
