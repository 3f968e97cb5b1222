"""The fields without which nothing is read from a REDCap project, or written to it."""

from collections.abc import Collection, Mapping
from typing import Final

from .incoming import needed_fields

LISTS: Final[Mapping[str, Collection[str]]] = {
    "coupling": ("record_id", "cl_accessionnumber", "cl_projectname", "cl_subjectid", "cl_eventname"),
    "routing": (
        "record_id",
        "routing_active",
        "routing_dest_project",
        "routing_incoming_aetitle",
        "routing_sending_aetitle",
        "routing_allowed_patientid",
        "routing_allowed_patientname",
        "routing_event_name",
    ),
    "projects": (
        "record_id",
        "project_name",
        "project_use_autoid",
        "project_autoid_aetitle",
        "project_patient_naming",
    ),
    "autoid": ("record_id", "autoid_project_name", "autoid_hash", "autoid_value"),
    "withdrawals": ("record_id", "wd_project", "wd_subject"),
}
"""Those of the lists that people and programs keep, by our names for them."""


def needed(name: str, *, separate_transfers: bool) -> Collection[str]:
    """Those of any project. Transfers stand in Incoming where they have no project of their own."""
    if name in LISTS:
        return LISTS[name]
    if name == "transfers":
        return needed_fields(("transfer",))
    return needed_fields(("study", "series") if separate_transfers else ("study", "series", "transfer"))
