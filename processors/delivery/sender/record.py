"""What a poll tells, ready to be recorded."""

from msgspec.structs import replace

from ledger.events import NewEvent
from ledger.vault import SubjectName
from processors.events.fact import Fact
from processors.events.transfers import TransferObserved
from processors.gateway import Work


def sealed_change(work: Work, fact: Fact) -> Fact | NewEvent:
    """The fact as it is recorded. A pseudonym that others gave is sealed for the study: it may be a patient's ID."""
    if not isinstance(fact, TransferObserved):
        return fact
    named = replace(fact, name_fingerprint=work.name_fingerprint(fact.project, fact.pseudonym or ""))
    return work.seal(named, SubjectName("study", "", fact.study))
