"""Whom a withdrawal means: the patients, their studies, and the pseudonyms that are theirs, as far as anything tells.

A PatientID need not be known yet; a pseudonym leads to its studies, and those to their patients. A study may have been
said to be somebody else's when something was asked for it.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy import text

from processors.events.fact import study_stream
from processors.gateway import Work
from processors.requests import IN_FORCE
from processors.routing.adopted_patients import found_adopted, studies_of_adopted
from processors.routing.given_ids import ids_of_patients
from processors.routing.joined import Known, subjects_by_patient, with_joined
from processors.routing.patients import patients_of
from processors.routing.withdrawals import patient_ids_of, pseudonym_mark, sole_adopted, sole_patients
from processors.text import without_padding


@dataclass(frozen=True, kw_only=True, slots=True)
class Withdrawal:
    """What is wanted: `project` is None for all. `record_id` is that of REDCap's list, where it is told there.

    `adopted` are subjects that stand for REDCap's hashes of PatientIDs. `follows`: the withdrawal that has turned out
    to mean these patients.
    """

    project: str | None
    patient_ids: Collection[str] = ()
    adopted: Collection[UUID] = ()
    pseudonyms: Collection[str] = ()
    by: str
    reason: str
    record_id: str | None = None
    follows: int | None = None


class Use(NamedTuple):
    """A pseudonym that a study has in a project, whoever asked for it, as an event at that position tells.

    `kind` is that of what led to a request of ours. `is_unsent`: it stands, and nothing went out under it.
    """

    study: str
    project: str
    pseudonym: str
    position: int
    kind: str | None
    is_unsent: bool


class _Owners(NamedTuple):
    """Whose a study is by what its series on disk say: PatientIDs without padding, and since which event it is so.

    Before that some of its series said something else, or others were there: these had left by `left_at`.
    """

    patient_ids: set[str]
    since: int
    left_at: int


class _Name(NamedTuple):
    """A pseudonym of a project, by its mark."""

    project: str
    mark: str


class _Person(NamedTuple):
    """Whom a withdrawal means, as far as is known: PatientIDs, their studies, and those under a name that was given.

    `adopted`: of whom no more is known than REDCap's hashes. `of_patients` are studies that are, or ever were, theirs.
    `is_met`: somebody known is meant.
    """

    patient_ids: set[str]
    adopted: set[UUID]
    of_patients: set[str]
    under_name: set[str]
    is_met: bool

    @property
    def studies(self) -> set[str]:
        """All of them."""
        return self.of_patients | self.under_name

    def has_no_part_in(self, study: str, owners: Mapping[str, _Owners], use: Use | None = None) -> bool:
        """Whether the study is somebody else's alone, and was so when this was asked for; or nothing went out since.

        What stands, though its series said then that they were these patients', is asked for by what they say now.
        """
        owner = owners.get(study)
        if study in self.under_name or owner is None or not owner.patient_ids or owner.patient_ids & self.patient_ids:
            return False
        return use is None or (owner.left_at if use.is_unsent else owner.since) < use.position


class Participant(NamedTuple):
    """Who withdraws: PatientIDs, marks of pseudonyms, what was requested, and the studies that are theirs now.

    `adopted`: of whom no more is known than REDCap's hashes. `unmet` are the marks of pseudonyms that were given while
    nobody knew whose they are. `elsewhere` are studies that were said to be theirs, and are said to be somebody else's
    now; `doubted` the marks of pseudonyms that these had by then.
    """

    patient_ids: set[str]
    adopted: set[UUID]
    marks: set[str]
    uses: list[Use]
    studies: set[str]
    unmet: set[str]
    elsewhere: set[str]
    doubted: set[str]


def participants(work: Work, wanted: Sequence[Withdrawal]) -> list[Participant]:
    """Whom each of these means."""
    persons = _persons(work, wanted)
    owners = _owners(work, {study for person in persons for study in person.studies})
    uses = _uses_of(work, wanted, persons, owners)
    names = _names(work, wanted, persons, uses, owners)
    if under := _scanned_under(work, set().union(*names)):
        persons = [
            person._replace(under_name=person.under_name.union(*(under.get(name.mark, ()) for name in theirs)))
            for person, theirs in zip(persons, names, strict=True)
        ]
        uses = _uses_of(work, wanted, persons, owners)
    doubted = _doubted_marks(work, wanted, persons, owners)
    found = []
    for each, person, theirs, used, doubts in zip(wanted, persons, names, uses, doubted, strict=True):
        given = _wanted_marks(work, each)
        marks = {name.mark for name in theirs if name.mark} | given
        elsewhere = {study for study in person.of_patients if person.has_no_part_in(study, owners)}
        found.append(
            Participant(
                patient_ids=person.patient_ids,
                adopted=person.adopted,
                marks=marks,
                uses=used,
                studies=person.of_patients - elsewhere,
                unmet=set() if person.is_met else given,
                elsewhere=elsewhere,
                doubted=doubts - marks,
            )
        )
    return found


_TAKEN_FROM_IT: Final = ("rule", "autoid")
"""Whose pseudonyms come from what the study says of its patient."""

# Requests of ours that ended unsent say nothing of who a pseudonym belongs to: they may have been mistakes.
_USES = text("""
    select study, project, position, state <> 'withdrawn' as named, cause_kind as kind,
           state = any(:in_force) and not exists (
               select from gateway.outcome as told
                where told.ours and told.request = transfer.position
                  and (told.sends > 0 or told.state = 'possibly sent'))
           as is_unsent
      from gateway.transfer where study = any(:studies)
    union all
    select study, project, position, true, null, false from gateway.adopted_transfer where study = any(:studies)
    union all
    select study, project, request, true, null, false from gateway.outcome where not ours and study = any(:studies)
    union all
    select substr(stream, length('study/') + 1), data ->> 'project', position, true, null, false from ledger.event
     where stream in (select 'study/' || study from unnest(cast(:studies as text[])) as named (study))
       and type = 'TransferSent' and data ->> 'request' is null
""")
_LEFT = text("""
    select study, max(presence_position) as position from gateway.series
     where study = any(:studies) and not present group by study
""")
_UNDER_NAME = text("select study, project, fingerprint from gateway.pseudonym_use where fingerprint = any(:marks)")
# Of these no fingerprint is kept: rules take what they ask for from the PatientID or PatientName.
_OF_RULES = text("""
    select position from gateway.transfer
     where (project = any(:projects) or study = any(:studies)) and cause_kind = 'rule' and state <> 'withdrawn'
""")
_STUDIES = text("""
    select distinct subject, stream from ledger.event where subject = any(:subjects) and starts_with(stream, :prefix)
""")


def _persons(work: Work, wanted: Sequence[Withdrawal]) -> list[_Person]:
    given = [set(map(without_padding, each.patient_ids)) for each in wanted]
    under_name, of_others = _studies_under(work, wanted, given)
    met = _known_by(work, [under - of_others for under in under_name])
    known = [
        Known(ids | names.patient_ids, {*each.adopted, *names.adopted})
        for ids, names, each in zip(given, met, wanted, strict=True)
    ]
    joined = with_joined(work, [(mine, each.project) for mine, each in zip(known, wanted, strict=True)])
    studies_of = _studies_of(work, set().union(*(each.patient_ids for each in joined)))
    adopted = studies_of_adopted(work, set().union(*(each.adopted for each in joined)))
    persons = []
    for ids, names, theirs, under in zip(given, met, joined, under_name, strict=True):
        of_patients = {
            *chain.from_iterable(studies_of.get(patient_id, ()) for patient_id in theirs.patient_ids),
            *chain.from_iterable(adopted.get(subject, ()) for subject in theirs.adopted),
        }
        is_met = bool(any(names)) or any(patient_id in studies_of for patient_id in ids)
        persons.append(_Person(*theirs, of_patients | (under & of_others), under - of_others, is_met))
    return persons


def _known_by(work: Work, groups: Sequence[Collection[str]]) -> list[Known]:
    """What the patients of these groups of studies are known by."""
    studies = set().union(*groups)
    patients, adopted = sole_patients(work, studies), sole_adopted(work, studies)
    return [
        Known(
            set().union(*(patients.get(study, ()) for study in group)),
            {adopted[study] for study in group if study in adopted},
        )
        for group in groups
    ]


def _studies_under(
    work: Work, wanted: Sequence[Withdrawal], given: Sequence[Collection[str]]
) -> tuple[list[set[str]], set[str]]:
    """Of each withdrawal, the studies that have one of its pseudonyms in its project; and those that say since whose
    they are, and are somebody else's: a rule took the pseudonym from what they said before.

    `given` are the PatientIDs: one under which a rule has requested something is a pseudonym of the project, too.
    """
    own = _own_names(work, set().union(*given))
    names = [
        {_Name(each.project, mark) for mark in _wanted_marks(work, each) if each.project is not None}
        | {name for patient_id in ids for name in own.get(patient_id, ()) if each.project in (None, name.project)}
        for each, ids in zip(wanted, given, strict=True)
    ]
    users = _users(work, set().union(*names))
    owners = _owners(work, set().union(*users.values()))
    of_others = {
        study
        for studies in users.values()
        for study, by_rule_at in studies.items()
        if by_rule_at is not None and study in owners and by_rule_at < owners[study].since
    }
    return [{study for name in theirs for study in users.get(name.mark, ())} for theirs in names], of_others


def _own_names(work: Work, patient_ids: Collection[str]) -> dict[str, set[_Name]]:
    """By PatientID, the projects for which rules have requested studies of the patient under just that."""
    studies_of = _studies_of(work, patient_ids)
    by_rules = work.execute(_OF_RULES, {"projects": [], "studies": list(set().union(*studies_of.values()))})
    own: dict[str, set[_Name]] = defaultdict(set)
    for event, payload in work.identities(by_rules.scalars().all()).values():
        pseudonym = without_padding(payload.get("pseudonym") or "")
        if event.data["study"] in studies_of.get(pseudonym, ()):
            project = event.data["project"]
            own[pseudonym].add(_Name(project, pseudonym_mark(work, project, pseudonym)))
    return own


def _users(work: Work, names: Collection[_Name]) -> dict[str, dict[str, int | None]]:
    """The studies under these pseudonyms, by the mark of each; with the request's position where a rule made it."""
    studies: dict[str, dict[str, int | None]] = defaultdict(dict)
    if not names:
        return studies
    marks = {name.mark for name in names}
    by_rules = work.execute(_OF_RULES, {"projects": list({name.project for name in names}), "studies": []})
    for position, (event, payload) in sorted(work.identities(by_rules.scalars().all()).items()):
        mark = pseudonym_mark(work, event.data["project"], payload.get("pseudonym") or "")
        if mark in marks:
            studies[mark][event.data["study"]] = position
    for row in work.execute(_UNDER_NAME, {"marks": list(marks)}):
        studies[row.fingerprint][row.study] = None
    return studies


def _scanned_under(work: Work, names: Collection[_Name]) -> dict[str, set[str]]:
    """The studies whose PatientID is one of these pseudonyms, under which they are requested, by its mark."""
    users = _users(work, names)
    patients = sole_patients(work, set().union(*users.values()))
    scanned: dict[str, set[str]] = defaultdict(set)
    for name in names:
        for study in users.get(name.mark, ()):
            if any(pseudonym_mark(work, name.project, each) == name.mark for each in patients.get(study, ())):
                scanned[name.mark].add(study)
    return scanned


def _uses_of(
    work: Work, wanted: Sequence[Withdrawal], persons: Sequence[_Person], owners: Mapping[str, _Owners]
) -> list[list[Use]]:
    """What was requested for each of these persons, in the projects from which they withdraw."""
    uses = _uses(work, {study for person in persons for study in person.studies})
    return [
        [
            use
            for study in person.studies
            for use in uses.get(study, ())
            if each.project in (None, use.project) and not person.has_no_part_in(study, owners, use)
        ]
        for each, person in zip(wanted, persons, strict=True)
    ]


def _uses(work: Work, studies: Collection[str]) -> dict[str, list[Use]]:
    """What was requested of these studies; with a blank pseudonym where that says nothing."""
    rows = work.execute(_USES, {"studies": list(studies), "in_force": list(IN_FORCE)}).all()
    events = work.identities({row.position for row in rows if row.named})
    uses: dict[str, list[Use]] = defaultdict(list)
    for row in rows:
        _, payload = events.get(row.position, (None, {}))
        pseudonym = payload.get("pseudonym") or ""
        uses[row.study].append(Use(row.study, row.project, pseudonym, row.position, row.kind, row.is_unsent))
    return uses


def _names(
    work: Work,
    wanted: Sequence[Withdrawal],
    persons: Sequence[_Person],
    theirs: Sequence[Sequence[Use]],
    owners: Mapping[str, _Owners],
) -> list[set[_Name]]:
    """The pseudonyms of each person: given to them, or in use for what was requested.

    Of a study of several patients, nobody knows whose pseudonym it has. What was asked for while the study was said to
    be somebody else's is theirs where a rule or a generated ID took it from that, or where others have it.
    """
    doubtful: list[dict[_Name, Use]] = []
    names: list[set[_Name]] = _given_names(work, wanted, persons)
    for used, named in zip(theirs, names, strict=True):
        doubtful.append({})
        for use in used:
            owner = owners.get(use.study)
            name = _Name(use.project, pseudonym_mark(work, use.project, use.pseudonym))
            if not name.mark or (owner is not None and len(owner.patient_ids) > 1):
                continue
            if owner is None or owner.since < use.position:
                named.add(name)
            elif use.kind not in _TAKEN_FROM_IT:
                doubtful[-1][name] = use
    users = _users(work, set().union(*doubtful))
    patients = sole_patients(work, set().union(*users.values()))
    for person, named, in_doubt in zip(persons, names, doubtful, strict=True):
        for name in in_doubt:
            if all(patients.get(study, set()) <= person.patient_ids for study in users[name.mark]):
                named.add(name)
    return names


def _doubted_marks(
    work: Work, wanted: Sequence[Withdrawal], persons: Sequence[_Person], owners: Mapping[str, _Owners]
) -> list[set[str]]:
    """Of each, the pseudonyms asked for studies while these were said to be theirs, and are somebody else's since."""
    uses = _uses(work, {study for person in persons for study in person.of_patients})
    return [
        {
            pseudonym_mark(work, use.project, use.pseudonym)
            for study in person.of_patients
            if person.has_no_part_in(study, owners)
            for use in uses.get(study, ())
            if each.project in (None, use.project)
            and use.position < owners[study].since
            and use.kind not in _TAKEN_FROM_IT
        }
        - {""}
        for each, person in zip(wanted, persons, strict=True)
    ]


def _given_names(work: Work, wanted: Sequence[Withdrawal], persons: Sequence[_Person]) -> list[set[_Name]]:
    """Of each withdrawal, the IDs that were given to whom it means."""
    names: dict[tuple[str | None, str], set[_Name]] = defaultdict(set)
    for project in {each.project for each in wanted}:
        patient_ids = set().union(
            *(person.patient_ids for each, person in zip(wanted, persons, strict=True) if each.project == project)
        )
        for patient_id, given in ids_of_patients(work, patient_ids, project):
            names[project, patient_id].add(_Name(given.project, given.mark))
    return [
        set().union(*(names.get((each.project, patient_id), ()) for patient_id in person.patient_ids))
        for each, person in zip(wanted, persons, strict=True)
    ]


def _owners(work: Work, studies: Collection[str]) -> dict[str, _Owners]:
    """Whose these studies are; those of which nobody can tell are absent."""
    patient_ids = patient_ids_of(work, studies)
    left_at = {row.study: row.position for row in work.execute(_LEFT, {"studies": list(studies)})}
    return {
        study: _Owners(
            set(map(without_padding, patient_ids.get(study, ()))),
            max(left_at.get(study, 0), *(patient.position for patient in patients)),
            left_at.get(study, 0),
        )
        for study, patients in patients_of(work, studies).items()
    }


def _studies_of(work: Work, patient_ids: Collection[str]) -> dict[str, set[str]]:
    """All studies that ever were these patients', scanners' padding included; whoever had none is absent.

    Of those that REDCap held before this system, its hash of the PatientID tells.
    """
    adopted = found_adopted(work, patient_ids)
    subjects = {subject: each for each, theirs in subjects_by_patient(work, patient_ids).items() for subject in theirs}
    prefix = study_stream("")
    studies: dict[str, set[str]] = defaultdict(set)
    for subject, of_adopted in studies_of_adopted(work, adopted.keys()).items():
        studies[adopted[subject]] |= of_adopted
    for row in work.execute(_STUDIES, {"subjects": list(subjects), "prefix": prefix}):
        studies[subjects[row.subject]].add(row.stream.removeprefix(prefix))
    return studies


def _wanted_marks(work: Work, wanted: Withdrawal) -> set[str]:
    """The marks of the pseudonyms that were given: those of one project."""
    if wanted.project is None:
        return set()
    return {pseudonym_mark(work, wanted.project, pseudonym) for pseudonym in wanted.pseudonyms} - {""}
