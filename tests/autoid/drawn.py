"""The drawing layer by itself: patients that wait for IDs, without summaries or runs."""

from collections.abc import Iterable
from datetime import timedelta

from processors.autoid.candidates import Candidate, Waiting, WantingProject
from processors.gateway import Gateway, patient_subject
from tests.autoid.sites import AETITLE, key_of
from tests.flow.harness import HEART

WINDOW = timedelta(days=14)


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
