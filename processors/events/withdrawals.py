"""Participants who withdraw from research projects, and what has to be done about what was sent by then."""

from dataclasses import dataclass

from processors.events.fact import Fact, OfStudy


@dataclass(frozen=True, kw_only=True, slots=True)
class ParticipantWithdrew(Fact):
    """A patient has withdrawn from a project, None: from all.

    `patients` are keyed hashes of the PatientIDs, and of REDCap's hashes of them, `pseudonyms` of the pseudonyms in use
    in a project: by these, later studies are known for ever, also where the patient was forgotten. `record_id` is that
    of REDCap's list, None for an operator's word.

    `unmet`: pseudonyms of which nobody knew whose they are. `follows`: the withdrawal that turned out to mean this
    patient, too.
    """

    project: str | None
    patients: tuple[str, ...]
    pseudonyms: tuple[str, ...]
    by: str
    reason: str
    record_id: str | None = None
    unmet: tuple[str, ...] = ()
    follows: int | None = None

    @property
    def stream(self) -> str:
        """That of all withdrawals."""
        return "withdrawals"


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyWithdrawn(OfStudy):
    """The study is that of a patient who withdrew from the project, for which it had been requested."""

    project: str
    withdrawal: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskDone(OfStudy):
    """An operator has seen to it that what was sent is removed. `position` is the task's.

    `project`, `instance`, `what`, `sent_at` and `mapped_uids` are what the task was then: what the sender or a person
    writes there later is another one. The first ledgers have none of them.
    """

    position: int
    project: str = ""
    instance: int | None = None
    what: str = ""
    sent_at: str | None = None
    mapped_uids: tuple[str, ...] = ()
    by: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class WithdrawalEntryFact(Fact):
    """Something about a record of REDCap's list of withdrawals."""

    record_id: str

    @property
    def stream(self) -> str:
        """The record's."""
        return f"withdrawal/{self.record_id}"


@dataclass(frozen=True, kw_only=True, slots=True)
class WithdrawalEntryChanged(WithdrawalEntryFact):
    """An entry is new, or reads otherwise now; whom it names is not kept. What it asks for is `ParticipantWithdrew`.

    `withdrew_before`: somebody has withdrawn already by what the record said before, and stays withdrawn.
    """

    project: str
    problems: tuple[str, ...]
    fingerprint: str
    withdrew_before: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class WithdrawalEntryDoubted(WithdrawalEntryFact):
    """An entry is missing from an export, which may have left it out: not yet believed to be gone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WithdrawalEntryReturned(WithdrawalEntryFact):
    """A doubted entry is there again, as it was."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WithdrawalEntryRemoved(WithdrawalEntryFact):
    """An entry is gone from the list: two runs in succession have missed it. The withdrawal stands."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WithdrawalEntryDismissed(WithdrawalEntryFact):
    """An operator has looked into why the entry is gone, was changed, or says too little."""

    by: str
    reason: str
