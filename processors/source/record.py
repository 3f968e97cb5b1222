"""Appending what was found, together with what the scan cache remembers on its account."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from ledger.events import NewEvent
from ledger.vault import SubjectName
from processors.events.fact import Fact
from processors.events.series import SeriesFact
from processors.gateway import Gateway, Work, patient_subject
from processors.source import scan_cache
from processors.source.batches import BATCH
from processors.source.changes import Finding


class Recorder:
    """Records findings in transactions of at most `BATCH` events; `counts` tells how many of each type."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.counts: Counter[type[Fact]] = Counter()

    def record(self, findings: Iterable[Finding]) -> None:
        """Appends the facts of these findings and stores what is to be remembered of them."""
        for batch in _batches(findings):
            facts = [fact for finding in batch for fact in finding.facts]
            with self._gateway.begin() as work:
                if facts:
                    work.record(_sealed(work, facts))
                scan_cache.store(work, batch)
            self.counts.update(map(type, facts))


def _sealed(work: Work, facts: Sequence[Fact]) -> Iterator[Fact | NewEvent]:
    """The facts, those that tell whose a series is sealed for that patient."""
    names = [_patient(work, fact) for fact in facts]
    # All at once: one by one, looking up whose they are would take longer than all the rest.
    subjects = work.vault.subjects(work.connection, [name for name in names if name is not None])
    for fact, name in zip(facts, names, strict=True):
        yield fact if name is None else work.seal(fact, subjects[name])


def _patient(work: Work, fact: Fact) -> SubjectName | None:
    if not isinstance(fact, SeriesFact):
        return None
    return patient_subject(fact.StudyInstanceUID, fact.PatientID or "", work.placeholders)


def _batches(findings: Iterable[Finding]) -> Iterator[list[Finding]]:
    """The findings in order, in lists of at most `BATCH` events."""
    batch: list[Finding] = []
    events = 0
    for finding in findings:
        if events + len(finding.facts) > BATCH:
            yield batch
            batch, events = [], 0
        batch.append(finding)
        events += len(finding.facts)
    if batch:
        yield batch
