"""All that was recorded of the studies, to try rules on."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from sqlalchemy import text

from ledger.batching import Progress, batches
from processors.gateway import Work
from processors.routing.study_state import Agenda, Evidence, gather

FROM_THE_BEGINNING = Agenda(after=0, until=sys.maxsize, gained=frozenset(), reopened=frozenset(), coupled=frozenset())
"""A window in which every series counts as gained: all of a study is looked at."""

OFTEN = 3
"""A rule that has run out of time as often is not tried on more studies."""

_BATCH = 500


def recorded_studies(
    work: Work, *, since: datetime | None = None, progress: Progress | None = None
) -> Iterator[Evidence]:
    """Every study that arrived `since`, as if this system had decided nothing about it and it had just arrived.

    What an operator decided by hand stays decided. A study that has vanished counts as being on disk: the
    question is what would be asked for a study like it.
    """
    studies = list(work.execute(_STUDIES, {"since": since}).scalars())
    done = 0
    for batch in batches(studies, _BATCH):
        for evidence in gather(work, batch, FROM_THE_BEGINNING, with_identities=True):
            yield replace(evidence, on_disk=True, standing=[], conflicts={}, deferred={}, failed_rules=set())
        done += len(batch)
        if progress is not None:
            progress(done, len(studies))


def forgotten_studies(work: Work, since: datetime | None = None) -> int:
    """How many of them hold series whose PatientID and PatientName cannot be read any more."""
    return int(work.execute(_FORGOTTEN, {"since": since}).scalar_one())


_STUDIES = text("""
    select study from gateway.study
     where arrived_at >= coalesce(cast(:since as timestamptz), '-infinity') order by study
""")
_FORGOTTEN = text("""
    select count(distinct study) from gateway.study
      join gateway.series using (study)
      join ledger.event on event.position = series.position
      join ledger.subject on subject.subject = event.subject
     where wrapped_key is null and arrived_at >= coalesce(cast(:since as timestamptz), '-infinity')
""")
