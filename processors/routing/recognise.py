"""Recognising for whom pseudonyms are used, where that was not known yet, or has turned out to be somebody else.

A row of somebody else's, or one that was there before this system, may be seen before its study is; and a PatientID
may be corrected. What comes to light so is held where it has not been sent, and told of in each case.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text

from ledger import store
from ledger.batching import batches
from ledger.events import NewEvent
from processors.events.fact import Fact
from processors.events.holds import RequestQuestioned
from processors.events.patients import PatientRecognised
from processors.events.transfers import TransferAdopted
from processors.gateway import Gateway, Work
from processors.requests import Key
from processors.routing.checks import Place
from processors.routing.decisions import Obstacle
from processors.routing.identify import held_after_all
from processors.routing.identity import SHARED, Claim, Name, Persons, compare_named
from processors.routing.patients import Patient, patients_of
from processors.stored_requests import requests_at

_BATCH = 500


def recognise(gateway: Gateway, studies: Collection[str], after: int) -> None:
    """Records whose pseudonyms these studies use, and those of rows that were seen `after` that event."""
    with gateway.begin() as work:
        told = {"studies": list(studies), "after": after, "site": work.site}
        concerned = list(work.execute(_CONCERNED, told).scalars())
    for batch in batches(concerned, _BATCH):
        with gateway.begin() as work:
            found = _recognised(work, batch)
            work.record(fact for fact, _ in found)
            work.record(_consequences(work, found))


_CONCERNED = text("""
    select distinct study from gateway.pseudonym_use where study = any(:studies)
    union
    select study from gateway.pseudonym_use join gateway.study using (study)
     where patient is null and position > :after and site = :site
""")
_USES = text("""
    select distinct study, project, fingerprint, patient from gateway.pseudonym_use where study = any(:studies)
""")


def _recognised(work: Work, studies: Sequence[str]) -> list[tuple[PatientRecognised, Patient]]:
    """Who is somebody else than was known. Blank PatientIDs, and two of them, say nothing new."""
    patients = {study: found[0] for study, found in patients_of(work, studies).items() if len(found) == 1}
    told = work.identities({patient.position for patient in patients.values()})
    uses = work.execute(_USES, {"studies": list(patients)}).all()
    persons = Persons(work, {use.project for use in uses})
    for patient in patients.values():
        persons.note(patient.subject, told[patient.position][1].get("PatientID", ""))
    persons.padded()
    found = []
    for use in uses:
        patient = patients[use.study]
        patient_id = told[patient.position][1].get("PatientID", "")
        is_pseudonym = work.name_fingerprint(use.project, patient_id) == use.fingerprint
        now = None if is_pseudonym else persons.counts_as(use.project, patient.subject)
        if persons.of(now) != persons.of(use.patient):
            recognised = PatientRecognised(
                study=use.study,
                project=use.project,
                name_fingerprint=use.fingerprint,
                patient=None if now is None else str(now),
            )
            found.append((recognised, patient))
    return found


def _consequences(work: Work, found: Sequence[tuple[PatientRecognised, Patient]]) -> Iterator[Fact | NewEvent]:
    """What is held, and what is told, because others use the same pseudonym, or the same patient another one."""
    about = {_place(fact): (fact, patient) for fact, patient in found if fact.patient is not None}
    claims = [Claim(place=place, pseudonym="", patient=patient) for place, (_, patient) in about.items()]
    if not claims:
        return
    names = {place: Name(fact.name_fingerprint, UUID(fact.patient)) for place, (fact, _) in about.items()}
    persons = Persons(work, {claim.project for claim in claims})
    told = work.identities({patient.position for _, patient in about.values()})
    for _, patient in about.values():
        persons.note(patient.subject, told[patient.position][1].get("PatientID", ""))
    comparison = compare_named(work, claims, names, persons, holds_split=False)
    for place, objection in comparison.objections.items():
        fact, _ = about[place]
        for use in work.execute(_HOLDERS, {"study": fact.study, "print": fact.name_fingerprint}).all():
            yield from _of_use(work, use, objection.obstacle)


def _place(fact: PatientRecognised) -> Place:
    """One for each pseudonym that a study uses."""
    return Place(fact.study, Key(fact.project, fact.name_fingerprint))


_HOLDERS = text("""
    select position, study, project from gateway.pseudonym_use where study = :study and fingerprint = :print
""")


def _of_use(work: Work, use: Row[Any], obstacle: Obstacle) -> Iterator[Fact | NewEvent]:
    """What was there before this system is told by `identity check`."""
    event = store.read_positions(work.connection, [use.position])[use.position]
    if event.type == TransferAdopted.__name__:
        return
    request = requests_at(work, [use.position]).get(use.position)
    holds = obstacle.kind == SHARED and request is not None and request.in_force and request.report.state != "sent"
    if request is not None and holds:
        yield from held_after_all(work, request, event, obstacle)
    elif request is None or request.in_force:
        event_name = event.data["event_name"]
        yield RequestQuestioned(study=use.study, project=use.project, event_name=event_name, **obstacle._asdict())
