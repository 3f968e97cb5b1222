"""Forgetting whom the ledger knows, and changing the master key that its keys are wrapped by.

whose      what is sealed for a patient, a study, or a project's IDs: gathering, no deciding
elsewhere  what forgetting does not reach and a person has to see to: REDCap's rows, folders on disk
forget     destroying the keys, with the event that says so
rekey      a new master key
alone      keeping all runs away meanwhile
"""

from processors.forgetting.forget import Forgotten, compact, forget
from processors.forgetting.rekey import rekey
from processors.forgetting.whose import Belongings, Unknown, of_patients, of_project, of_study

__all__ = [
    "Belongings",
    "Forgotten",
    "Unknown",
    "compact",
    "forget",
    "of_patients",
    "of_project",
    "of_study",
    "rekey",
]
