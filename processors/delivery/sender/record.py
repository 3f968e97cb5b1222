"""What a poll tells, ready to be recorded."""

from ledger.events import NewEvent
from ledger.vault import SubjectName
from processors.events.fact import Fact, OfStudy
from processors.gateway import Work


def sealed_change(work: Work, fact: Fact) -> Fact | NewEvent:
    """The fact as it is recorded. A pseudonym that others gave is sealed for the study: it may be a patient's ID."""
    if not fact.SEALED or not isinstance(fact, OfStudy):
        return fact
    return work.seal(fact, SubjectName("study", "", fact.study))
