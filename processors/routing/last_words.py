"""What a coupling entry said last, gone or doubted by now, where it said something else since it led to a request.

An entry that is removed leaves its request behind; one that was corrected has given it up. Where both were recorded
before the study's own site decided by the correction, only the ledger knows of it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import text

from processors.events.fact import Cause
from processors.events.rules import CouplingEntryChanged, coupling_stream
from processors.gateway import Work
from processors.requests import Key, TransferRequest
from processors.routing.stored_directives import entry_that_said


class LastWords(NamedTuple):
    """What the entry said last; `accession` is the subject that its accession number is, blank where it named none."""

    cause: Cause
    key: Key
    pseudonym: str
    accession: str
    study: str


_TOLD = text("""
    with changed as (
         select distinct stream from ledger.event
          where stream = any(:streams) and type = 'CouplingEntryChanged' and position > :since)
    select stream, position, type, data ->> 'asks_fingerprint' as asks from ledger.event join changed using (stream)
     where type in ('CouplingEntryChanged', 'CouplingEntryRemoved')
       and position not in (select set_apart.position from ledger.set_apart where mended_position is null)
     order by stream, version
""")


@dataclass(slots=True)
class _Life:
    """From when REDCap held an entry until it gave the record id to another one: its first and last content."""

    first: int
    last: int
    asks: str


def last_words(work: Work, undecided_since: Mapping[TransferRequest, int]) -> dict[int, LastWords]:
    """By request (position), what the entry behind it said last, if that is newer than both the request's cause and
    the position since which nobody may have decided by it.

    An entry that is still there says what it says in its list, which has precedence.
    """
    coupled = {each: since for each, since in undecided_since.items() if each.cause.kind == "coupling"}
    if not coupled:
        return {}
    streams = [coupling_stream(request.cause.record_id) for request in coupled]
    by_stream = defaultdict(list)
    for row in work.execute(_TOLD, {"streams": streams, "since": min(coupled.values())}):
        by_stream[row.stream].append(row)
    lives = {stream: _lives((row.position, row.asks) for row in rows) for stream, rows in by_stream.items()}
    newest = {}
    for request, since in coupled.items():
        life = _life_at(lives.get(coupling_stream(request.cause.record_id), []), request.cause.position)
        if life is not None and life.last > max(since, request.cause.position):
            newest[request.position] = life.last
    events = work.identities(set(newest.values()))
    facts = {position: CouplingEntryChanged.read(event, payload) for position, (event, payload) in events.items()}
    return {
        request: _last_words(facts[position], position)
        for request, position in newest.items()
        if not facts[position].problems
    }


def _lives(told: Iterable[tuple[int, str | None]]) -> list[_Life]:
    """The lives of the entries that had one record id; what is told without content is that it was removed."""
    lives: list[_Life] = []
    is_gone = True
    for position, asks in told:
        if asks is None:
            is_gone = True
            continue
        if not lives or (is_gone and asks != lives[-1].asks):
            lives.append(_Life(position, position, asks))
        lives[-1].last, lives[-1].asks, is_gone = position, asks, False
    return lives


def _life_at(lives: list[_Life], position: int) -> _Life | None:
    return next((life for life in reversed(lives) if life.first <= position), None)


def _last_words(fact: CouplingEntryChanged, position: int) -> LastWords:
    entry = entry_that_said(fact)
    return LastWords(
        cause=Cause("coupling", entry.record_id, position),
        key=Key(entry.project, entry.event_name),
        pseudonym=entry.subject_id,
        accession=fact.accession,
        study=entry.study,
    )
