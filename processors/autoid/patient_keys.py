"""Who a patient is, as REDCap's AutoID knows it. Pure."""

import hashlib

from ledger.vault import SubjectName
from processors.redcap.incoming import hashed
from processors.text import is_blank


def patient_key(patient_id: str) -> str | None:
    """The key of a patient (128 hex digits), None where the PatientID is blank.

    It is the SHA-512 of the hex SHA-256 of the PatientID, so that AutoID tables in use stay valid.
    Blank IDs give no key: they would make one patient of everybody without an ID.
    """
    if is_blank(patient_id):
        return None
    return hashlib.sha512(hashed(patient_id).encode()).hexdigest()


def link_subject(project: str, key: str) -> SubjectName:
    """Whom an ID's key is sealed for: the link of this patient to this project, and nothing else.

    It can be forgotten alone, with the patient's other links, or with the project's; the ID stays in use.
    """
    return SubjectName("link", project, key)
