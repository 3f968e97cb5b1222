"""The life of a transfer request, ours or somebody else's. All stand in `study/UID`.

A `request` is the position of its TransferRequested; an `instance` the repeat instance of its row in REDCap.
"""

from dataclasses import dataclass
from typing import ClassVar

from processors.events.cause import CAUSE, Cause
from processors.events.fact import LIST, Nested, StudyFact


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferRequested(StudyFact):
    """It was decided that a study is to go to a project, under a pseudonym.

    `whole_match`: the rule's pattern matched all of the text that became the pseudonym, or no rule was the cause.
    `replaces` are the earlier requests in whose place it was made.
    """

    sealed = frozenset({"pseudonym"})
    nested: ClassVar[dict[str, Nested]] = {"cause": CAUSE, "replaces": LIST}

    project: str
    event_name: str
    cause: Cause
    whole_match: bool
    replaces: tuple[int, ...]
    pseudonym: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferRetracted(StudyFact):
    """It was decided that a request is to be withdrawn.

    `cause` is what no longer asks for it.
    """

    nested: ClassVar[dict[str, Nested]] = {"cause": CAUSE}

    project: str
    request: int
    reason: str
    cause: Cause


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferPlaced(StudyFact):
    """A request stands in REDCap as a row of its own.

    `found`: a row that asks for the same stood there already, so that none was written.
    """

    request: int
    instance: int
    found: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferAmended(StudyFact):
    """A request stands in REDCap in the row of an earlier one (`replaced`), which had not been sent."""

    request: int
    instance: int
    replaced: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferReplaced(StudyFact):
    """A request gave way in REDCap to a newer one (`by`).

    `sent`: its row had been sent, so that a person has to look downstream; else it was emptied.
    """

    project: str
    request: int
    by: int
    sent: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class RetractionDelivered(StudyFact):
    """A withdrawn request is done with in REDCap.

    `instance` is None where it had no row. `sent`: the row had been sent, so that a person has to look downstream.
    """

    project: str
    request: int
    instance: int | None
    sent: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reported(StudyFact):
    project: str
    event_name: str
    request: int | None
    instance: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferSent(_Reported):
    """The sender has sent a request; `request` is None where it is somebody else's.

    `sent_at` is when, as REDCap has it.
    """

    sent_at: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferFailed(_Reported):
    """The sender has given up on a request; `request` is None where it is somebody else's.

    `errors` are the codes that it ticked, `failure` is the class that they fall into.
    """

    nested: ClassVar[dict[str, Nested]] = {"errors": LIST}

    errors: tuple[str, ...]
    failure: str | None


class TransferReopened(_Reported):
    """The sender's report about a request was taken away; `request` is None where it is somebody else's."""

    __slots__ = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferObserved(StudyFact):
    """Somebody else's request was read in REDCap: it is new, or asks for something else now.

    `fingerprint` is a keyed hash of what it asks for.
    """

    sealed = frozenset({"pseudonym"})

    project: str
    event_name: str
    instance: int
    fingerprint: str
    pseudonym: str | None = None


class StudyRequestedByOthers(StudyFact):
    """Somebody else has requested a study's transfer in REDCap, so that it gets no generated ID.

    Only that was asked: what the request says was not read.
    """

    __slots__ = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferAdopted(StudyFact):
    """A request that stood in REDCap before this system was taken into the ledger, or has changed since.

    `requested` is the minute that its row tells; None where it tells none.
    """

    sealed = frozenset({"pseudonym"})

    project: str
    event_name: str
    instance: int
    sent: bool
    requested: str | None
    pseudonym: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AdoptedTransferGone(StudyFact):
    """A request that was adopted stands in REDCap no longer."""

    instance: int
