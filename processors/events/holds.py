"""Requests that are asked for and not made: held, each for a reason that a person can settle."""

from typing import ClassVar, Final, Literal

from processors.events.fact import Cause, OfStudy

HoldKind = Literal[
    "two patients, one pseudonym",
    "one patient, two pseudonyms",
    "pseudonym does not fit",
    "project is closed",
    "unknown project",
    "participant withdrew",
]
WITHDREW: Final = "participant withdrew"
"""For this reason, nothing of the patient goes to the project for ever."""


class RequestHeld(OfStudy, frozen=True, kw_only=True):
    """What is asked for a study, project and event is not requested, for this reason; each run decides it again.

    `details` says what about it is wrong, never a value of it; `studies` are others that are concerned.
    `whole_match`, `name_fingerprint` and `patient` are those of `TransferRequested`.
    """

    SEALED: ClassVar[frozenset[str]] = frozenset({"pseudonym"})

    project: str
    event_name: str
    cause: Cause
    whole_match: bool
    kind: HoldKind
    details: str
    studies: tuple[str, ...] = ()
    name_fingerprint: str | None = None
    patient: str | None = None
    pseudonym: str | None = None


class RequestQuestioned(OfStudy, frozen=True, kw_only=True):
    """What is requested stands, though this speaks against it: a person should look at it."""

    project: str
    event_name: str
    kind: HoldKind
    details: str
    studies: tuple[str, ...] = ()


class RequestReleased(OfStudy, frozen=True, kw_only=True):
    """The reason is gone, or nothing asks for it any more."""

    project: str
    event_name: str
