"""What a dry run has placed, as a person is to be shown it."""

from collections.abc import Iterator

from ledger import store
from processors.events.transfers import TransferAmended, TransferPlaced
from processors.explain.sentences import cause_name
from processors.gateway import Work
from processors.operations.adopt.after_restore import Transfer
from processors.stored_requests import requests_at


def placed_after(work: Work, position: int) -> Iterator[Transfer]:
    """The requests for which rows were written after this event, in order."""
    types = {fact.__name__: fact for fact in (TransferPlaced, TransferAmended)}
    facts = [types[event.type].read(event) for event in store.read(work.connection, after=position, types=types)]
    # Those that were found to stand tell since when.
    written = [
        fact.request for fact in facts if fact.since is None and not (isinstance(fact, TransferPlaced) and fact.found)
    ]
    requests = requests_at(work, written)
    for place in written:
        request = requests[place]
        yield Transfer(request.study, *request.key, cause_name(request.cause.kind, request.cause.record_id))
