"""Generated IDs: the projects that want them, the IDs in use, and the studies that wait for one."""

from typing import ClassVar

from processors.events.fact import Fact, OfStudy


class AutoidProjectFact(Fact, frozen=True, kw_only=True):
    """Something about a record of the projects' list."""

    record_id: str

    @property
    def stream(self) -> str:
        """The record's."""
        return f"autoid-project/{self.record_id}"


class AutoidProjectChanged(AutoidProjectFact, frozen=True, kw_only=True):
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


class AutoidProjectDoubted(AutoidProjectFact, frozen=True, kw_only=True):
    """A project is missing from an export, which may have left it out: not yet believed to be gone."""


class AutoidProjectReturned(AutoidProjectFact, frozen=True, kw_only=True):
    """A doubted project is there again, as it was."""


class AutoidProjectRemoved(AutoidProjectFact, frozen=True, kw_only=True):
    """A project is gone from the list: two runs in succession have missed it."""


class IdFact(Fact, frozen=True, kw_only=True):
    """Something about an ID of a project.

    `fingerprint` is a keyed hash of project and ID, equal for this very ID alone: by it an ID is found, and given to
    nobody else for ever. So it has to outlive forgetting, and is made with the index key instead of the patient's. It
    cannot be read, but whoever has the database *and* the master key can confirm a guess, as with a coupled pseudonym
    (`name_fingerprint`, equal for what people take for one). A hash that confirms nothing, or a shorter one that fits
    many IDs, could not tell which ID must not be drawn again.
    """

    project: str
    fingerprint: str

    @property
    def stream(self) -> str:
        """That of all IDs of the project."""
        return autoid_stream(self.project)


class PatientsIdFact(IdFact, frozen=True, kw_only=True):
    """Something about the ID (`value`) of a patient (`key`, REDCap's hash), sealed for the link of both."""

    SEALED: ClassVar[frozenset[str]] = frozenset({"value", "key"})

    name_fingerprint: str | None
    value: str | None = None
    key: str | None = None


class IdGenerated(PatientsIdFact, frozen=True, kw_only=True):
    """An ID was drawn for a patient, from the pattern that the project had then."""

    pattern: str
    project_position: int


class IdAdopted(PatientsIdFact, frozen=True, kw_only=True):
    """AutoID held this ID of a patient already.

    `forgotten` is the subject that the patient was for the ledger before being forgotten, None where never.
    """

    record_id: str
    forgotten: str | None = None


class IdReserved(IdFact, frozen=True, kw_only=True):
    """Somebody else's request carries this ID, or an entry of AutoID that says of nobody: it is not drawn.

    The ID itself is not kept: nobody knows under whose key it should end. `pattern` is the naming pattern that it is
    known to be of, blank where nobody looked.
    """

    name_fingerprint: str | None
    pattern: str = ""


class IdDelivered(IdFact, frozen=True, kw_only=True):
    """AutoID holds the drawn ID."""

    record_id: str


class IdMissing(IdFact, frozen=True, kw_only=True):
    """AutoID has lost the drawn ID, as a backup does that is older: it is to be stored there again."""


class ContradictionFound(PatientsIdFact, frozen=True, kw_only=True):
    """An entry of AutoID contradicts another, or the ledger."""

    record_id: str
    details: str


class ContradictionResolved(Fact, frozen=True, kw_only=True):
    """An entry of AutoID contradicts nothing any more."""

    project: str
    record_id: str

    @property
    def stream(self) -> str:
        """That of all IDs of the project."""
        return autoid_stream(self.project)


class StudyHeld(OfStudy, frozen=True, kw_only=True):
    """A study that should get an ID cannot, for this reason."""

    project: str
    reason: str


class StudyReleased(OfStudy, frozen=True, kw_only=True):
    """The reason is gone."""

    project: str
    reason: str


def autoid_stream(project: str) -> str:
    """The stream of all IDs of one project."""
    return f"autoid/{project}"
