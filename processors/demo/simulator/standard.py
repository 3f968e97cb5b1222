"""The five projects of a gateway, and those that few have: for transfers, and for withdrawals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from .dictionary import Dictionary
from .project import Project

_DICTIONARIES: Final = Path(__file__).parent / "dictionaries"


def standard_projects(*, separate_transfers: bool = False, with_withdrawals: bool = False) -> dict[str, Project]:
    """Fresh, empty projects by name: incoming, coupling, routing, projects and autoid.

    With `separate_transfers` the form `transfers` leaves incoming for a sixth project of that name, whose
    record id is `study_instance_uid` too. `with_withdrawals`: there is a list of withdrawals, which few sites keep.
    """
    incoming = read_dictionary("incoming")
    projects = {
        "incoming": Project("incoming", incoming, repeating=("series", "transfers")),
        "coupling": Project("coupling", read_dictionary("coupling"), autonumbering=True),
        "routing": Project("routing", read_dictionary("routing"), autonumbering=True),
        "projects": Project("projects", read_dictionary("projects"), autonumbering=True),
        "autoid": Project("autoid", read_dictionary("autoid"), autonumbering=True),
    }
    if with_withdrawals:
        projects["withdrawals"] = Project("withdrawals", read_dictionary("withdrawals"), autonumbering=True)
    if separate_transfers:
        without, transfers = _split_transfers(incoming)
        projects["incoming"] = Project("incoming", without, repeating=("series",))
        projects["transfers"] = Project("transfers", transfers, repeating=("transfers",))
    return projects


def read_dictionary(name: str) -> Dictionary:
    """One of the dictionaries that come with the simulator."""
    return Dictionary.from_csv((_DICTIONARIES / f"{name}.csv").read_text(encoding="utf-8"))


def _split_transfers(incoming: Dictionary) -> tuple[Dictionary, Dictionary]:
    moved = [field for field in incoming.fields if field.form_name == "transfers"]
    # A record id on a form that repeats would have no base row, so that it gets a form of its own.
    record_id = replace(incoming.fields[0], form_name="studies")
    kept = Dictionary(field for field in incoming.fields if field.form_name != "transfers")
    return kept, Dictionary([record_id, *moved])
