"""Where somebody's PatientID or name stands in plain in the ledger: in words of files, of REDCap or of operators.

Events cannot be changed: a person has to know where they are, and who can read them.
"""

import re
from collections.abc import Collection
from typing import Final, NamedTuple

import orjson
from sqlalchemy import text

from processors.gateway import Work

_SHORTEST: Final = 4
"""Shorter texts stand in any ledger, and mean nothing there."""


class Mentions(NamedTuple):
    """The events, by position, and the summaries of runs, by the run, that hold one of the texts."""

    events: list[int]
    runs: list[str]


_EVENTS = text("select position, data::text as said from ledger.event where lower(data::text) like any(:patterns)")
_RUNS = text("select run, summary::text as said from gateway.run where lower(summary::text) like any(:patterns)")


def mentions(work: Work, secrets: Collection[str]) -> Mentions:
    """Where one of these texts stands as a word, whatever its case."""
    written = {orjson.dumps(secret.strip()).decode()[1:-1] for secret in secrets if len(secret.strip()) >= _SHORTEST}
    if not written:
        return Mentions([], [])
    patterns = [f"%{_literally(each.lower())}%" for each in written]
    as_words = re.compile("|".join(rf"(?<!\w){re.escape(each)}(?!\w)" for each in written), re.IGNORECASE)
    events = work.execute(_EVENTS, {"patterns": patterns})
    runs = work.execute(_RUNS, {"patterns": patterns})
    return Mentions(
        sorted(row.position for row in events if as_words.search(row.said)),
        sorted(str(row.run) for row in runs if as_words.search(row.said)),
    )


def _literally(words: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", words)
