"""Appending what was found, together with what the scan cache remembers on its account."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from uuid import UUID

from ledger.events import NewEvent
from ledger.vault import SubjectName
from processors.accession_numbers import accession_subject
from processors.events.fact import Fact
from processors.gateway import Gateway, Work, patient_subject
from processors.source import scan_cache, summary
from processors.source.batches import BATCH
from processors.source.changes import Arrival, Finding
from processors.source.read import Kept, Outcome
from processors.source.summary import Summary


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
            self.counts.update(fact.fact if isinstance(fact, Arrival) else type(fact) for fact in facts)


def with_fingerprints(work: Work, outcomes: Iterable[Outcome], known: Collection[tuple[str, str]]) -> list[Outcome]:
    """The outcomes, the summaries of `known` series with their fingerprints.

    That of a patient of whom nothing is known, any more or yet, stays blank: it equals none.
    """
    outcomes = list(outcomes)
    names = {
        place: _patient(work, outcome.summary)
        for place, outcome in enumerate(outcomes)
        if isinstance(outcome, Kept) and (outcome.summary.study, outcome.summary.series) in known
    }
    if not names:
        return outcomes
    subjects = work.vault.found(work.connection, set(names.values()))
    work.vault.load(work.connection, subjects.values())
    for place, name in names.items():
        kept = outcomes[place]
        if isinstance(kept, Kept) and name in subjects:
            fingerprint = work.vault.fingerprint_for(subjects[name], summary.content(kept.summary))
            outcomes[place] = Kept(kept.summary, fingerprint)
    return outcomes


def _sealed(work: Work, facts: Sequence[Fact | Arrival]) -> Iterator[Fact | NewEvent]:
    """The facts, those that tell whose a series is sealed for that patient."""
    arrivals = [fact.summary for fact in facts if isinstance(fact, Arrival)]
    names = [_patient(work, arrived) for arrived in arrivals]
    numbers = {number: accession_subject(number) for number in {each.data["AccessionNumber"] for each in arrivals}}
    # All at once: one by one, looking up whose they are would take longer than all the rest.
    wanted = [*names, *(name for name in numbers.values() if name is not None)]
    subjects = work.vault.subjects(work.connection, wanted)
    patients = iter(names)
    for fact in facts:
        if isinstance(fact, Arrival):
            patient = subjects[next(patients)]
            number = numbers[fact.summary.data["AccessionNumber"]]
            accession = "" if number is None else str(subjects[number])
            yield work.seal(_completed(work, fact, patient, accession), patient)
        else:
            yield fact


def _completed(work: Work, arrival: Arrival, patient: UUID, accession: str) -> Fact:
    told = arrival.summary
    return arrival.fact(
        **told.data,
        PatientID=told.identity["PatientID"],
        PatientName=told.identity["PatientName"],
        accession=accession,
        fingerprint=work.vault.fingerprint_for(patient, summary.content(told)),
        study_fingerprint=work.vault.fingerprint_for(patient, summary.study_row(told)),
        identity_fingerprint=work.vault.fingerprint_for(patient, summary.identity(told)),
    )


def _patient(work: Work, told: Summary) -> SubjectName:
    return patient_subject(told.study, told.identity["PatientID"], work.placeholders)


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
