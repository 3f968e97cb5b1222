"""All that was recorded of the studies, to try rules on."""

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from ledger.batching import Progress, batches
from processors.gateway import Work
from processors.routing.agenda import Agenda
from processors.routing.evidence import Evidence, gather
from processors.routing.rules import Identity

FROM_THE_BEGINNING = Agenda(after=0, until=sys.maxsize, gained=frozenset(), reopened=frozenset(), coupled=frozenset())
"""A window in which every series counts as gained: all of a study is looked at."""

OFTEN = 3
"""A rule that has run out of time as often is not tried on more studies."""

_BATCH = 500


def studies_since(work: Work, since: datetime | None = None) -> list[str]:
    """The studies that arrived `since`, in a fixed order."""
    return list(work.execute(_STUDIES, {"since": since}).scalars())


def recorded_studies(work: Work, studies: Sequence[str], progress: Progress | None = None) -> Iterator[Evidence]:
    """These studies, each as if this system had decided nothing about it and it had just arrived.

    What an operator decided by hand stays decided. A study that has vanished counts as being on disk: the
    question is what would be asked for a study like it.
    """
    done = 0
    for batch in batches(studies, _BATCH):
        for evidence in gather(work, batch, FROM_THE_BEGINNING, with_identities=True):
            evidence.on_disk = True
            evidence.standing, evidence.conflicts, evidence.deferred, evidence.failed_rules = [], {}, {}, set()
            yield evidence
        done += len(batch)
        if progress is not None:
            progress(done, len(studies))


@dataclass(kw_only=True, slots=True)
class Said:
    """What the series of a study say, or said once, of where they came from and whose they are.

    `restated`: some have said several things, which have to be put together. `subjects` are those that they are sealed
    for: more than one where the study may be of two patients.
    """

    identities: set[Identity] = field(default_factory=set)
    subjects: set[UUID] = field(default_factory=set)
    restated: bool = False


def said_by_studies(work: Work, since: datetime | None = None) -> dict[str, Said]:
    """What the series of each study say that arrived `since`: enough to see which rules can concern it at all.

    Each patient's identity is unsealed once, however many studies there are.
    """
    rows = work.execute(_SAID, {"since": since}).all()
    # The fingerprint is made with the subject's key: where it is the same, so is what was sealed.
    telling = {row.identity_fingerprint: row.position for row in rows}
    sealed = work.identities(telling.values())
    by_study: dict[str, Said] = defaultdict(Said)
    for row in rows:
        said = by_study[row.study]
        said.subjects.add(row.subject)
        said.restated = said.restated or row.restated
        _, whose = sealed[telling[row.identity_fingerprint]]
        said.identities.add(Identity(row.called, row.calling, whose.get("PatientID", ""), whose.get("PatientName", "")))
    return by_study


def forgotten_studies(work: Work, since: datetime | None = None) -> int:
    """How many of them hold series whose PatientID and PatientName cannot be read any more."""
    return int(work.execute(_FORGOTTEN, {"since": since}).scalar_one())


_STUDIES = text("""
    select study from gateway.study
     where arrived_at >= coalesce(cast(:since as timestamptz), '-infinity') order by study
""")
# Series with one key say the same: one of them will do.
_SAID = text("""
    with telling as (
         select distinct on (study, routing_key) study, position, cardinality(stated) > 1 as restated
           from gateway.series join gateway.study using (study)
          where arrived_at >= coalesce(cast(:since as timestamptz), '-infinity')
          order by study, routing_key, position desc)
    select study, restated, position, subject, "AETitleCalled" as called, "AETitleCaller" as calling,
           identity_fingerprint
      from telling join ledger.event using (position)
      cross join json_to_record(data) as said (
                 "AETitleCalled" text, "AETitleCaller" text, identity_fingerprint text)
""")
_FORGOTTEN = text("""
    select count(distinct study) from gateway.study
      join gateway.series using (study)
      join ledger.event on event.position = series.position
      join ledger.subject on subject.subject = event.subject
     where wrapped_key is null and arrived_at >= coalesce(cast(:since as timestamptz), '-infinity')
""")
