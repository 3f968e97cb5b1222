"""What is seen on disk: series, studies that come and go, files that are no summaries.

Series and studies stand in `study/UID`, files in `file/PATH`. Keys that come from DICOM carry DICOM's keywords.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from processors.events.fact import LIST, Fact, Nested
from processors.events.streams import file_stream, study_stream


@dataclass(frozen=True, kw_only=True, slots=True)
class _StudyOnDisk(Fact):
    StudyInstanceUID: str

    @property
    def stream(self) -> str:
        """The stream of the study."""
        return study_stream(self.StudyInstanceUID)


@dataclass(frozen=True, kw_only=True, slots=True)
class _SeriesContent(_StudyOnDisk):
    sealed = frozenset({"PatientID", "PatientName"})
    nested: ClassVar[dict[str, Nested]] = {"ClassifyType": LIST}

    SeriesInstanceUID: str
    StudyDescription: str
    StudyDate: str
    StudyTime: str
    InstitutionName: str
    AccessionNumber: str
    SeriesDescription: str
    SeriesDate: str
    SeriesTime: str
    SequenceName: str
    NumFiles: int | None
    ClassifyType: tuple[str, ...]
    AETitleCaller: str
    AETitleCalled: str
    CallerIP: str
    fingerprint: str
    identity_fingerprint: str
    PatientID: str | None = None
    PatientName: str | None = None


class SeriesDiscovered(_SeriesContent):
    """A series was seen for the first time.

    `fingerprint` is a keyed hash of all that is kept of it, `identity_fingerprint` of whose it is. `NumFiles` is
    None where the summary does not tell.
    """

    __slots__ = ()


class SeriesRevised(_SeriesContent):
    """The summary of a known series says something else now.

    The fields are those of SeriesDiscovered: what it says now, all of it.
    """

    __slots__ = ()


class StudyVanished(_StudyOnDisk):
    """A study's files are no longer on disk."""

    __slots__ = ()


class StudyReturned(_StudyOnDisk):
    """A vanished study's files are on disk again."""

    __slots__ = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class _FileFact(Fact):
    path: str

    @property
    def stream(self) -> str:
        """The stream of the file."""
        return file_stream(self.path)


@dataclass(frozen=True, kw_only=True, slots=True)
class FileRejected(_FileFact):
    """A file could not be used as a summary.

    `path` is below the raw folder; `reason` is for a person, without values; `digest` tells contents apart.
    """

    reason: str
    digest: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RejectionResolved(_FileFact):
    """A rejected file has been mended ("readable"), or is there no more ("gone")."""

    how: Literal["readable", "gone"]
