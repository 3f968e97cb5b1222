"""The drawing layer by itself: patients that wait for IDs, without summaries or runs."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from processors.autoid.candidates import Candidate, Waiting, WantingProject
from processors.autoid.used_ids import readable_ids
from processors.gateway import Gateway, Work, patient_subject
from tests.autoid.sites import AETITLE, key_of
from tests.flow.harness import HEART

WINDOW = timedelta(days=14)


def in_use(gateway: Gateway, project: str = HEART) -> set[str]:
    """The IDs in use of which all can be read."""
    with gateway.begin() as work:
        return readable_ids(work, project)


def identified(work: Work, project: str, value: str) -> dict[str, Any]:
    """What the event of a patient's ID says of the ID."""
    return {
        "project": project,
        "fingerprint": work.id_fingerprint(project, value),
        "name_fingerprint": work.name_fingerprint(project, value),
        "value": value,
    }


def waiting(gateway: Gateway, patients: Iterable[str], *, pattern: str, project: str = HEART) -> Waiting:
    """A study of each of these patients waits for an ID."""
    patients = list(patients)
    with gateway.begin() as work:
        names = [patient_subject("", patient) for patient in patients]
        subjects = gateway.vault.subjects(work.connection, names)
    wanting = WantingProject(record_id="1", project=project, pattern=pattern, aetitle=AETITLE, position=1, problems=())
    studies = [
        Candidate(study=f"study of {patient}", key=key_of(patient), subject=subjects[name], on_disk=True, changed=True)
        for patient, name in zip(patients, names, strict=True)
    ]
    return Waiting(project=wanting, studies=studies)
