"""Generated IDs: the projects that want them, the IDs in use, and the studies that wait for one."""

from dataclasses import dataclass
from typing import ClassVar

from processors.events.fact import Fact, OfStudy


@dataclass(frozen=True, kw_only=True, slots=True)
class AutoidProjectFact(Fact):
    """Something about a record of the projects' list."""

    record_id: str

    @property
    def stream(self) -> str:
        """The record's."""
        return f"autoid-project/{self.record_id}"


@dataclass(frozen=True, kw_only=True, slots=True)
class AutoidProjectChanged(AutoidProjectFact):
    """A project is new in the list, or reads otherwise now. `wanted`: it asks for generated IDs.

    `closed_by` says in words what closes it, whatever the day; its approval is good from `starts` to `ends` (ISO 8601,
    blank where the list does not tell).
    """

    project: str
    pattern: str
    aetitle: str
    wanted: bool
    problems: tuple[str, ...]
    fingerprint: str
    closed_by: str = ""
    starts: str = ""
    ends: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class AutoidProjectDoubted(AutoidProjectFact):
    """A project is missing from an export, which may have left it out: not yet believed to be gone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AutoidProjectReturned(AutoidProjectFact):
    """A doubted project is there again, as it was."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AutoidProjectRemoved(AutoidProjectFact):
    """A project is gone from the list: two runs in succession have missed it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class IdFact(Fact):
    """Something about an ID of a project."""

    project: str
    value: str

    @property
    def stream(self) -> str:
        """That of all IDs of the project."""
        return autoid_stream(self.project)


@dataclass(frozen=True, kw_only=True, slots=True)
class IdGenerated(IdFact):
    """An ID was drawn for a patient (`key`, REDCap's hash), from the pattern that the project had then."""

    SEALED: ClassVar[frozenset[str]] = frozenset({"key"})

    pattern: str
    project_position: int
    key: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class IdAdopted(IdFact):
    """AutoID held this ID of a patient already.

    `forgotten` is the subject that the patient was for the ledger before being forgotten, None where never.
    """

    SEALED: ClassVar[frozenset[str]] = frozenset({"key"})

    record_id: str
    forgotten: str | None = None
    key: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class IdReserved(IdFact):
    """Somebody else's request carries this ID: it is not drawn."""


@dataclass(frozen=True, kw_only=True, slots=True)
class IdDelivered(IdFact):
    """AutoID holds the drawn ID."""

    record_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class IdMissing(IdFact):
    """AutoID has lost the drawn ID, as a backup does that is older: it is to be stored there again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ContradictionFound(IdFact):
    """An entry of AutoID contradicts another, or the ledger."""

    SEALED: ClassVar[frozenset[str]] = frozenset({"key"})

    record_id: str
    details: str
    key: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ContradictionResolved(Fact):
    """An entry of AutoID contradicts nothing any more."""

    project: str
    record_id: str

    @property
    def stream(self) -> str:
        """That of all IDs of the project."""
        return autoid_stream(self.project)


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyHeld(OfStudy):
    """A study that should get an ID cannot, for this reason."""

    project: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyReleased(OfStudy):
    """The reason is gone."""

    project: str
    reason: str


def autoid_stream(project: str) -> str:
    """The stream of all IDs of one project."""
    return f"autoid/{project}"
