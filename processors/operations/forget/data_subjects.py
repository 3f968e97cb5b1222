"""Data subjects, and what is sealed for them: a patient, a study, or a project's IDs. Gathering, no deciding.

To a patient belong, each with a key of its own:

* the patient, under whose key PatientID, PatientName and pseudonyms of requests are sealed;
* PatientIDs that were corrected to this one, and that nobody has any more: they came with the same name;
* the patient's studies, where something was sealed for a study alone: series without a PatientID, requests
  made after the patient was forgotten;
* entries of the coupling list that named one of these studies, by UID or accession number: each
  led from there to a pseudonym;
* the accession numbers of these studies, but for those that studies of others have as well;
* the links of the patient to auto-ID projects, found by the key that REDCap's AutoID knows patients by;
* studies that REDCap held before this system, and whom its hash of the PatientID stood for there.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from sqlalchemy import text

from ledger import store
from ledger.vault import SubjectName
from processors.errors import ConfigurationError
from processors.events.fact import study_stream
from processors.events.rules import CouplingEntryChanged
from processors.gateway import Work
from processors.operations.forget.corrections import SERIES_TYPES, corrected, identities
from processors.placeholders import ONLY_BLANKS
from processors.routing.adopted_patients import names_of_adopted
from processors.routing.patient_keys import link_subject, padded_key, patient_key
from processors.text import parts_of_name, without_padding

What = Literal["patient", "study", "autoid-project"]

_STUDY_PREFIX = study_stream("")


class UnknownDataSubject(ConfigurationError):
    """The ledger knows nothing of what is to be forgotten; nothing was changed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSubject:
    """One patient, the patient of one study, or all who have an ID in a project: the subjects that still have a key.

    `name` is the study's or project's; that of a patient is not kept. `secrets` must not stand in anything
    that is recorded. `alike`: the ledger knows this PatientID with other blanks around it, too. `elsewhere` are
    studies some of whose series came under another PatientID as well, which somebody has: what they said then stays.
    """

    what: What
    name: str = ""
    subjects: Mapping[str, Sequence[UUID]] = field(default_factory=dict)
    studies: Sequence[str] = ()
    secrets: frozenset[str] = frozenset()
    alike: bool = False
    elsewhere: tuple[str, ...] = ()

    @property
    def all_subjects(self) -> list[UUID]:
        """The subjects of all kinds."""
        return [subject for subjects in self.subjects.values() for subject in subjects]


def of_patients(work: Work, patient_ids: Sequence[str]) -> list[DataSubject]:
    """What belongs to each of these patients.

    Raises `UnknownDataSubject` where the ledger knows one of them not (any more). A forgotten
    patient is as unknown as one who never was here: that is what forgetting means.
    """
    blank = [number for number, patient_id in enumerate(patient_ids, start=1) if not patient_id.strip()]
    if blank:
        raise ConfigurationError(
            f"{_lines(blank)} of the input: a blank PatientID names nobody. Studies that came without one are "
            "forgotten with --study. Nothing was changed."
        )
    links = _link_scopes(work)
    names = {patient_id: _names(patient_id, links) for patient_id in patient_ids}
    subjects_by_name = work.vault.found(work.connection, [name for known in names.values() for name in known])
    known = {
        patient_id: [subjects_by_name[name] for name in names[patient_id] if name in subjects_by_name]
        for patient_id in dict.fromkeys(patient_ids)
    }
    alike = _alike(work, patient_ids)
    unknown = [number for number, patient_id in enumerate(patient_ids, start=1) if not known[patient_id]]
    if unknown:
        near = [number for number in unknown if patient_ids[number - 1] in alike]
        hint = f" It does know {_lines(near).lower()} with other blanks around it." if near else ""
        nobody = [number for number in unknown if work.placeholders.names_nobody(patient_ids[number - 1])]
        if nobody:
            hint += (
                f" {_lines(nobody)}: a placeholder (autoid.placeholders), which names nobody; studies that came with "
                "one are forgotten with --study."
            )
        raise UnknownDataSubject(
            f"{_lines(unknown)} of the input: the ledger knows nobody of this PatientID, be it that it never did or "
            f"that the patient was forgotten before: it cannot tell. A PatientID counts to the letter.{hint} Take "
            "out what is unknown and give the command again. Nothing was changed."
        )
    studies = _studies_of(work, [subject for subjects in known.values() for subject in subjects])
    return _gathered(
        work,
        [
            _Identified(
                what="patient",
                subjects=tuple(subjects),
                studies=tuple(sorted({study for subject in subjects for study in studies[subject]})),
                secrets=frozenset({patient_id}),
                alike=patient_id in alike,
            )
            for patient_id, subjects in known.items()
        ],
    )


def of_study(work: Work, study: str) -> DataSubject:
    """What belongs to this study: with its patient, of whom it must be the only one.

    Raises `UnknownDataSubject`, or `ConfigurationError` where the patient has other studies: what is sealed for one
    of them is sealed under the patient's key, and cannot be forgotten without the rest.
    """
    events = store.read_stream(work.connection, study_stream(study))
    if not events:
        raise UnknownDataSubject(f"The ledger knows no study {study!r}. Nothing was changed.")
    patients = _living(work, {event.subject for event in events}, "patient")
    others = {other for theirs in _studies_of(work, patients).values() for other in theirs} - {study}
    if others:
        raise ConfigurationError(
            f"Study {study} cannot be forgotten alone: what identifies its patient is sealed under one key for all "
            f"studies of the patient, and the ledger has {len(others)} more of them. Forget the patient with all "
            "studies: give the PatientID to `fiona-ledger forget --patient-id-stdin`. Nothing was changed."
        )
    sealed = [
        payload
        for payload in work.vault.unseal(work.connection, events).values()
        if not work.placeholders.names_nobody(payload.get("PatientID", ""))
    ]
    links = _link_scopes(work)
    names = [name for identity in sealed for name in _names(identity["PatientID"], links)]
    owner = _Identified(
        what="study",
        name=study,
        subjects=tuple(
            dict.fromkeys([*patients, *_of_this_alone(work, study), *work.vault.found(work.connection, names).values()])
        ),
        studies=(study,),
        secrets=frozenset(_secrets(work, sealed)),
    )
    return _gathered(work, [owner])[0]


def of_project(work: Work, project: str) -> DataSubject:
    """The links of all patients to this auto-ID project. Raises `UnknownDataSubject`."""
    links = work.execute(_LINKS, {"project": project}).all()
    if not links and not work.execute(_IS_PROJECT, {"project": project}).scalar_one():
        raise UnknownDataSubject(f"The ledger knows no auto-ID project {project!r}. Nothing was changed.")
    living = [row.subject for row in links if row.living]
    return DataSubject(what="autoid-project", name=project, subjects={"link": living} if living else {})


def of_subjects(work: Work, subjects: Collection[UUID]) -> DataSubject:
    """What has a key of these subjects, whoever they are."""
    studies = {study for theirs in _studies_of(work, subjects).values() for study in theirs}
    return DataSubject(what="patient", subjects=_by_kind(work, subjects), studies=tuple(sorted(studies)))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Identified:
    """A data subject as it was named: the subjects and studies known at the start."""

    what: What
    name: str = ""
    subjects: tuple[UUID, ...]
    studies: tuple[str, ...]
    secrets: frozenset[str]
    alike: bool = False


_STUDIES = text("""
    select distinct subject, stream from ledger.event
     where subject = any(:subjects) and starts_with(stream, :prefix)
""")
_ADOPTED = text("select patient as subject, study from gateway.adopted_study where patient = any(:subjects)")
_WHOSE = text("select patient from gateway.adopted_study where study = :study and patient is not null")
_LINK_SCOPES = text("select distinct scope from ledger.subject where kind = 'link'")
_LINKS = text("""
    select subject, wrapped_key is not null as living from ledger.subject where kind = 'link' and scope = :project
""")
_IS_PROJECT = text("select exists (select from gateway.autoid_project where project = :project)")
_KINDS = text("select subject, kind from ledger.subject where subject = any(:subjects) and wrapped_key is not null")
_ACCESSIONS = text("""
    select distinct stream, data ->> 'accession' as accession from ledger.event
     where stream = any(:streams) and type = any(:types) and data ->> 'accession' <> ''
""")
_SHARED = text("""
    select distinct accession
      from gateway.series join ledger.event using (position) join ledger.subject using (subject)
     where accession = any(:accessions) and wrapped_key is not null and event.subject <> all(:subjects)
""")
_ENTRIES = text("""
    select distinct subject, data ->> 'study' as study, data ->> 'accession' as accession
      from ledger.event join ledger.subject using (subject)
     where type = :type and wrapped_key is not null
       and (data ->> 'study' = any(:studies) or data ->> 'accession' = any(:accessions))
""")


def _names(patient_id: str, projects: Iterable[str]) -> list[SubjectName]:
    # A placeholder's key may be linked as well: from before it was called one, or by the scripts.
    keys = [key for find in (patient_key, padded_key) if (key := find(patient_id, ONLY_BLANKS)) is not None]
    links = [link_subject(project, key) for key in keys for project in projects]
    return [
        SubjectName("patient", "", patient_id),
        *names_of_adopted([without_padding(patient_id), patient_id]),
        *links,
    ]


def _link_scopes(work: Work) -> list[str]:
    return list(work.execute(_LINK_SCOPES).scalars())


def _of_this_alone(work: Work, study: str) -> list[UUID]:
    """Whom REDCap's hash stood for with this study and no other."""
    whose = work.execute(_WHOSE, {"study": study}).scalars().all()
    return [subject for subject, studies in _studies_of(work, whose).items() if studies == {study}]


def _alike(work: Work, patient_ids: Collection[str]) -> set[str]:
    """The PatientIDs that the ledger also knows with other blanks around them: DICOM pads, and receivers keep that."""
    variants: dict[SubjectName, str] = {}
    for patient_id in patient_ids:
        bare = patient_id.strip()
        for variant in (bare, f"{bare} ", f" {bare}", f"{bare}\x00"):
            if variant not in patient_ids:
                variants[SubjectName("patient", "", variant)] = patient_id
    return {variants[name] for name in work.vault.found(work.connection, variants)}


def _studies_of(work: Work, subjects: Collection[UUID]) -> dict[UUID, set[str]]:
    studies: dict[UUID, set[str]] = defaultdict(set)
    for row in work.execute(_STUDIES, {"subjects": list(subjects), "prefix": _STUDY_PREFIX}):
        studies[row.subject].add(row.stream.removeprefix(_STUDY_PREFIX))
    for row in work.execute(_ADOPTED, {"subjects": list(subjects)}):
        studies[row.subject].add(row.study)
    return studies


def _living(work: Work, subjects: Iterable[UUID | None], kind: str) -> list[UUID]:
    rows = work.execute(_KINDS, {"subjects": [subject for subject in subjects if subject is not None]})
    return [row.subject for row in rows if row.kind == kind]


def _gathered(work: Work, identified: Sequence[_Identified]) -> list[DataSubject]:
    """The data subjects as a whole; what belongs to two of them is counted with the first."""
    studies = {study for owner in identified for study in owner.studies}
    of_studies = work.vault.found(work.connection, [SubjectName("study", "", study) for study in studies])
    accessions = _accessions(work, studies)
    of_entries = _entry_subjects(work, studies, accessions)
    counted: set[UUID] = set()
    gathered = []
    links = _link_scopes(work)
    for owner in identified:
        others = corrected(work, owner.studies, owner.subjects)
        theirs = [other.subject for other in others if other.is_nobody]
        said = identities(work, [*owner.subjects, *theirs])
        names = [name for identity in said for name in _names(identity["PatientID"], links)] if theirs else []
        candidates = [
            *owner.subjects,
            *theirs,
            *work.vault.found(work.connection, names).values(),
            *(of_studies[name] for study in owner.studies if (name := SubjectName("study", "", study)) in of_studies),
            *(subject for study in owner.studies for subject in sorted(of_entries[study])),
        ]
        numbers = [accession for accession, named in accessions.items() if named & set(owner.studies)]
        candidates += _of_nobody_else(work, numbers, [*counted, *candidates])
        mine = [subject for subject in dict.fromkeys(candidates) if subject not in counted]
        counted.update(mine)
        gathered.append(
            DataSubject(
                what=owner.what,
                name=owner.name,
                subjects=_by_kind(work, mine),
                studies=owner.studies,
                secrets=owner.secrets | _secrets(work, said),
                alike=owner.alike,
                elsewhere=tuple(sorted({study for other in others if not other.is_nobody for study in other.studies})),
            )
        )
    return gathered


def _secrets(work: Work, said: Iterable[Mapping[str, str]]) -> set[str]:
    """What of these identities must not be recorded: a placeholder is nobody's, nor is a blank.

    Of names also their parts: people write them in another order, or one alone.
    """
    names = {
        identity["PatientName"] for identity in said if not work.placeholders.names_nobody(identity["PatientName"])
    }
    texts = {identity["PatientID"] for identity in said}.union(names, *map(parts_of_name, names))
    return {each for each in texts if each.strip() and not work.placeholders.names_nobody(each)}


def _accessions(work: Work, studies: Collection[str]) -> dict[str, set[str]]:
    """The accession numbers of these studies, each with those that have it."""
    accessions: dict[str, set[str]] = defaultdict(set)
    streams = {"streams": [study_stream(study) for study in studies], "types": SERIES_TYPES}
    for row in work.execute(_ACCESSIONS, streams):
        accessions[row.accession].add(row.stream.removeprefix(_STUDY_PREFIX))
    return accessions


def _of_nobody_else(work: Work, accessions: Sequence[str], subjects: Sequence[UUID]) -> list[UUID]:
    """Those of the accession numbers that no series has of another than these subjects."""
    asked = {"accessions": accessions, "subjects": subjects}
    shared = set(work.execute(_SHARED, asked).scalars())
    return sorted(UUID(accession) for accession in accessions if accession not in shared)


def _entry_subjects(
    work: Work, studies: Collection[str], accessions: Mapping[str, Collection[str]]
) -> dict[str, set[UUID]]:
    """For each study, the subjects of the coupling entries that have ever named it."""
    named: dict[str, set[UUID]] = defaultdict(set)
    wanted = {"type": CouplingEntryChanged.__name__, "studies": list(studies), "accessions": list(accessions)}
    for row in work.execute(_ENTRIES, wanted):
        for study in {row.study} & set(studies) | set(accessions.get(row.accession, ())):
            named[study].add(row.subject)
    return named


def _by_kind(work: Work, subjects: Collection[UUID]) -> dict[str, list[UUID]]:
    kinds: dict[str, list[UUID]] = defaultdict(list)
    for row in work.execute(_KINDS, {"subjects": list(subjects)}):
        kinds[row.kind].append(row.subject)
    return {kind: sorted(kinds[kind]) for kind in sorted(kinds)}


def _lines(numbers: Sequence[int]) -> str:
    return f"Line{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
