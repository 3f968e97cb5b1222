"""The life of a transfer request, ours and others'. `requests` has the states that these lead to.

`request` is the position of its TransferRequested.
"""

from typing import ClassVar, Literal

from processors.events.fact import Cause, OfStudy

Fate = Literal["unsent", "possibly sent", "sent"]


class TransferRequested(OfStudy, frozen=True, kw_only=True):
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


class TransferRetracted(OfStudy, frozen=True, kw_only=True):
    """A request is no longer wanted."""

    project: str
    request: int
    reason: str
    cause: Cause


class TransferPlaced(OfStudy, frozen=True, kw_only=True):
    """A row in REDCap asks for it: written by us, or one that somebody had made already (`found`).

    `since`: when it came to stand there, if that was before: by an import whose answer was lost.
    """

    request: int
    instance: int
    found: bool
    since: str | None = None


class TransferAmended(OfStudy, frozen=True, kw_only=True):
    """It stands in REDCap in the row of the request that it replaced; `since` then, where the row says so already."""

    request: int
    instance: int
    replaced: int
    since: str | None = None


class TransferWithdrawn(OfStudy, frozen=True, kw_only=True):
    """No row of a replaced or retracted request can be sent any more.

    `instance` is where it stood, None where it never did; `by` the request that replaced it, if one did.
    `fate`: whether it had been sent, or may have been, because the sender may hold a copy of the row.
    """

    project: str
    request: int
    instance: int | None
    by: int | None
    fate: Fate


class TransferRecalled(OfStudy, frozen=True, kw_only=True):
    """Its file was taken back from the sender's queue before the sender took it."""

    project: str
    request: int
    instance: int


class TransferStrayed(OfStudy, frozen=True, kw_only=True):
    """A row of a request that had ended can be sent all the same, and has to be ended again."""

    project: str
    request: int
    instance: int


class DoubleFound(OfStudy, frozen=True, kw_only=True):
    """Beside the row in which a request stands, another one of ours says the same: somebody put back a deleted one."""

    project: str
    request: int
    instance: int


class DoubleEnded(OfStudy, frozen=True, kw_only=True):
    """A request has one row again that can be sent."""

    project: str
    request: int


class TransferObserved(OfStudy, frozen=True, kw_only=True):
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


class SenderReport(OfStudy, frozen=True, kw_only=True):
    """What the sender has written into a row; `request` is None where that is somebody else's."""

    project: str
    event_name: str
    request: int | None
    instance: int


class TransferSent(SenderReport, frozen=True, kw_only=True):
    """A study was sent, for the first time or again. `sent_at` is as REDCap has it.

    With a date that was told of it before, it tells more of that sending, such as another study UID. `errors` are codes
    that are no errors (pixels were masked); `mapped_uids` the study UIDs under which it was sent.
    """

    sent_at: str
    errors: tuple[str, ...] = ()
    mapped_uids: tuple[str, ...] = ()


class TransferFailed(SenderReport, frozen=True, kw_only=True):
    """A study could not be sent: when it was tried, the codes ticked, and the class of the message."""

    tried_at: str | None
    errors: tuple[str, ...]
    failure: str | None


class TransferReopened(SenderReport, frozen=True, kw_only=True):
    """What the sender had reported was taken away."""


class TransferAdopted(OfStudy, frozen=True, kw_only=True):
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


class AdoptedTransferGone(OfStudy, frozen=True, kw_only=True):
    """An adopted request no longer stands there."""

    instance: int
