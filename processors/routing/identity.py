"""One pseudonym, one patient; one patient, one pseudonym, in each project: who claims what, and who has it already.

What a rule takes from the PatientID or PatientName says nothing about who it is, and is not compared. Patients are
compared by the subjects that their series are sealed for; where those differ, by their PatientIDs without padding, or
by what an operator has said. Whoever has an ID of AutoID is known by the link of the patient to the project. Of whoever
was forgotten nothing can be compared.
"""

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text

from ledger.vault import SubjectName
from processors.events.fact import CauseKind
from processors.events.holds import HoldKind
from processors.events.rules import decision_stream
from processors.gateway import Work
from processors.routing.adopted_patients import names_of_adopted
from processors.routing.checks import Objection, Place
from processors.routing.decisions import Obstacle
from processors.routing.given_ids import given_ids, giving_projects, links_of
from processors.routing.joined import patient_ids_of_subjects
from processors.routing.patients import Patient, patients_of
from processors.text import with_padding, without_padding

SHARED: HoldKind = "two patients, one pseudonym"
SPLIT: HoldKind = "one patient, two pseudonyms"
GIVEN_TO_ANOTHER = "AutoID gives it to another patient"
GIVEN_ANOTHER = "AutoID gives the patient another one"
_ASKED_OTHERWISE = "this study was requested under another one"


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A pseudonym that is about to be requested for a study, whose patient is that of all its series.

    `patient` is None where there is none to compare. A study `of_two` patients counts as somebody of its own, so that
    neither of them shares its pseudonym with the other. `events` are the project's events that it is claimed for: what
    others ask of the study for these contests the claim. `is_of_others`: it is such a row itself.
    """

    place: Place
    pseudonym: str
    patient: Patient | None
    events: frozenset[str]
    of_two: bool = False
    is_of_others: bool = False
    replaces: tuple[int, ...] = ()

    @classmethod
    def of(
        cls, place: Place, pseudonym: str, cause: CauseKind, patients: Sequence[Patient], replaces: tuple[int, ...] = ()
    ) -> "Claim | None":
        """The claim, unless a rule makes it."""
        if cause == "rule":
            return None
        patient = patients[0] if len(patients) == 1 else None
        of_two = len(patients) > 1
        return cls(
            place=place,
            pseudonym=pseudonym,
            patient=patient,
            events=frozenset([place.key.event_name]),
            of_two=of_two,
            replaces=replaces,
        )

    @property
    def project(self) -> str:
        """The project in which the pseudonym is to be used."""
        return self.place.key.project


class Name(NamedTuple):
    """What is recorded with a request: the fingerprint of its pseudonym, and the patient whom others count as, too.

    Nobody (None) where the PatientID is the pseudonym, or a placeholder, or is not known (yet).
    """

    fingerprint: str
    patient: UUID | None


class Use(NamedTuple):
    """A pseudonym in use, or claimed by what is held. `request` is that of ours, if it is one.

    `requested_for` is whose the study was said to be then, or when a row of others was sent. `is_ending`: it is no
    longer wanted. `is_past`: it was sent, or nothing of it can be sent any more. `is_unplaced`: it was made by this
    very decision. `is_claim`: it is no request. An ID that AutoID gives is used by no study (blank).
    """

    study: str
    project: str
    event_name: str
    fingerprint: str
    patient: UUID
    request: int | None = None
    requested_for: UUID | None = None
    is_ending: bool = False
    is_past: bool = False
    is_unplaced: bool = False
    is_claim: bool = False

    @property
    def is_new(self) -> bool:
        """Whether nobody has the pseudonym by it before this decision."""
        return self.is_unplaced or self.is_claim

    @property
    def is_given(self) -> bool:
        """Whether it is an ID that the patient was given, whatever is requested under it."""
        return not self.study


@dataclass(kw_only=True, slots=True)
class Comparison:
    """What comparing came to: the name of each claim, and what speaks against it.

    `unplaced` are requests that the same decision has made, each with the studies that claim its pseudonym for
    another patient.
    """

    names: dict[Place, Name] = field(default_factory=dict)
    objections: dict[Place, Objection] = field(default_factory=dict)
    unplaced: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))


def compare(
    work: Work,
    claims: Sequence[Claim],
    *,
    holds_split: bool,
    ending: Collection[int] = (),
    judged: Collection[str] = (),
) -> Comparison:
    """How the claims stand to each other, to what is in use, and to what is held.

    `ending` are requests that end by the same decision; `judged` are all studies that are decided by it.
    """
    if not claims:
        return Comparison()
    work.vault.load(work.connection, {claim.patient.subject for claim in claims if claim.patient is not None})
    persons = Persons(work, {claim.project for claim in claims})
    names = _names(work, claims, persons)
    return compare_named(work, claims, names, persons, holds_split=holds_split, ending=ending, judged=judged)


def compare_named(
    work: Work,
    claims: Sequence[Claim],
    names: dict[Place, Name],
    persons: "Persons",
    *,
    holds_split: bool,
    ending: Collection[int] = (),
    judged: Collection[str] = (),
) -> Comparison:
    """The same for claims whose names are known."""
    comparison = Comparison(names=names)
    uses = [*_known_uses(work, names, persons, judged), *_claimed(claims, names)]
    # Before patients are compared: it tells whose each link is.
    given = _given(work, claims, persons)
    _unify(names, uses, persons)
    uses += given
    table = _Uses(uses, persons, {claim.place.study for claim in claims if claim.is_of_others})
    for claim in claims:
        mine = comparison.names[claim.place]
        if mine.patient is None:
            continue
        rivals = table.rivals(claim, mine)
        second = table.second(claim, mine, {*ending, *claim.replaces})
        if rivals:
            comparison.objections[claim.place] = Objection(_obstacle(SHARED, claim, GIVEN_TO_ANOTHER, rivals))
            for use in rivals:
                if use.is_unplaced and use.request is not None and use.request not in ending:
                    comparison.unplaced[use.request].add(claim.place.study)
        elif second:
            comparison.objections[claim.place] = Objection(_obstacle(SPLIT, claim, GIVEN_ANOTHER, second), holds_split)
    return comparison


def _obstacle(kind: HoldKind, claim: Claim, given: str, uses: Sequence[Use]) -> Obstacle:
    """What is in the way; the other studies say it all where there are any, and no ID that was given is told then."""
    studies = {use.study for use in uses if not use.is_given}
    itself = _ASKED_OTHERWISE if claim.place.study in studies else ""
    return Obstacle(kind, itself if studies else given, tuple(sorted(studies - {claim.place.study})))


def _claimed(claims: Iterable[Claim], names: Mapping[Place, Name]) -> Iterator[Use]:
    """The claims, as they stand in each other's way."""
    for claim in claims:
        fingerprint, patient = names[claim.place]
        if patient is not None:
            yield Use(claim.place.study, *claim.place.key, fingerprint, patient, is_claim=True)


def _given(work: Work, claims: Iterable[Claim], persons: "Persons") -> list[Use]:
    """The IDs that are claimed, and those of the patients who claim something."""
    claims = list(claims)
    giving = giving_projects(work, {claim.project for claim in claims})
    if not giving:
        return []
    links = persons.links(giving)
    found = given_ids(work, giving, names={claim.pseudonym for claim in claims if claim.pseudonym}, links=links)
    return [
        Use(
            study="",
            project=given.project,
            event_name="",
            fingerprint=given.mark,
            patient=given.link,
        )
        for given in found
    ]


class _Uses:
    """What is in use or claimed, laid out by pseudonym and by person.

    `just_found` are studies whose uses have just come to be known: nobody had a pseudonym by these.
    """

    def __init__(self, uses: Iterable[Use], persons: "Persons", just_found: Collection[str]) -> None:
        self._persons = persons
        self._just_found = just_found
        self._by_name: dict[tuple[str, str], list[Use]] = defaultdict(list)
        self._by_person: dict[tuple[str, Hashable], list[Use]] = defaultdict(list)
        for use in uses:
            self._by_name[use.project, use.fingerprint].append(use)
            self._by_person[use.project, persons.of(use.patient)].append(use)

    def rivals(self, claim: Claim, mine: Name) -> list[Use]:
        """Those of other patients who have the claimed pseudonym; whoever has it already meets no newcomers."""
        uses = self._by_name[claim.project, mine.fingerprint]
        me = self._persons.of(mine.patient)
        had = [use for use in uses if self._persons.of(use.patient) == me and not (use.is_new or use.is_ending)]
        return [
            use
            for use in uses
            if use.study != claim.place.study
            and self._persons.of(use.patient) != me
            and not (had and (use.is_new or self._is_stray(use, had, me)))
        ]

    def _is_stray(self, use: Use, had: Iterable[Use], me: Hashable) -> bool:
        """Whether it went out as this patient's, who `had` the pseudonym, and turned out to be another's afterwards.

        Where nobody was known then, it went out as that of whoever had it before.
        """
        had = [each for each in had if each.study not in self._just_found]
        if not use.is_past or not had:
            return False
        if use.requested_for is not None:
            return self._persons.of(use.requested_for) == me
        earlier = (each.request for each in had if self._persons.of(each.requested_for) == me)
        return any(position is not None and position < (use.request or 0) for position in earlier)

    def second(self, claim: Claim, mine: Name, ending: Collection[int]) -> list[Use]:
        """Those by which the patient has another pseudonym.

        What others ask of the study itself contests the claim, and what we asked of it before is corrected by it.
        """
        return [
            use
            for use in self._by_person[claim.project, self._persons.of(mine.patient)]
            if use.fingerprint != mine.fingerprint
            and not use.is_ending
            and use.request not in ending
            and not (
                use.study == claim.place.study
                and use.event_name in claim.events
                and (_is_of_others(use) or not claim.is_of_others)
            )
        ]


def _is_of_others(use: Use) -> bool:
    """Whether it is a row that people have made, or that was there before this system."""
    return use.request is None and not use.is_claim and not use.is_given


class Persons:
    """Which subjects are one person: by PatientID without padding, and by what operators have said."""

    def __init__(self, work: Work, projects: Collection[str]) -> None:
        self._work = work
        rows = work.execute(_JOINED, {"projects": list(projects)})
        self._counts_as: dict[tuple[str, UUID], UUID] = {(row.project, row.patient): row.counts_as for row in rows}
        self._told: dict[UUID, str] = {}
        self._patient_ids: dict[UUID, str] = {}
        self._of_links: dict[Hashable, Hashable] = {}

    def counts_as(self, project: str, subject: UUID) -> UUID:
        """Whom the subject counts as in the project."""
        return self._counts_as.get((project, subject), subject)

    def note(self, subject: UUID, patient_id: str) -> None:
        """Takes note of a subject's PatientID."""
        self._told[subject] = patient_id
        self._patient_ids[subject] = without_padding(patient_id)

    def padded(self) -> set[UUID]:
        """The subjects that were found to have one of the noted PatientIDs, padded as DICOM pads, or REDCap's hash."""
        names = {
            SubjectName("patient", "", padded)
            for bare in set(self._patient_ids.values())
            for padded in with_padding(bare)
        }
        subjects = self._work.vault.found(self._work.connection, names)
        for name, subject in subjects.items():
            self.note(subject, name.name)
        return {*subjects.values(), *self._adopted(set(self._patient_ids.values()))}

    def _adopted(self, patient_ids: Collection[str]) -> set[UUID]:
        """Those by whom REDCap's hash stands for one of these PatientIDs."""
        names = names_of_adopted(patient_ids)
        subjects = self._work.vault.found(self._work.connection, names)
        self._patient_ids |= {subject: names[name] for name, subject in subjects.items()}
        return set(subjects.values())

    def learn(self, uses: Iterable[Use]) -> None:
        """Finds the PatientIDs of those who use a pseudonym."""
        unknown = {use.study for use in uses if use.patient not in self._patient_ids}
        patients = [each for theirs in patients_of(self._work, unknown).values() for each in theirs] if unknown else []
        events = self._work.identities({patient.position for patient in patients})
        told = {patient.subject: events[patient.position][1].get("PatientID") for patient in patients}
        known = {subject: patient_id for subject, patient_id in told.items() if patient_id is not None}
        for subject, patient_id in known.items():
            self.note(subject, patient_id)
        self._adopted(set(map(without_padding, known.values())))

    def of(self, subject: UUID | None) -> Hashable:
        """What is equal for subjects who are one person."""
        if subject is None:
            return None
        person: Hashable = self._patient_ids.get(subject, subject)
        while person in self._of_links:
            person = self._of_links[person]
        return person

    def links(self, projects: Collection[str]) -> list[UUID]:
        """The links to these projects of all whose PatientIDs are known; each counts as its patient from now on."""
        joined = {subject for (_, patient), other in self._counts_as.items() for subject in (patient, other)}
        for subject, patient_id in patient_ids_of_subjects(self._work, joined - self._told.keys()).items():
            self.note(subject, patient_id)
        patients = {patient_id: subject for subject, patient_id in self._told.items()}
        links = []
        for project in projects:
            for link, patient_id in links_of(self._work, patients, [project]).items():
                links.append(link)
                person = self.of(self.counts_as(project, patients[patient_id]))
                if person != link:
                    self._of_links[link] = person
        return links


_JOINED = text("select project, patient, counts_as from gateway.joined_patient where project = any(:projects)")


def _names(work: Work, claims: Sequence[Claim], persons: Persons) -> dict[Place, Name]:
    events = work.identities({claim.patient.position for claim in claims if claim.patient is not None})
    of_two = {SubjectName("study", "", claim.place.study) for claim in claims if claim.of_two}
    mixed = work.vault.subjects(work.connection, list(of_two)) if of_two else {}
    names = {}
    for claim in claims:
        fingerprint = work.name_fingerprint(claim.project, claim.pseudonym) or ""
        subject = mixed.get(SubjectName("study", "", claim.place.study))
        if claim.patient is not None and work.vault.holds(claim.patient.subject):
            patient_id = events[claim.patient.position][1].get("PatientID", "")
            persons.note(claim.patient.subject, patient_id)
            is_pseudonym = work.name_fingerprint(claim.project, patient_id) == fingerprint
            is_nobody = is_pseudonym or work.placeholders.names_nobody(patient_id)
            subject = None if is_nobody else persons.counts_as(claim.project, claim.patient.subject)
        names[claim.place] = Name(fingerprint, subject)
    return names


_USES = text("""
    select use.study, use.project, use.event_name, use.fingerprint, patient, transfer.position as request,
           requested_for, coalesce(transfer.state = 'ending', false) as is_ending,
           coalesce(transfer.state in ('withdrawn', 'closed') or outcome.sends > 0, false)
           or use.holder like 'row % sent %' as is_past,
           coalesce(transfer.state = 'requested' and transfer.instance is null and transfer.position > :since, false)
           as is_unplaced
      from gateway.pseudonym_use as use
      left join gateway.transfer on use.holder = 'request ' || transfer.position and transfer.study = use.study
      left join gateway.outcome on outcome.ours and outcome.request = transfer.position
     where use.project = any(:projects) and patient is not null
       and (use.fingerprint = any(:fingerprints) or patient = any(:patients))
     order by occupies desc, use.position
""")
_SINCE = text("select coalesce(max(position), 0) from ledger.event where stream = :stream")


def _known_uses(work: Work, names: Mapping[Place, Name], persons: Persons, judged: Collection[str]) -> list[Use]:
    """What uses these pseudonyms or is held beside them, and what these patients use."""
    patients = {name.patient for name in names.values() if name.patient is not None} | persons.padded()
    about = {
        "projects": list({place.key.project for place in names}),
        "fingerprints": list({name.fingerprint for name in names.values()}),
        "patients": list(patients),
        "since": work.execute(_SINCE, {"stream": decision_stream(work.site)}).scalar_one(),
        "kind": SHARED,
        "judged": list(judged),
    }
    rows = [*work.execute(_USES, about), *work.execute(_HELD, about)]
    uses = [Use(*row) for row in rows]
    uses = [_counted(use, persons) for use in uses]
    persons.learn(use for use in uses if use.patient not in patients)
    return uses


def _counted(use: Use, persons: Persons) -> Use:
    """The use by whom its patients count as."""
    then = use.requested_for and persons.counts_as(use.project, use.requested_for)
    return use._replace(patient=persons.counts_as(use.project, use.patient), requested_for=then)


# What is held beside another claim is a claim itself, as long as its study is there.
_HELD = text("""
    select held.study, held.project, held.event_name, name_fingerprint, patient, cast(null as bigint) as request,
           cast(null as uuid) as requested_for, false as is_ending, false as is_past, false as is_unplaced,
           true as is_claim
      from gateway.held_request as held join gateway.study using (study)
     where held.project = any(:projects) and name_fingerprint = any(:fingerprints) and patient is not null
       and kind = :kind and on_disk and held.study <> all(:judged)
""")


def _unify(names: dict[Place, Name], uses: Sequence[Use], persons: Persons) -> None:
    """Has each patient recorded as the one who uses the pseudonym already, or claims it first."""
    first: dict[tuple[str, str], list[UUID]] = defaultdict(list)
    for use in uses:
        first[use.project, use.fingerprint] += filter(None, (use.patient, use.requested_for))
    for place, name in names.items():
        if name.patient is not None:
            same = (
                each
                for each in first[place.key.project, name.fingerprint]
                if persons.of(each) == persons.of(name.patient)
            )
            names[place] = name._replace(patient=next(same, name.patient))
