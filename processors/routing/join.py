"""An operator's word that two PatientIDs are one person's, in a project: what is held because of them goes on."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text

from ledger import store
from processors.errors import ConfigurationError
from processors.events.holds import RequestHeld
from processors.events.patients import PatientsJoined
from processors.gateway import Gateway, Work
from processors.routing.given_ids import given_ids
from processors.routing.identity import SHARED, Persons
from processors.routing.patients import patients_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Joining:
    """What an operator says: that the study's patient is the one who has its pseudonym in the project already.

    `other` names a study of that one, where several patients have it.
    """

    study: str
    project: str
    other: str | None
    by: str
    reason: str


def join(gateway: Gateway, joining: Joining) -> list[str]:
    """Records it; gives the studies of the other patient that it is about, none where AutoID alone knows that one.

    The next run goes on with what was held.

    Raises `ConfigurationError` where the study shares no pseudonym there, or it is not told with whom.
    """
    with gateway.begin() as work:
        store.lock_head(work.connection)
        persons = Persons(work, [joining.project])
        patient = _patient(work, persons, joining)
        others = _others(work, persons, joining, patient) or _given_to(work, persons, joining)
        if joining.other is not None:
            others = {each: studies for each, studies in others.items() if joining.other in studies}
        if len(others) != 1:
            raise ConfigurationError(_refusal(joining, others))
        ((other, studies),) = others.items()
        fact = PatientsJoined(
            study=joining.study,
            project=joining.project,
            patient=str(patient),
            counts_as=str(other),
            by=joining.by,
            reason=joining.reason,
        )
        work.record([fact])
    return sorted(studies)


def _patient(work: Work, persons: Persons, joining: Joining) -> UUID:
    patients = patients_of(work, [joining.study]).get(joining.study, [])
    if len(patients) != 1:
        raise ConfigurationError(
            f"Expected study {joining.study} to be of one patient whom the ledger can tell from others, found "
            f"{len(patients)}. Nothing was recorded."
        )
    _, told = work.identities([patients[0].position])[patients[0].position]
    persons.note(patients[0].subject, told.get("PatientID", ""))
    return persons.counts_as(joining.project, patients[0].subject)


# What is held, and what stands: on both sides it may be either.
_OTHERS = text("""
    with claims as (
         select study, project, fingerprint, patient from gateway.pseudonym_use
         union all
         select study, project, name_fingerprint, patient from gateway.held_request)
    select distinct other.study, other.patient
      from claims as mine join claims as other using (project, fingerprint)
     where mine.study = :study and project = :project and other.study <> :study and other.patient is not null
""")


def _others(work: Work, persons: Persons, joining: Joining, patient: UUID) -> dict[UUID, set[str]]:
    """The other patients who have a pseudonym of the study's in the project, with their studies."""
    others: dict[UUID, set[str]] = {}
    for row in work.execute(_OTHERS, {"study": joining.study, "project": joining.project}):
        counts_as = persons.counts_as(joining.project, row.patient)
        if counts_as != patient:
            others.setdefault(counts_as, set()).add(row.study)
    return others


_HELD = text("select position from gateway.held_request where study = :study and project = :project and kind = :kind")


def _given_to(work: Work, persons: Persons, joining: Joining) -> dict[UUID, set[str]]:
    """Those of whom nothing was requested yet and to whom AutoID gives what is asked for the study."""
    about = {"study": joining.study, "project": joining.project, "kind": SHARED}
    held = [RequestHeld.read(*each) for each in work.identities(work.execute(_HELD, about).scalars().all()).values()]
    names = {each.pseudonym for each in held if each.pseudonym is not None}
    own = set(persons.links([joining.project]))
    return {each.link: set() for each in given_ids(work, [joining.project], names=names) if each.link not in own}


def _refusal(joining: Joining, others: dict[UUID, set[str]]) -> str:
    about = f"study {joining.study} in project {joining.project!r}"
    if not others:
        return (
            f"Expected {about} to share a pseudonym with another patient's study; found none that does. "
            "`fiona-ledger explain` tells what is held for it, and why. Nothing was recorded."
        )
    each = "; ".join(", ".join(sorted(studies)) for studies in others.values())
    return (
        f"--with: {about} shares a pseudonym with {len(others)} other patients (studies {each}). Name a study of the "
        "one who is the same person. Nothing was recorded."
    )
