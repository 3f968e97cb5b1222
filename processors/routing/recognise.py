"""Recognising for whom pseudonyms are used, where that was not known yet, or has turned out to be somebody else.

A row of somebody else's, or one that was there before this system, may be seen before its study is; a PatientID may be
corrected; an entry may ask for what a rule has requested; and what ended unsent may be reported as sent after all. What
comes to light so is held where it has not been sent, and told of in each case.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Row, text

from ledger import store
from ledger.batching import batches
from ledger.events import NewEvent
from processors.events.fact import Fact
from processors.events.holds import RequestQuestioned
from processors.events.patients import PatientRecognised
from processors.events.transfers import TransferAdopted, TransferRequested
from processors.gateway import Gateway, Work
from processors.requests import Key, TransferRequest
from processors.routing.adopted_patients import names_of_adopted
from processors.routing.checks import Place
from processors.routing.decisions import Obstacle
from processors.routing.evaluate import Judgement
from processors.routing.identify import held_after_all
from processors.routing.identity import (
    GIVEN_ANOTHER,
    GIVEN_TO_ANOTHER,
    SHARED,
    Claim,
    Name,
    Persons,
    compare,
    compare_named,
)
from processors.routing.patients import Patient, patients_of
from processors.stored_requests import requests_at

_BATCH = 500


class Recognised(NamedTuple):
    """For whom a pseudonym is used, and the patient whose PatientID tells so; None where no PatientID does.

    `corrects`: somebody else was known to use it. `is_named_elsewhere`: where the pseudonym is shared, another study of
    these is told of, and this one named with it.
    """

    fact: PatientRecognised
    patient: Patient | None
    corrects: bool = False
    is_named_elsewhere: bool = False

    def is_told(self, obstacle: Obstacle) -> bool:
        """Whether a person is told, though the pseudonym was there before this system."""
        return self.corrects or (obstacle.kind == SHARED and not self.is_named_elsewhere)


def recognise_patients(gateway: Gateway, studies: Collection[str], after: int) -> None:
    """Records whose pseudonyms these studies use, and those of rows that were seen `after` that event."""
    with gateway.begin() as work:
        parameters = {"studies": list(studies), "after": after, "site": work.site}
        _record(work, _sent_after_all(work, parameters))
        concerned = list(work.execute(_CONCERNED, parameters).scalars())
        unread = sorted(set(work.execute(_UNREAD, parameters).scalars()))
    for batch in batches(concerned, _BATCH):
        with gateway.begin() as work:
            _record(work, _recognised(work, batch))
    for batch in batches(unread, _BATCH):
        with gateway.begin() as work:
            # Another site's run may recognise them as well.
            store.lock_head(work.connection)
            _record_by_hash(work, work.execute(_USES_UNREAD, {"studies": batch, "after": after}).all())


def recognise_asked_for(work: Work, judgements: Sequence[Judgement]) -> None:
    """Records whose pseudonyms those requests of rules use that an entry or an operator asks for, too.

    So it makes no difference who asked first.
    """
    taken = [each for judgement in judgements for each in _also_asked_for(judgement)]
    known = {"holders": [f"request {request.position}" for request, _ in taken]}
    in_use = set(work.execute(_KNOWN, known).scalars()) if taken else set()
    _record(work, _of_requests(work, [each for each in taken if f"request {each[0].position}" not in in_use]))


def _record(work: Work, recognised: Sequence[Recognised]) -> None:
    work.record(each.fact for each in recognised)
    work.record(_consequences(work, recognised))


def _also_asked_for(judgement: Judgement) -> Iterator[tuple[TransferRequest, Sequence[Patient]]]:
    names = {(each.key, each.pseudonym) for each in judgement.candidates if each.cause.kind != "rule"}
    for request in judgement.evidence.standing:
        if request.cause.kind == "rule" and request.in_force and (request.key, request.pseudonym) in names:
            yield request, judgement.evidence.patients


_KNOWN = text("select holder from gateway.pseudonym_use where holder = any(:holders)")
_SENT_AFTER_ALL = text("""
    select transfer.position
      from gateway.outcome join gateway.transfer on outcome.request = transfer.position
      join gateway.study on study.study = transfer.study
      join ledger.event on event.position = transfer.position
     where ours and outcome.position > :after and sends > 0 and ended_position is not null
       and study.site = :site and event.data ->> 'name_fingerprint' is not null
       and not exists (select from gateway.pseudonym_use where holder = 'request ' || transfer.position)
""")


def _sent_after_all(work: Work, parameters: Mapping[str, Any]) -> list[Recognised]:
    """Requests that were taken to have ended unsent, and were sent."""
    requests = requests_at(work, work.execute(_SENT_AFTER_ALL, parameters).scalars().all())
    patients = patients_of(work, {request.study for request in requests.values()})
    return _of_requests(work, [(each, patients.get(each.study, [])) for each in requests.values()])


def _of_requests(work: Work, requests: Sequence[tuple[TransferRequest, Sequence[Patient]]]) -> list[Recognised]:
    """Whose pseudonyms these requests use, which nobody was known to use by them."""
    claims = [
        (request, claim)
        for request, patients in requests
        if (claim := Claim.of(Place(request.study, request.key), request.pseudonym or "", "coupling", patients))
    ]
    names = compare(work, [claim for _, claim in claims], holds_split=False).names
    events = store.read_positions(work.connection, [request.position for request, _ in claims])
    recognised = []
    for request, claim in claims:
        name = names[claim.place]
        patient = None if name.patient is None else str(name.patient)
        requested = TransferRequested.read(events[request.position])
        fact = PatientRecognised(
            study=request.study,
            project=request.key.project,
            name_fingerprint=name.fingerprint,
            patient=patient,
            request=request.position,
            event_name=request.event_name,
            requested_for=patient if requested.name_fingerprint is None else requested.patient,
        )
        recognised.append(Recognised(fact, claim.patient))
    return recognised


_CONCERNED = text("""
    select distinct study from gateway.pseudonym_use where study = any(:studies)
    union
    select study from gateway.pseudonym_use join gateway.study using (study)
     where patient is null and position > :after
""")
# Whichever site adopted them: whoever decides first must know whose the pseudonyms are.
_OF_UNREAD = """
      from gateway.pseudonym_use as use join gateway.adopted_study as adopted using (study)
      join ledger.subject on subject.subject = adopted.patient and wrapped_key is not null
     where use.patient is null and use.position > :after
       and not exists (select from gateway.study where study.study = adopted.study)
"""
_UNREAD = text(f"select study {_OF_UNREAD}")
_USES_UNREAD = text(f"""
    select study, project, fingerprint, adopted.patient, array_agg(use.position) as positions,
           array_agg(event_name) as event_names
      {_OF_UNREAD} and use.study = any(:studies)
     group by study, project, fingerprint, adopted.patient order by study, project, fingerprint
""")
_USES = text("""
    select distinct study, project, fingerprint, patient from gateway.pseudonym_use where study = any(:studies)
""")


def _recognised(work: Work, studies: Sequence[str]) -> list[Recognised]:
    """Who is somebody else than was known. Blank PatientIDs, and two of them, say nothing new."""
    patients = {study: theirs[0] for study, theirs in patients_of(work, studies).items() if len(theirs) == 1}
    events = work.identities({patient.position for patient in patients.values()})
    uses = work.execute(_USES, {"studies": list(patients)}).all()
    persons = Persons(work, {use.project for use in uses})
    for patient in patients.values():
        persons.note(patient.subject, events[patient.position][1].get("PatientID", ""))
    persons.padded()
    others = []
    for use in uses:
        patient = patients[use.study]
        patient_id = events[patient.position][1].get("PatientID", "")
        is_pseudonym = work.name_fingerprint(use.project, patient_id) == use.fingerprint
        now = None if is_pseudonym else persons.counts_as(use.project, patient.subject)
        if persons.of(now) != persons.of(use.patient):
            place = Place(use.study, Key(use.project, use.fingerprint))
            others.append(Recognised(_fact(place, Name(use.fingerprint, now)), patient, use.patient is not None))
    return others


def _record_by_hash(work: Work, uses: Sequence[Row[Any]]) -> None:
    """Whose the pseudonyms are that others use for studies never read here, as REDCap's hash of the PatientID tells.

    One that is the PatientID itself says nothing of who it is. They are many after an adoption.
    """
    told = work.identities({position for use in uses for position in use.positions})
    pseudonyms = [told[use.positions[0]][1].get("pseudonym") or "" for use in uses]
    own = names_of_adopted(set(pseudonyms))
    found = {(own[name], subject) for name, subject in work.vault.found(work.connection, own).items()}
    claims, names = [], {}
    for use, pseudonym in zip(uses, pseudonyms, strict=True):
        place = Place(use.study, Key(use.project, use.fingerprint))
        if (pseudonym, use.patient) not in found:
            names[place] = Name(use.fingerprint, use.patient)
            events = frozenset(use.event_names)
            claims.append(Claim(place=place, pseudonym=pseudonym, patient=None, events=events, is_of_others=True))
    persons = Persons(work, {claim.project for claim in claims})
    compared = compare_named(work, claims, names, persons, holds_split=False)
    facts = {place: _fact(place, name) for place, name in compared.names.items()}
    work.record(facts.values())
    # Phantoms may have shared one pseudonym for years: all are told of at once.
    first = {place.key: place for place in sorted(compared.objections, reverse=True)}
    recognised = [
        Recognised(facts[place], None, is_named_elsewhere=place != first[place.key]) for place in compared.objections
    ]
    work.record(_consequences(work, recognised))


def _fact(place: Place, name: Name) -> PatientRecognised:
    return PatientRecognised(
        study=place.study,
        project=place.key.project,
        name_fingerprint=name.fingerprint,
        patient=None if name.patient is None else str(name.patient),
    )


def _consequences(work: Work, recognised: Sequence[Recognised]) -> Iterator[Fact | NewEvent]:
    """What is held, and what is told, because others use the same pseudonym, or the same patient another one."""
    about = {_place(each.fact): each for each in recognised if each.fact.patient is not None}
    if not about:
        return
    claims = [_claim(work, each.fact, place, each.patient) for place, each in about.items()]
    names = {place: Name(each.fact.name_fingerprint, UUID(each.fact.patient)) for place, each in about.items()}
    persons = Persons(work, {claim.project for claim in claims})
    patients = [each.patient for each in about.values() if each.patient is not None]
    events = work.identities({patient.position for patient in patients})
    for patient in patients:
        persons.note(patient.subject, events[patient.position][1].get("PatientID", ""))
    comparison = compare_named(work, claims, names, persons, holds_split=False)
    for place, objection in comparison.objections.items():
        fact = about[place].fact
        uses = _uses_of(work, fact, [fact.study])
        for use in uses:
            yield from _of_use(work, use, objection.obstacle, is_told=about[place].is_told(objection.obstacle))
        went_out_as_theirs = about[place].corrects and all(use.was_sent for use in uses)
        if (
            objection.obstacle.kind == SHARED
            and not went_out_as_theirs
            and all(_is_past(work, fact, use) for use in uses)
        ):
            for use in _uses_of(work, fact, objection.obstacle.studies):
                yield from _of_use(work, use, Obstacle(SHARED, "", (fact.study,)))


def _place(fact: PatientRecognised) -> Place:
    """One for each pseudonym that a study uses."""
    return Place(fact.study, Key(fact.project, fact.name_fingerprint))


def _claim(work: Work, fact: PatientRecognised, place: Place, patient: Patient | None) -> Claim:
    uses = _uses_of(work, fact, [fact.study])
    told = work.identities({use.position for use in uses}).values()
    pseudonym = next((payload["pseudonym"] for _, payload in told if payload.get("pseudonym")), "")
    events = frozenset(use.event_name for use in uses)
    return Claim(place=place, pseudonym=pseudonym, patient=patient, events=events, is_of_others=fact.request is None)


_HOLDERS = text("""
    select position, study, project, event_name, holder like 'row % sent %' as was_sent from gateway.pseudonym_use
     where study = any(:studies) and project = :project and fingerprint = :print
""")


def _uses_of(work: Work, fact: PatientRecognised, studies: Sequence[str]) -> Sequence[Row[Any]]:
    about = {"studies": list(studies), "project": fact.project, "print": fact.name_fingerprint}
    return work.execute(_HOLDERS, about).all()


def _is_past(work: Work, fact: PatientRecognised, use: Row[Any]) -> bool:
    """Whether the pseudonym had gone out, or stood in REDCap before this system: whoever came later gives way."""
    if store.read_positions(work.connection, [use.position])[use.position].type == TransferAdopted.__name__:
        return True
    return fact.request == use.position and not _is_unsent(requests_at(work, [use.position])[use.position])


def _is_unsent(request: TransferRequest) -> bool:
    return request.in_force and not request.was_sent


def _of_use(work: Work, use: Row[Any], obstacle: Obstacle, *, is_told: bool = False) -> Iterator[Fact | NewEvent]:
    """What follows for this use; where it was there before this system, only if `is_told`."""
    event = store.read_positions(work.connection, [use.position])[use.position]
    if event.type == TransferAdopted.__name__ and not is_told:
        return
    request = requests_at(work, [use.position]).get(use.position)
    if request is not None and request.cause.kind == "autoid" and obstacle.details in (GIVEN_ANOTHER, GIVEN_TO_ANOTHER):
        # The ID is that of whose study it was: deciding ends the request, and the study gets that of whose it is.
        return
    if request is not None and obstacle.kind == SHARED and _is_unsent(request):
        yield from held_after_all(work, request, event, obstacle)
    elif request is None or request.in_force:
        event_name = event.data["event_name"]
        yield RequestQuestioned(study=use.study, project=use.project, event_name=event_name, **obstacle._asdict())
