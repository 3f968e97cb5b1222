"""Whose a study is: the patients of its series that are on disk, by whom those are sealed for."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from itertools import groupby
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Row, text

from processors.gateway import Work
from processors.text import without_padding


class Patient(NamedTuple):
    """A patient of a study: the subject, the event that holds the PatientID, and the series."""

    subject: UUID
    position: int
    series: tuple[str, ...]


# A blank PatientID or a placeholder says nothing, so that what the series said before holds. Nobody can compare who was
# forgotten, but series that were of two patients do not become one patient's by that.
_PATIENTS = text("""
    select study, series, said_at as position, subject
      from (select distinct on (series.study, series.series) series.study, series.series, said_at, event.subject,
                   wrapped_key is null and mixed.study is null as incomparable
              from gateway.series cross join unnest(case when series.position = any(stated) then stated
                                                        else stated || series.position end) as said_at
              join ledger.event on event.position = said_at
              join ledger.subject on subject.subject = event.subject
              left join gateway.mixed_study as mixed on mixed.study = series.study and over_position is null
             where series.study = any(:studies) and present and subject.kind = 'patient'
             order by series.study, series.series, said_at desc) as newest
     where not incomparable
     order by study, said_at
""")


def patients_of(work: Work, studies: Collection[str]) -> dict[str, list[Patient]]:
    """The patients of each study that has any, in the order in which their series came to be theirs."""
    if not studies:
        return {}
    rows = work.execute(_PATIENTS, {"studies": list(studies)}).all()
    return {study: _patients(work, list(series)) for study, series in groupby(rows, lambda row: str(row.study))}


def _patients(work: Work, rows: Sequence[Row[Any]]) -> list[Patient]:
    groups: dict[Any, list[Row[Any]]] = defaultdict(list)
    for row in rows:
        groups[row.subject].append(row)
    if len(groups) > 1:
        groups = _by_patient_id(work, rows)
    return [
        Patient(series[0].subject, series[0].position, tuple(sorted(row.series for row in series)))
        for series in groups.values()
    ]


def _by_patient_id(work: Work, rows: Sequence[Row[Any]]) -> dict[Any, list[Row[Any]]]:
    """Scanners pad: PatientIDs that differ by that alone are one patient's, but not one subject's."""
    events = work.identities([row.position for row in rows])
    groups: dict[Any, list[Row[Any]]] = defaultdict(list)
    for row in rows:
        _, identity = events[row.position]
        patient_id = identity.get("PatientID")
        if patient_id is None:
            groups[row.subject].append(row)
        # It was sealed before the configuration called it a placeholder.
        elif not work.placeholders.names_nobody(patient_id):
            groups[without_padding(patient_id)].append(row)
    return groups
