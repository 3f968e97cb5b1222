"""One PatientID with two names that have nothing in common: it may be two people's.

A study that gains a series is compared with the newest others of its patient. A name that one of these had before says
nothing new. Of whoever was forgotten nothing can be compared.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text

from processors.events.fact import study_stream
from processors.events.patients import TwoNamesFound
from processors.gateway import Work
from processors.routing.agenda import Agenda
from processors.routing.name_parts import are_apart
from processors.text import same_to_people

NEWEST = 10


class _Named(NamedTuple):
    """A study of a patient: `since` when it says so, and the event that holds the name."""

    study: str
    since: int
    position: int


def two_names(work: Work, studies: Sequence[str], window: Agenda) -> list[TwoNamesFound]:
    """Those of the studies whose names have nothing in common with others of their patient, each pair once."""
    gained = [study for study in studies if study in window.gained]
    if not gained:
        return []
    rows = work.execute(_GAINED, {"studies": gained, "after": window.after, "until": window.until}).all()
    new = {(row.subject, row.study): _Named(row.study, row.position, row.position) for row in rows}
    named = _named(work, {subject for subject, _ in new})
    several = {each for each in new if named[each[0]].keys() - {each[1]}}
    positions = {each.position for subject, _ in several for each in named[subject].values()}
    events = work.identities(positions | {new[each].position for each in several})
    names = {position: identity.get("PatientName", "") for position, (_, identity) in events.items()}
    facts = []
    for subject, study in sorted(several, key=lambda each: new[each].position):
        mine = new[subject, study]
        known = [new.get((subject, other.study), other) for other in named[subject].values() if other.study != study]
        before = [other for other in known if other.since < mine.since]
        apart = _apart(names[mine.position], {other.study: names[other.position] for other in before})
        if apart:
            facts.append(TwoNamesFound(study=study, studies=tuple(sorted(apart))))
    return list(_untold(work, facts))


def _apart(name: str, others: dict[str, str]) -> set[str]:
    """The studies whose names have nothing in common with this one, if it is a new one."""
    if same_to_people(name) in map(same_to_people, others.values()):
        return set()
    return {study for study, other in others.items() if are_apart(name, other)}


_GAINED = text("""
    select distinct on (study, subject) study, subject, routed_position as position
      from gateway.series join ledger.event on event.position = routed_position join ledger.subject using (subject)
     where study = any(:studies) and routed_position > :after and routed_position <= :until
       and subject.kind = 'patient'
     order by study, subject, routed_position desc
""")
# One patient at a time, so that the index event_patient serves before the server has statistics, too.
_NAMED = text("""
    select patient, substr(stream, length(:prefix) + 1) as study, since, position
      from unnest(cast(:patients as uuid[])) as patient
     cross join lateral (
           select stream, min(position) as since, max(position) as position from ledger.event
            where subject = patient and type in ('SeriesDiscovered', 'SeriesRevised')
            group by stream order by position desc limit :newest) as said
""")
_TOLD = text("""
    select data ->> 'study' as study, other
      from ledger.event cross join json_array_elements_text(data -> 'studies') as other
     where stream = any(:streams) and type = 'TwoNamesFound'
""")


def _named(work: Work, patients: Collection[UUID]) -> dict[UUID, dict[str, _Named]]:
    """The newest studies of each patient."""
    parameters = {"patients": list(patients), "newest": NEWEST, "prefix": study_stream("")}
    named: dict[UUID, dict[str, _Named]] = defaultdict(dict)
    for row in work.execute(_NAMED, parameters):
        named[row.patient][row.study] = _Named(row.study, row.since, row.position)
    return named


def _untold(work: Work, facts: Sequence[TwoNamesFound]) -> Iterator[TwoNamesFound]:
    """Those of which an earlier run, or one that was killed, has not told."""
    if not facts:
        return
    streams = {study_stream(study) for fact in facts for study in (fact.study, *fact.studies)}
    pairs = {frozenset((row.study, row.other)) for row in work.execute(_TOLD, {"streams": list(streams)})}
    for fact in facts:
        studies = tuple(other for other in fact.studies if frozenset((fact.study, other)) not in pairs)
        if studies:
            yield TwoNamesFound(study=fact.study, studies=studies)
