"""Whom a withdrawal turns out to mean, and which studies turn out to be theirs: what is unsent of those ends as well.

A pseudonym may be withdrawn before anybody knows whose it is, two PatientIDs may be found to be one person's after one
of them withdrew, and a study may become the patient's, or be requested by others, afterwards.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from sqlalchemy import text

from ledger import store
from ledger.batching import batches
from processors.events.fact import Cause
from processors.events.holds import RequestHeld
from processors.events.withdrawals import ParticipantWithdrew, StudyWithdrawn
from processors.gateway import Gateway, Work
from processors.requests import IN_FORCE
from processors.routing.adopted_patients import living_adopted
from processors.routing.given_ids import ids_of_patients
from processors.routing.joined import Known, joined_persons, patient_ids_of_subjects
from processors.routing.participants import Withdrawal
from processors.routing.withdraw import end, withdraw
from processors.routing.withdrawals import (
    Withdrawals,
    marks_of,
    patient_marks,
    pseudonym_mark,
    sole_adopted,
    sole_patients,
)
from processors.stored_requests import requests_of
from processors.text import without_padding

_BATCH = 500


def follow_withdrawals(gateway: Gateway, studies: Collection[str], after: int) -> None:
    """Records who is meant by withdrawals, and what is theirs, of these studies and those told of `after` an event."""
    with gateway.begin() as work:
        concerned = sorted({*studies, *work.execute(_TOLD_OF, {"after": after}).scalars()})
    if not concerned:
        return
    for batch in batches(concerned, _BATCH):
        with gateway.begin() as work:
            # What is requested meanwhile would not be seen.
            store.lock_head(work.connection)
            _withdraw_owners(work, batch)
    with gateway.begin() as work:
        store.lock_head(work.connection)
        _withdraw_joined(work)
    for batch in batches(concerned, _BATCH):
        with gateway.begin() as work:
            store.lock_head(work.connection)
            _end_theirs(work, batch)


# Of what was never read here, the pseudonym alone may tell that it is theirs.
_TOLD_OF = text("""
    select substr(stream, length('study/') + 1) from ledger.event
     where position > :after and starts_with(stream, 'study/')
    union
    select study from gateway.pseudonym_use as use join gateway.withdrawal_mark as withdrew on mark = fingerprint
     where withdrew.position > :after and not doubted
       and not exists (select from gateway.study where study.study = use.study)
""")
# Several withdrawals may give one pseudonym. Once one of them has been followed, those told until then have been met.
_UNMET = text("""
    with told as (
         select position, data ->> 'project' as project, json_array_elements_text(data -> 'unmet') as mark
           from ledger.event where stream = 'withdrawals'),
         followed as (
         select told.mark, max(later.position) as until
           from ledger.event as later join told on later.data ->> 'follows' = told.position::text
          where later.stream = 'withdrawals'
          group by told.mark)
    select max(position) as position, project, mark from told left join followed using (mark)
     where until is null or position > until
     group by project, mark
""")


def unmet_marks(work: Work, project: str | None = None) -> dict[str, int]:
    """The marks of withdrawn pseudonyms of which nobody knows whose they are, each with its newest withdrawal."""
    return {row.mark: row.position for row in work.execute(_UNMET) if project in (None, row.project)}


def withdraw_as(work: Work, withdrawal: int, project: str | None, known: Known) -> None:
    """Has these patients withdraw, whom the withdrawal has turned out to mean."""
    event = store.read_positions(work.connection, [withdrawal])[withdrawal]
    withdrew = ParticipantWithdrew.read(event)
    withdraw(
        work,
        Withdrawal(
            project=project,
            patient_ids=known.patient_ids,
            adopted=known.adopted,
            by=withdrew.by,
            reason=withdrew.reason,
            record_id=withdrew.record_id,
            follows=withdrawal,
        ),
    )


def _withdraw_owners(work: Work, studies: Collection[str]) -> None:
    """Has those withdraw who have, or are asked for under, a pseudonym that was withdrawn while nobody knew them."""
    unmet = unmet_marks(work)
    if not unmet:
        return
    patients, adopted = sole_patients(work, studies), sole_adopted(work, studies)
    names = [*_names(work, studies, unmet), *_given_names(work, patients)]
    met = [(name, unmet[name.mark]) for name in names if name.mark in unmet]
    for project, withdrawal in sorted({(name.project, withdrawal) for name, withdrawal in met}):
        named = [name for name, other in met if other == withdrawal]
        theirs = Known(
            {
                patient_id
                for name in named
                for patient_id in patients.get(name.study, ())
                # Who was scanned under the pseudonym is known by it alone.
                if pseudonym_mark(work, project, patient_id) != name.mark
            },
            {adopted[name.study] for name in named if name.study in adopted},
        )
        if any(theirs):
            withdraw_as(work, withdrawal, project, theirs)


class _Name(NamedTuple):
    """A pseudonym that a study has in a project, or is asked for under there, by its mark."""

    study: str
    project: str
    mark: str


_IN_USE = text("select study, project, fingerprint from gateway.pseudonym_use where study = any(:studies)")
_HELD = text("""
    select position from gateway.held_request where study = any(:studies) or project = any(:projects)
""")


def _names(work: Work, studies: Collection[str], marks: Collection[str]) -> Iterator[_Name]:
    """Those of the pseudonyms with these marks that the studies have, or are asked for under."""
    about = {"studies": list(studies)}
    yield from (name for row in work.execute(_IN_USE, about) if (name := _Name(*row)).mark in marks)
    held = [name for name in _held_names(work, studies=studies) if name.mark in marks]
    several = _of_several(work, {name.project for name in held})
    yield from (name for name in held if name.mark not in several)


def _held_names(work: Work, *, studies: Collection[str] = (), projects: Collection[str] = ()) -> Iterator[_Name]:
    """What is asked for and held of these studies, and for these projects."""
    positions = work.execute(_HELD, {"studies": list(studies), "projects": list(projects)}).scalars().all()
    for event, payload in work.identities(positions).values():
        held = RequestHeld.read(event, payload)
        yield _Name(held.study, held.project, pseudonym_mark(work, held.project, held.pseudonym or ""))


def _of_several(work: Work, projects: Collection[str]) -> set[str]:
    """The pseudonyms that are asked for for several patients and held: an entry is wrong, and nobody knows which."""
    if not projects:
        return set()
    studies: dict[str, set[str]] = defaultdict(set)
    for name in _held_names(work, projects=projects):
        studies[name.mark].add(name.study)
    patients = sole_patients(work, set().union(*studies.values()))
    return {
        mark for mark, under in studies.items() if len(set().union(*(patients.get(study, ()) for study in under))) > 1
    }


def _given_names(work: Work, patients: Mapping[str, Collection[str]]) -> Iterator[_Name]:
    """The IDs that the patients of these studies were given, whatever is requested under them."""
    studies = {patient_id: study for study, (patient_id,) in patients.items()}
    for patient_id, given in ids_of_patients(work, studies, None):
        yield _Name(studies[patient_id], given.project, given.mark)


def _withdraw_joined(work: Work) -> None:
    """Has those withdraw who are the same person as somebody who did."""
    for person in joined_persons(work):
        patient_ids = set(map(without_padding, patient_ids_of_subjects(work, person.subjects).values()))
        marks = {each: patient_marks(work, each) for each in patient_ids}
        adopted = work.vault.marks(work.connection, living_adopted(work, person.subjects))
        withdrawals = Withdrawals(work, set(adopted.values()).union(*marks.values()))
        positions = {each: withdrawals.first(mine, person.project) for each, mine in marks.items()}
        of_adopted = {each: withdrawals.first([mark], person.project) for each, mark in adopted.items()}
        known = [position for position in (*positions.values(), *of_adopted.values()) if position is not None]
        others = Known(
            {each for each, position in positions.items() if position is None},
            {each for each, position in of_adopted.items() if position is None},
        )
        if known and any(others):
            withdraw_as(work, min(known), person.project, others)


# What ended unsent was theirs as well, and says so where it turns out to have been sent.
_REQUESTED = text("""
    select study, project from gateway.transfer where study = any(:studies)
    union
    select study, project from gateway.adopted_transfer where study = any(:studies)
    union
    select study, project from gateway.outcome where not ours and project <> '' and study = any(:studies)
    union
    select substr(stream, length('study/') + 1), data ->> 'project' from ledger.event
     where stream in (select 'study/' || study from unnest(cast(:studies as text[])) as named (study))
       and type = 'TransferSent' and data ->> 'request' is null
""")
_KNOWN = text("select study, project from gateway.withdrawn_study where study = any(:studies)")


def _end_theirs(work: Work, studies: Collection[str]) -> None:
    """Ends what was requested of studies that are, or have become, those of somebody who withdrew.

    Of a study that is somebody else's by now, that is what was requested under a pseudonym that was withdrawn.
    """
    about = {"studies": list(studies)}
    known = {tuple(row) for row in work.execute(_KNOWN, about)}
    requested = [(row.study, row.project) for row in work.execute(_REQUESTED, about)]
    patients = marks_of(work, studies)
    by_patient = _withdrawn(work, {pair: patients.get(pair[0], ()) for pair in requested})
    in_use: dict[tuple[str, str], set[str]] = defaultdict(set)
    for study, project, mark in work.execute(_IN_USE, about):
        in_use[study, project] |= {mark, *patients.get(study, ())}
    withdrawals_of = by_patient | _withdrawn(work, in_use)
    work.record(
        StudyWithdrawn(study=study, project=project, withdrawal=withdrawal)
        for (study, project), withdrawal in withdrawals_of.items()
        if (study, project) not in known
    )
    events = store.read_positions(work.connection, set(withdrawals_of.values()))
    by = {position: ParticipantWithdrew.read(event).by for position, event in events.items()}
    causes = {pair: Cause("operator", by[position], position) for pair, position in withdrawals_of.items()}
    end(work, causes, only=_theirs(work, withdrawals_of, by_patient))


def _theirs(work: Work, pairs: Collection[tuple[str, str]], by_patient: Collection[tuple[str, str]]) -> set[int]:
    """The requests in force (positions) that end: all of the patients' own studies, of others by their pseudonyms.

    A forgotten one cannot be compared, so that the careful answer holds.
    """
    in_force = requests_of(work, sorted({study for study, _ in pairs}), states=IN_FORCE)
    requests = [
        request for theirs in in_force.values() for request in theirs if (request.study, request.project) in pairs
    ]
    marks = {each.position: pseudonym_mark(work, each.project, each.pseudonym or "") for each in requests}
    withdrawals = Withdrawals(work, set(marks.values()))
    return {
        each.position
        for each in requests
        if (each.study, each.project) in by_patient
        or each.pseudonym is None
        or withdrawals.first([marks[each.position]], each.project) is not None
    }


def _withdrawn(work: Work, marks: Mapping[tuple[str, str], Collection[str]]) -> dict[tuple[str, str], int]:
    """Those of the studies, each with a project, of which a mark is of somebody who withdrew, with the withdrawal."""
    withdrawals = Withdrawals(work, set().union(*marks.values()))
    first_of = {pair: withdrawals.first(mine, pair[1]) for pair, mine in sorted(marks.items())}
    return {pair: withdrawal for pair, withdrawal in first_of.items() if withdrawal is not None}
