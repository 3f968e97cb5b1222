"""Whose a study is: identity corrected after a request, two patients in one study, two names of one patient."""

from typing import Literal

from processors.events.fact import OfStudy

Consequence = Literal["stands", "amended", "withdrawn"]


class StudyChangeFound(OfStudy, frozen=True, kw_only=True):
    """What a request rests on has changed: its study's series say something else now.

    `changed` are DICOM's keywords of what they say otherwise. A request that is `withdrawn` or `amended` may have
    been sent by then: its TransferWithdrawn tells.
    """

    project: str
    request: int
    changed: tuple[str, ...]
    consequence: Consequence


class TwoPatientsFound(OfStudy, frozen=True, kw_only=True):
    """The study's series on disk are of two patients or more. `patients`: the series of each."""

    patients: tuple[tuple[str, ...], ...]


class TwoPatientsResolved(OfStudy, frozen=True, kw_only=True):
    """The study's series on disk are of one patient again."""


class TwoNamesFound(OfStudy, frozen=True, kw_only=True):
    """The study's PatientName shares no part of three letters with those of other studies with the same PatientID.

    `studies` are the others. No name is kept.
    """

    studies: tuple[str, ...]


class PatientRecognised(OfStudy, frozen=True, kw_only=True):
    """For whom the study's requests use a pseudonym in a project, where that was not known, or is somebody else now.

    `patient` is the subject; None where the study's PatientID has turned out to be the pseudonym itself. `request` is
    one, for the project's event `event_name`, that was not known to use the pseudonym: a rule had made it, or it was
    taken to have ended unsent; then `patient` may be None as well because nobody can tell. `requested_for` is whose the
    study was said to be when that was requested; of a rule's, the same as `patient`.
    """

    project: str
    name_fingerprint: str
    patient: str | None
    request: int | None = None
    event_name: str = ""
    requested_for: str | None = None


class PatientsJoined(OfStudy, frozen=True, kw_only=True):
    """An operator says that the study's patient and another are one person: in the project they count as one."""

    project: str
    patient: str
    counts_as: str
    by: str
    reason: str
