"""A study's life as the ledger tells it: the events of its stream, and of rejected files in its folder."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

from sqlalchemy import text

from ledger import store
from ledger.events import Event
from processors.events import FACTS
from processors.events.deliveries import RowRefused
from processors.events.fact import Fact, study_stream
from processors.events.transfers import TransferRequested
from processors.explain.sentences import History, sentence
from processors.gateway import Work


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """One event in words. `command` is that of the run that recorded it, blank where none is known."""

    position: int
    at: datetime
    type: str
    words: str
    run: UUID
    command: str


def timeline(work: Work, study: str) -> list[Moment]:
    """What the ledger says of the study, oldest first."""
    events = store.read_stream(work.connection, study_stream(study))
    for stream in work.execute(_REJECTED_FILES, {"study": study}).scalars():
        events.extend(store.read_stream(work.connection, stream))
    events.sort(key=lambda event: event.position)
    history = History(causes=_causes(work, events))
    runs = {"runs": list({event.run for event in events})}
    commands = {row.run: row.command for row in work.execute(_COMMANDS, runs)}
    # Whoever explains a study may read what REDCap said of its rows: the key is there for what it says of the patient.
    sealed = work.vault.unseal(work.connection, [event for event in events if event.type == RowRefused.__name__])
    return [_moment(event, history, commands.get(event.run, ""), sealed.get(event.position)) for event in events]


_REJECTED_FILES = text("""
    select distinct stream from ledger.event
     where type = 'FileRejected' and split_part(data ->> 'path', '/', 1) collate "C" = :study
""")
_COMMANDS = text("select run, command from gateway.run where run = any(:runs)")


def _causes(work: Work, events: Iterable[Event]) -> dict[int, Fact]:
    """What led to the requests among these events, by position."""
    requests = [TransferRequested.read(event) for event in events if event.type == TransferRequested.__name__]
    causes = store.read_positions(work.connection, {request.cause.position for request in requests})
    return {position: FACTS[cause.type].read(cause) for position, cause in causes.items()}


def _moment(event: Event, history: History, command: str, sealed: Mapping[str, Any] | None) -> Moment:
    return Moment(
        position=event.position,
        at=event.recorded_at,
        type=event.type,
        words=sentence(event, history, sealed),
        run=event.run,
        command=command,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class MomentGroup:
    """Neighbouring moments alike: those that are shown, and how many between the first and the last are not."""

    shown: Sequence[Moment]
    left_out: int = 0


def grouped(moments: Iterable[Moment], longest: int = 4) -> list[MomentGroup]:
    """The timeline with long sequences of one type cut down to their first and last moment."""
    groups = [list(alike) for _, alike in groupby(moments, key=lambda moment: moment.type)]
    return [
        MomentGroup(shown=group)
        if len(group) <= longest
        else MomentGroup(shown=(group[0], group[-1]), left_out=len(group) - 2)
        for group in groups
    ]
