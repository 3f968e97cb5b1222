"""Studies that should get an ID and cannot: held with a reason, for everybody to see, and never guessed."""

from collections.abc import Sequence

from sqlalchemy import text

from processors.autoid.candidates import Candidate
from processors.events.holds import WITHDREW
from processors.events.pseudonyms import StudyHeld
from processors.gateway import Work

NO_PATIENT_ID = "no PatientID"
PROJECT_UNUSABLE = "its auto-ID project cannot be used"
CONTRADICTED = "AutoID contradicts itself about its patient"
REFUSED = "REDCap refuses its ID in AutoID"
GONE = "gone from disk"
TWO_PATIENTS = "two patients in one study"
CLOSED = "project is closed"
LASTING = (NO_PATIENT_ID, PROJECT_UNUSABLE, GONE, TWO_PATIENTS, WITHDREW)
"""Reasons that pass only when the study or the project changes, or the study comes back to the disk."""

_HELD = text("select study, project, reason from gateway.held_study where study = any(:studies)")
_ALL_HELD = text("""
    select study from gateway.held_study join gateway.study using (study) where site = :site order by study
""")


def reasons(work: Work, studies: Sequence[Candidate]) -> dict[str, tuple[str, str]]:
    """The project and reason that those of the studies are held for which are."""
    rows = work.execute(_HELD, {"studies": [study.study for study in studies]})
    return {row.study: (row.project, row.reason) for row in rows}


def held_studies(work: Work) -> list[str]:
    """All studies of the site that are held."""
    return list(work.execute(_ALL_HELD, {"site": work.site}).scalars())


def hold(work: Work, project: str, studies: Sequence[Candidate], reason: str) -> None:
    """Records that the studies wait for the reason to go."""
    work.record(newly_held(work, project, studies, reason))


def newly_held(work: Work, project: str, studies: Sequence[Candidate], reason: str) -> list[StudyHeld]:
    """A fact for each study that is not held for this reason yet, or was looked at again in vain.

    The latter because it or its project has changed: without a newer event it would count as changed for ever.
    """
    known = reasons(work, studies) if studies else {}
    return [
        StudyHeld(study=study.study, project=project, reason=reason)
        for study in studies
        if study.changed or known.get(study.study) != (project, reason)
    ]
