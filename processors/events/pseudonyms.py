"""Generated IDs: who takes part, which IDs are in use, what AutoID contradicts itself about, who waits.

A project of the list stands in `autoid-project/RECORD`, an ID in `autoid/PROJECT`, a study that waits in `study/UID`.
A `key` is the hash of a patient's ID that AutoID knows the patient by.
"""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from processors.events.fact import LIST, Fact, Nested, StudyFact
from processors.events.streams import autoid_project_stream, autoid_stream


@dataclass(frozen=True, kw_only=True, slots=True)
class _ListedProjectFact(Fact):
    record_id: str

    @property
    def stream(self) -> str:
        """The stream of the project's record in the list."""
        return autoid_project_stream(self.record_id)


@dataclass(frozen=True, kw_only=True, slots=True)
class AutoidProjectChanged(_ListedProjectFact):
    """A project is new in REDCap's list, or its entry says something else now.

    `pattern` is what its IDs look like, `aetitle` the called AE title of its studies; `wanted`: it takes part.
    `problems` say, for a person, why it cannot; `fingerprint` is a keyed hash of all that the entry says.
    """

    nested: ClassVar[dict[str, Nested]] = {"problems": LIST}

    project: str
    pattern: str
    aetitle: str
    wanted: bool
    problems: tuple[str, ...]
    fingerprint: str


class AutoidProjectRemoved(_ListedProjectFact):
    """A project is no longer in REDCap's list."""

    __slots__ = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class _ProjectFact(Fact):
    project: str

    @property
    def stream(self) -> str:
        """The stream of the project's IDs."""
        return autoid_stream(self.project)


@dataclass(frozen=True, kw_only=True, slots=True)
class IdGenerated(_ProjectFact):
    """An ID was drawn for a patient.

    `project_position` is that of the event that holds the project's entry as it was then.
    """

    sealed = frozenset({"key"})

    value: str
    pattern: str
    project_position: int
    key: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class IdAdopted(_ProjectFact):
    """A patient's ID was found in AutoID.

    `forgotten` is the subject of whom it was before: a patient who was forgotten and has come back.
    """

    sealed = frozenset({"key"})
    nested: ClassVar[dict[str, Nested]] = {"forgotten": Nested(UUID, str)}

    value: str
    record_id: str
    forgotten: UUID | None = None
    key: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class IdReserved(_ProjectFact):
    """An ID must not be drawn: somebody else's transfer request carries it, or AutoID does not say whose it is."""

    value: str


@dataclass(frozen=True, kw_only=True, slots=True)
class IdDelivered(_ProjectFact):
    """An ID that was drawn stands in AutoID."""

    value: str
    record_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ContradictionFound(_ProjectFact):
    """An entry of AutoID gives a patient a second ID, or an ID to a second patient.

    `details` say which, for a person.
    """

    sealed = frozenset({"key"})

    record_id: str
    value: str
    details: str
    key: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ContradictionResolved(_ProjectFact):
    """An entry of AutoID contradicts others no longer."""

    record_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Waiting(StudyFact):
    project: str
    reason: str


class StudyHeld(_Waiting):
    """A study should get an ID of a project and cannot, for that reason."""

    __slots__ = ()


class StudyReleased(_Waiting):
    """A study is no longer held for an ID of a project."""

    __slots__ = ()
