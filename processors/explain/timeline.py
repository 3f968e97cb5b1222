"""A study's life as the ledger tells it: the events of its stream, and of rejected files in its folder."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from ledger import store
from ledger.events import Event
from processors.events.types import file_stream, study_stream
from processors.explain.sentences import Told, sentence
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
    for path in work.execute(_REJECTED_PATHS, {"study": study}).scalars():
        events.extend(store.read_stream(work.connection, file_stream(path)))
    events.sort(key=lambda event: event.position)
    told = Told(causes=store.read_positions(work.connection, _cause_positions(events)))
    runs = {"runs": list({event.run for event in events})}
    commands = {row.run: row.command for row in work.execute(_COMMANDS, runs)}
    return [_moment(event, told, commands.get(event.run, "")) for event in events]


_REJECTED_PATHS = text("""
    select distinct data ->> 'path' from ledger.event
     where type = 'FileRejected' and split_part(data ->> 'path', '/', 1) = :study
""")
_COMMANDS = text("select run, command from gateway.run where run = any(:runs)")


def _cause_positions(events: Iterable[Event]) -> set[int]:
    causes = (event.data.get("cause") for event in events)
    return {cause["position"] for cause in causes if isinstance(cause, dict) and "position" in cause}


def _moment(event: Event, told: Told, command: str) -> Moment:
    return Moment(
        position=event.position,
        at=event.recorded_at,
        type=event.type,
        words=sentence(event, told),
        run=event.run,
        command=command,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """Neighbouring moments alike: those that are shown, and how many between the first and the last are not."""

    shown: Sequence[Moment]
    left_out: int = 0


def stretches(moments: Sequence[Moment], longest: int = 4) -> list[Stretch]:
    """The timeline with long stretches of one type cut down to their first and last moment."""
    grouped: list[list[Moment]] = []
    for moment in moments:
        if grouped and grouped[-1][-1].type == moment.type:
            grouped[-1].append(moment)
        else:
            grouped.append([moment])
    return [
        Stretch(shown=group) if len(group) <= longest else Stretch(shown=(group[0], group[-1]), left_out=len(group) - 2)
        for group in grouped
    ]
