"""Series that came under another PatientID before, or do today: what they said then is sealed for somebody else."""

from collections.abc import Collection
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text

from processors.events.fact import study_stream
from processors.events.series import SeriesDiscovered, SeriesRevised
from processors.gateway import Work

SERIES_TYPES = [SeriesDiscovered.__name__, SeriesRevised.__name__]
_STUDY_PREFIX = study_stream("")


class Corrected(NamedTuple):
    """Another PatientID of some series: the subject, and the studies. `is_nobody`: no series has it today."""

    subject: UUID
    studies: tuple[str, ...]
    is_nobody: bool


_CORRECTED = text("""
    with said as materialized (
         select distinct stream, data ->> 'SeriesInstanceUID' as series, subject
           from ledger.event join ledger.subject using (subject)
          where stream = any(:streams) and type = any(:types) and kind = 'patient' and wrapped_key is not null)
    select other.subject, array_agg(distinct substr(stream, length(:prefix) + 1)) as studies,
           not exists (select from ledger.event as theirs
                         join gateway.series on study = substr(theirs.stream, length(:prefix) + 1)
                                            and series.position = theirs.position
                        where theirs.subject = other.subject and theirs.type = any(:types)) as is_nobody
      from said as mine join said as other using (stream, series)
     where mine.subject = any(:subjects) and other.subject <> all(:subjects)
     group by other.subject order by other.subject
""")


def corrected(work: Work, studies: Collection[str], subjects: Collection[UUID]) -> list[Corrected]:
    """The PatientIDs, other than these subjects', under which their series of these studies came as well."""
    parameters = {
        "streams": [study_stream(study) for study in studies],
        "types": SERIES_TYPES,
        "prefix": _STUDY_PREFIX,
        "subjects": list(subjects),
    }
    rows = work.execute(_CORRECTED, parameters)
    return [Corrected(row.subject, tuple(sorted(row.studies)), row.is_nobody) for row in rows]


_SAID = text("""
    select position from ledger.event where subject = any(:subjects) and type = any(:types) order by position
""")


def identities(work: Work, subjects: Collection[UUID]) -> list[dict[str, str]]:
    """What was sealed of these subjects' series, each once."""
    positions = work.execute(_SAID, {"subjects": list(subjects), "types": SERIES_TYPES}).scalars().all()
    said = [payload for _, payload in work.identities(positions).values() if payload]
    return list({(each["PatientID"], each["PatientName"]): each for each in said}.values())
