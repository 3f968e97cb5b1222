"""Appending what was decided, together with the memory it justifies."""

from collections import Counter
from collections.abc import Iterable, Iterator

from ledger.events import NewEvent, new_event_id
from processors.gateway import Gateway, Work, patient_subject
from processors.source import scan_cache
from processors.source.batches import BATCH
from processors.source.changes import Change, Draft


class Recorder:
    """Records changes in transactions of at most `BATCH` events; `counts` tells how many of each type."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.counts: Counter[str] = Counter()

    def record(self, changes: Iterable[Change]) -> None:
        """Appends the events of these changes and stores their memory."""
        gateway = self._gateway
        for batch in _batches(changes):
            drafts = [draft for change in batch for draft in change.drafts]
            with gateway.begin() as work:
                if drafts:
                    work.record(self._sealed(work, drafts))
                scan_cache.store(work, gateway.site, batch)
            self.counts.update(draft.type for draft in drafts)

    def _sealed(self, work: Work, drafts: list[Draft]) -> list[NewEvent]:
        vault = self._gateway.vault
        names = [
            patient_subject(draft.identified.study, draft.identified.identity["PatientID"])
            if draft.identified is not None
            else None
            for draft in drafts
        ]
        subjects = vault.subjects(work.connection, [name for name in names if name is not None])
        events = []
        for draft, name in zip(drafts, names, strict=True):
            if name is None or draft.identified is None:
                events.append(NewEvent(stream=draft.stream, type=draft.type, data=draft.data))
                continue
            event_id, subject = new_event_id(), subjects[name]
            sealed = vault.seal(subject, event_id, draft.identified.identity)
            events.append(
                NewEvent(
                    stream=draft.stream,
                    type=draft.type,
                    data=draft.data,
                    event_id=event_id,
                    subject=subject,
                    sealed=sealed,
                )
            )
        return events


def _batches(changes: Iterable[Change]) -> Iterator[list[Change]]:
    """The changes in order, in lists of at most `BATCH` events."""
    batch: list[Change] = []
    events = 0
    for change in changes:
        if events + len(change.drafts) > BATCH:
            yield batch
            batch, events = [], 0
        batch.append(change)
        events += len(change.drafts)
    if batch:
        yield batch
