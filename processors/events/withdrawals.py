"""Participants who withdraw from research projects, and what has to be done about what was sent by then."""

from processors.events.fact import Fact, OfStudy


class ParticipantWithdrew(Fact, frozen=True, kw_only=True):
    """A patient has withdrawn from a project, None: from all.

    `patients` are keyed hashes of the PatientIDs, and of REDCap's hashes of them, `pseudonyms` of the pseudonyms in use
    in a project: by these, later studies are known for ever, also where the patient was forgotten. `record_id` is that
    of REDCap's list, None for an operator's word.

    `unmet`: pseudonyms of which nobody knew whose they are. `follows`: the withdrawal that turned out to mean this
    patient, too. `doubted`: keyed hashes of the studies that were ever said to be the patient's, and of the pseudonyms
    that these had while they were, and whose studies are somebody else's since. What is asked for by them is shown.
    """

    project: str | None
    patients: tuple[str, ...]
    pseudonyms: tuple[str, ...]
    by: str
    reason: str
    record_id: str | None = None
    unmet: tuple[str, ...] = ()
    follows: int | None = None
    doubted: tuple[str, ...] = ()

    @property
    def stream(self) -> str:
        """That of all withdrawals."""
        return "withdrawals"


class StudyWithdrawn(OfStudy, frozen=True, kw_only=True):
    """The study is that of a patient who withdrew from the project, for which it had been requested."""

    project: str
    withdrawal: int


class TaskDone(OfStudy, frozen=True, kw_only=True):
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


class WithdrawalEntryFact(Fact, frozen=True, kw_only=True):
    """Something about a record of REDCap's list of withdrawals."""

    record_id: str

    @property
    def stream(self) -> str:
        """The record's."""
        return f"withdrawal/{self.record_id}"


class WithdrawalEntryChanged(WithdrawalEntryFact, frozen=True, kw_only=True):
    """An entry is new, or reads otherwise now; whom it names is not kept. What it asks for is `ParticipantWithdrew`.

    `withdrew_before`: somebody has withdrawn already by what the record said before, and stays withdrawn.
    """

    project: str
    problems: tuple[str, ...]
    fingerprint: str
    withdrew_before: bool = False


class WithdrawalEntryDoubted(WithdrawalEntryFact, frozen=True, kw_only=True):
    """An entry is missing from an export, which may have left it out: not yet believed to be gone."""


class WithdrawalEntryReturned(WithdrawalEntryFact, frozen=True, kw_only=True):
    """A doubted entry is there again, as it was."""


class WithdrawalEntryRemoved(WithdrawalEntryFact, frozen=True, kw_only=True):
    """An entry is gone from the list: two runs in succession have missed it. The withdrawal stands."""


class WithdrawalEntryDismissed(WithdrawalEntryFact, frozen=True, kw_only=True):
    """An operator has looked into why the entry is gone, was changed, or says too little."""

    by: str
    reason: str
