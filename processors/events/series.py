"""What arrives, changes and goes on disk. Fields that come from DICOM carry DICOM's keywords."""

from typing import ClassVar, Literal

from processors.events.fact import Fact, OfStudy, study_stream


class SeriesFact(Fact, frozen=True, kw_only=True):
    """What a series' summary says.

    `NumFiles` is None where it says none. `accession` is the subject that its accession number is, blank where it has
    none. Descriptions are sealed as well: people write names into them, and with a study's date they lead to a patient.

    `fingerprint` is a hash of all that is kept of the summary, `study_fingerprint` one of what is sealed of its study's
    row, `identity_fingerprint` one of the patient's identity: all under the key of the subject that the event is sealed
    for, so that they end with it.
    """

    SEALED: ClassVar[frozenset[str]] = frozenset(
        {
            "PatientID",
            "PatientName",
            "AccessionNumber",
            "StudyDescription",
            "SeriesDescription",
            "InstitutionName",
            "SequenceName",
        }
    )

    StudyInstanceUID: str
    SeriesInstanceUID: str
    StudyDate: str
    StudyTime: str
    SeriesDate: str
    SeriesTime: str
    NumFiles: int | None
    ClassifyType: tuple[str, ...]
    AETitleCaller: str
    AETitleCalled: str
    CallerIP: str
    accession: str
    fingerprint: str
    study_fingerprint: str
    identity_fingerprint: str
    PatientID: str | None = None
    PatientName: str | None = None
    AccessionNumber: str | None = None
    StudyDescription: str | None = None
    SeriesDescription: str | None = None
    InstitutionName: str | None = None
    SequenceName: str | None = None

    @property
    def stream(self) -> str:
        """Its study's."""
        return study_stream(self.StudyInstanceUID)


class SeriesDiscovered(SeriesFact, frozen=True, kw_only=True):
    """A series has arrived that was not known before."""


class SeriesRevised(SeriesFact, frozen=True, kw_only=True):
    """The summary of a known series says something else now."""


class StudyVanished(Fact, frozen=True, kw_only=True):
    """A study's folder is no longer on disk."""

    StudyInstanceUID: str

    @property
    def stream(self) -> str:
        """The study's."""
        return study_stream(self.StudyInstanceUID)


class StudyReturned(Fact, frozen=True, kw_only=True):
    """A study that had vanished is on disk again, or lies at another site still, which is the event's."""

    StudyInstanceUID: str

    @property
    def stream(self) -> str:
        """The study's."""
        return study_stream(self.StudyInstanceUID)


class SeriesVanished(Fact, frozen=True, kw_only=True):
    """A series' file is no longer on disk, though others of its study are."""

    StudyInstanceUID: str
    SeriesInstanceUID: str

    @property
    def stream(self) -> str:
        """Its study's."""
        return study_stream(self.StudyInstanceUID)


class SeriesReturned(Fact, frozen=True, kw_only=True):
    """A series that had vanished by itself is on disk again."""

    StudyInstanceUID: str
    SeriesInstanceUID: str

    @property
    def stream(self) -> str:
        """Its study's."""
        return study_stream(self.StudyInstanceUID)


class FileRejected(Fact, frozen=True, kw_only=True):
    """A file below the raw folder is no usable summary. `digest` is of the content that was rejected."""

    path: str
    reason: str
    digest: str

    @property
    def stream(self) -> str:
        """The file's, named by its path below the raw folder."""
        return f"file/{self.path}"


class RejectionResolved(Fact, frozen=True, kw_only=True):
    """A rejected file can be read now, or is gone."""

    path: str
    how: Literal["readable", "gone"]

    @property
    def stream(self) -> str:
        """The file's."""
        return f"file/{self.path}"


class StudyRequestedByOthers(OfStudy, frozen=True, kw_only=True):
    """While IDs were given, REDCap held a request for the study that the ledger did not know of."""
