"""What a form asks for: read from what a browser sends, and back into the address of the same page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice
from typing import Final

from processors.errors import ConfigurationError
from processors.events.operations import PatientSearched
from processors.explain.find import STAGES, Found, Sought, find
from processors.gateway import Work
from processors.operations.forget.data_subjects import UnknownDataSubject, of_patients
from processors.web.days import beginning, end

SHOWN: Final = 50
"""So many studies stand on a page."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """The fields of the form as they were filled in, blank where they were not."""

    study: str = ""
    project: str = ""
    state: str = ""
    since: str = ""
    until: str = ""
    at: str = ""
    after: str = ""

    @property
    def fields(self) -> dict[str, str]:
        """What was filled in, to be asked for again."""
        return {name: value for name in self.__slots__ if (value := getattr(self, name))}


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """What was found on one page; `older` are the fields that lead to the next one."""

    found: Sequence[Found]
    older: Mapping[str, str] | None


def asked(fields: Mapping[str, str]) -> Asked:
    """What was filled in. Raises `ConfigurationError` for what no form of ours sends."""
    given = {name: fields.get(name, "").strip() for name in Asked.__slots__}
    if given["state"] and given["state"] not in STAGES:
        raise ConfigurationError(f"state: expected one of {', '.join(STAGES)}, found something else.")
    return Asked(**given)


def listed(work: Work, wanted: Asked, accession: str = "") -> Listed:
    """The first studies that are like that, the newest first. Raises `ConfigurationError` for a day that is none."""
    since, until = _day("since", wanted.since), _day("until", wanted.until)
    sought = Sought(
        study=wanted.study or None,
        accession=accession or None,
        project=wanted.project or None,
        stages=[stage for stage in STAGES if wanted.state in ("", stage)],
        since=None if since is None else beginning(work, since),
        until=None if until is None else end(work, until),
        before=(_moment(wanted.at), wanted.after) if wanted.at else None,
    )
    found = list(islice(find(work, sought), SHOWN + 1))
    if len(found) <= SHOWN:
        return Listed(found=found, older=None)
    # All requests of a study stand on one page: those of the last one begin the next.
    shown = [each for each in found if each.study != found[-1].study] or found
    last = shown[-1]
    return Listed(found=shown, older=wanted.fields | {"at": last.arrived_at.isoformat(), "after": last.study})


def of_patient(work: Work, patient_id: str, by: str) -> Listed:
    """The patient's studies; that `by` looked for them is recorded. The PatientID is hashed, and goes no further.

    Raises `ConfigurationError` for one that names nobody.
    """
    if work.placeholders.names_nobody(patient_id):
        raise ConfigurationError("Expected a PatientID, found one that names nobody.")
    try:
        (patient,) = of_patients(work, [patient_id])
        studies, subjects = tuple(patient.studies), tuple(map(str, patient.all_subjects))
    except UnknownDataSubject:
        studies, subjects = (), ()
    work.record([PatientSearched(by=by, studies=studies, subjects=subjects)])
    found = [each for study in studies for each in find(work, Sought(study=study))]
    return Listed(found=sorted(found, key=lambda each: each.arrived_at, reverse=True), older=None)


def _day(name: str, value: str) -> date | None:
    try:
        return date.fromisoformat(value) if value else None
    except ValueError:
        raise ConfigurationError(f"{name}: expected a day such as 2026-03-31, found something else.") from None


def _moment(value: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ConfigurationError("at: expected a moment, found something else.") from None
    return moment.astimezone()
