"""The life of a transfer request, ours and others'. `requests` has the states that these lead to.

`request` is the position of its TransferRequested.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from processors.events.fact import Cause, OfStudy

Fate = Literal["unsent", "possibly sent", "sent"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferRequested(OfStudy):
    """It was decided that the study goes to the project. `replaces` are requests in whose place it was made.

    `whole_match` is False where a rule's pattern matched only the start of what became the pseudonym.
    `name_fingerprint` is a keyed hash of project and pseudonym, by which the pseudonym's users are found; None where
    patients are not compared: a rule takes it from the PatientID or PatientName. `patient` is the subject for whom it
    is used, None where the PatientID is the pseudonym, or there is none; that of the study where it is of two.
    """

    SEALED: ClassVar[frozenset[str]] = frozenset({"pseudonym"})

    project: str
    event_name: str
    cause: Cause
    whole_match: bool
    replaces: tuple[int, ...]
    name_fingerprint: str | None = None
    patient: str | None = None
    pseudonym: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferRetracted(OfStudy):
    """A request is no longer wanted."""

    project: str
    request: int
    reason: str
    cause: Cause


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferPlaced(OfStudy):
    """A row in REDCap asks for it: written by us, or one that somebody had made already (`found`).

    `since`: when it came to stand there, if that was before: by an import whose answer was lost.
    """

    request: int
    instance: int
    found: bool
    since: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferAmended(OfStudy):
    """It stands in REDCap in the row of the request that it replaced; `since` then, where the row says so already."""

    request: int
    instance: int
    replaced: int
    since: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferWithdrawn(OfStudy):
    """No row of a replaced or retracted request can be sent any more.

    `instance` is where it stood, None where it never did; `by` the request that replaced it, if one did.
    `fate`: whether it had been sent, or may have been, because the sender may hold a copy of the row.
    """

    project: str
    request: int
    instance: int | None
    by: int | None
    fate: Fate


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferRecalled(OfStudy):
    """Its file was taken back from the sender's queue before the sender took it."""

    project: str
    request: int
    instance: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferStrayed(OfStudy):
    """A row of a request that had ended can be sent all the same, and has to be ended again."""

    project: str
    request: int
    instance: int


@dataclass(frozen=True, kw_only=True, slots=True)
class DoubleFound(OfStudy):
    """Beside the row in which a request stands, another one of ours says the same: somebody put back a deleted one."""

    project: str
    request: int
    instance: int


@dataclass(frozen=True, kw_only=True, slots=True)
class DoubleEnded(OfStudy):
    """A request has one row again that can be sent."""

    project: str
    request: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferObserved(OfStudy):
    """Somebody else's request stands in REDCap. `fingerprint` is of what it asks for.

    `name_fingerprint` is as that of `TransferRequested`; None where the row has no name.
    """

    SEALED: ClassVar[frozenset[str]] = frozenset({"pseudonym"})

    project: str
    event_name: str
    instance: int
    fingerprint: str
    name_fingerprint: str | None = None
    pseudonym: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SenderReport(OfStudy):
    """What the sender has written into a row; `request` is None where that is somebody else's."""

    project: str
    event_name: str
    request: int | None
    instance: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferSent(SenderReport):
    """A study was sent, for the first time or again. `sent_at` is as REDCap has it.

    With a date that was told of it before, it tells more of that sending, such as another study UID. `errors` are codes
    that are no errors (pixels were masked); `mapped_uids` the study UIDs under which it was sent.
    """

    sent_at: str
    errors: tuple[str, ...] = ()
    mapped_uids: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferFailed(SenderReport):
    """A study could not be sent: when it was tried, the codes ticked, and the class of the message."""

    tried_at: str | None
    errors: tuple[str, ...]
    failure: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferReopened(SenderReport):
    """What the sender had reported was taken away."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferAdopted(OfStudy):
    """A request stood in REDCap before this system; `requested` is its minute, None where it tells none.

    `name_fingerprint` is as that of `TransferRequested`; None where the row has no name.
    """

    SEALED: ClassVar[frozenset[str]] = frozenset({"pseudonym"})

    project: str
    event_name: str
    instance: int
    sent: bool
    requested: str | None
    name_fingerprint: str | None = None
    pseudonym: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AdoptedTransferGone(OfStudy):
    """An adopted request no longer stands there."""

    instance: int
