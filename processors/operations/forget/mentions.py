"""Where somebody's PatientID or name stays readable: in words of files, of REDCap or of operators.

Some stand in plain, others are sealed for somebody else: a description of another patient's study. Events cannot be
changed: a person has to know where they are, and who can read them.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from typing import Final, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import text

from ledger.batching import batches
from processors.gateway import Work
from processors.text import SHORTEST_TELLING, words_of


class Mentions(NamedTuple):
    """The events, by position, and the summaries of runs, by the run, that hold one of the texts."""

    events: list[int]
    runs: list[str]


_EVENTS = text("select position, data::text as said from ledger.event where lower(data::text) like any(:patterns)")
_RUNS = text("select run, summary::text as said from gateway.run where lower(summary::text) like any(:patterns)")


_SEALED = text("""
    select position from ledger.event join ledger.subject using (subject)
     where wrapped_key is not null and subject <> all(:subjects) order by position
""")
_WHOSE = frozenset({"PatientID", "PatientName", "key"})
"""What says whose a series or ID is: another patient of the same name is no mention of this one."""
_BATCH: Final = 5_000


def mentions(work: Work, secrets: Collection[str], subjects: Collection[UUID]) -> Mentions:
    """Where one of these texts stands as a word, whatever its case; what is sealed for the subjects counts not."""
    written = {
        orjson.dumps(secret.strip()).decode()[1:-1] for secret in secrets if len(secret.strip()) >= SHORTEST_TELLING
    }
    if not written:
        return Mentions([], [])
    patterns = [f"%{_literally(each.lower())}%" for each in written]
    as_words = words_of(written)
    events = {row.position for row in work.execute(_EVENTS, {"patterns": patterns}) if as_words.search(row.said)}
    events.update(position for position, said in _sealed_for_others(work, subjects) if as_words.search(said))
    runs = work.execute(_RUNS, {"patterns": patterns})
    return Mentions(
        sorted(events),
        sorted(str(row.run) for row in runs if as_words.search(row.said)),
    )


def _sealed_for_others(work: Work, subjects: Collection[UUID]) -> Iterator[tuple[int, str]]:
    """What opens of all sealed parts, by position. There is no index of words, which would be one of names."""
    positions: Iterable[int] = work.execute(_SEALED, {"subjects": list(subjects)}).scalars().all()
    for batch in batches(positions, _BATCH):
        for position, (_, payload) in work.identities(batch).items():
            said = {name: value for name, value in payload.items() if name not in _WHOSE}
            yield position, orjson.dumps(said).decode()


def _literally(words: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", words)
