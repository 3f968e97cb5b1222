"""Who a patient is, as REDCap's AutoID knows it. Pure."""

import hashlib

from ledger.vault import SubjectName
from processors.placeholders import Placeholders
from processors.redcap.incoming import hashed
from processors.text import without_padding


def patient_key(patient_id: str, placeholders: Placeholders) -> str | None:
    """The key of a patient (128 hex digits), None where the PatientID names nobody.

    It is the SHA-512 of the hex SHA-256 of the PatientID, so that AutoID tables in use stay valid; without what pads
    it, as PatientIDs that differ by that alone are one patient's.
    Blank IDs and placeholders give no key: they would make one patient of everybody without an ID.
    """
    return None if placeholders.names_nobody(patient_id) else _key(without_padding(patient_id))


def padded_key(patient_id: str, placeholders: Placeholders) -> str | None:
    """The key that the scripts made of a padded PatientID, None where it is not padded, or names nobody."""
    if placeholders.names_nobody(patient_id) or without_padding(patient_id) == patient_id:
        return None
    return _key(patient_id)


def _key(patient_id: str) -> str:
    return hashlib.sha512(hashed(patient_id).encode()).hexdigest()


def link_subject(project: str, key: str) -> SubjectName:
    """Whom an ID's key is sealed for: the link of this patient to this project, and nothing else.

    It can be forgotten alone, with the patient's other links, or with the project's; the ID stays in use.
    """
    return SubjectName("link", project, key)
