"""What operators did beside the periodic run: replays, moving in, forgetting."""

from collections.abc import Mapping

from processors.events.fact import Fact, OfStudy
from processors.events.rules import decision_stream

LEDGER_STREAM = "ledger"


class ReplayFact(Fact, frozen=True, kw_only=True):
    """A replay of a project's studies; `since` and `until` are ISO 8601, None where open."""

    site: str
    project: str
    since: str | None
    until: str | None
    include_vanished: bool
    by: str

    @property
    def stream(self) -> str:
        """The site's progress in deciding."""
        return decision_stream(self.site)


class ReplayStarted(ReplayFact, frozen=True, kw_only=True):
    """A replay has begun."""


class ReplayCompleted(ReplayFact, frozen=True, kw_only=True):
    """A replay has come to its end."""


class StudyAdopted(OfStudy, frozen=True, kw_only=True):
    """The study's record stood in REDCap before this system, with these series in these instances.

    `arrived` is the minute in which it arrived, as REDCap has it; None where REDCap does not say. `patient` is the
    subject that stands for REDCap's hash of the PatientID; None where REDCap holds none, or that of a placeholder.
    """

    series: Mapping[str, int]
    arrived: str | None = None
    patient: str | None = None


class AdoptionCompleted(Fact, frozen=True, kw_only=True):
    """All that stood in REDCap was adopted: so many of each."""

    site: str
    studies: int
    series: int
    transfers: int
    ids: int
    by: str

    @property
    def stream(self) -> str:
        """That of how the site began to write to REDCap."""
        return f"site/{self.site}"


class StartedFresh(Fact, frozen=True, kw_only=True):
    """The site began with so many records in REDCap, all treated as strangers'."""

    site: str
    by: str
    records: int

    @property
    def stream(self) -> str:
        """That of how the site began to write to REDCap."""
        return f"site/{self.site}"


class RawFolderReplaced(Fact, frozen=True, kw_only=True):
    """The raw folder lies on another disk for good, says an operator; so many studies were known by then."""

    site: str
    studies: int
    by: str
    reason: str

    @property
    def stream(self) -> str:
        """That of how the site began, and where it is."""
        return f"site/{self.site}"


class RedcapFact(Fact, frozen=True, kw_only=True):
    """Something about whether the site's REDCap is the one that the ledger knows."""

    site: str

    @property
    def stream(self) -> str:
        """That of how the site began to write to REDCap."""
        return f"site/{self.site}"


class RedcapDoubted(RedcapFact, frozen=True, kw_only=True):
    """REDCap is another one, or lacks what was written to it: nothing is decided by what is there, or is not."""

    reason: str


class RedcapReturned(RedcapFact, frozen=True, kw_only=True):
    """REDCap is again as the ledger knows it."""


class RedcapAccepted(RedcapFact, frozen=True, kw_only=True):
    """An operator takes REDCap, as it is now, for the ledger's: after a move, or a restore from a backup."""

    by: str
    reason: str


class LedgerDoubted(Fact, frozen=True, kw_only=True):
    """The ledger has lost events, as the site found: nothing is decided, placed or drawn until a person settles it.

    `since` is when it was last known to be whole (ISO 8601).
    """

    site: str
    reason: str
    since: str

    @property
    def stream(self) -> str:
        """That of what the ledger itself went through."""
        return LEDGER_STREAM


class LedgerAccepted(Fact, frozen=True, kw_only=True):
    """An operator has taken back what REDCap holds, and lets runs go on from where the ledger ends.

    So many requests of ours were taken back, and so many are not placed again, as they had ended meanwhile.
    """

    site: str
    transfers: int
    ended: int
    by: str

    @property
    def stream(self) -> str:
        """That of what the ledger itself went through."""
        return LEDGER_STREAM


class BackupTried(Fact, frozen=True, kw_only=True):
    """A backup was restored beside the ledger, and is what the ledger was at `position`; `made` is when (ISO 8601).

    `rows` counts what was derived anew from its events, in the tables that tell most.
    """

    site: str
    position: int
    made: str
    rows: Mapping[str, int]
    by: str

    @property
    def stream(self) -> str:
        """That of the site's trials of its backups."""
        return f"backup/{self.site}"


class SubjectForgotten(Fact, frozen=True, kw_only=True):
    """Keys were destroyed (erasure by crypto-shredding): of a patient (`name` is blank), a study, or a project's IDs.

    `subjects` are their ids by kind, `studies` how many studies they concern.
    """

    what: str
    name: str
    by: str
    reason: str
    subjects: Mapping[str, list[str]]
    studies: int

    @property
    def stream(self) -> str:
        """That of what was done to keys."""
        return "vault/subjects"


class ParticipantReported(Fact, frozen=True, kw_only=True):
    """An operator was told which data of a person went where (GDPR, article 15): of so many studies.

    `subjects` are the ids under which the person's data is sealed.
    """

    by: str
    subjects: tuple[str, ...]
    studies: int

    @property
    def stream(self) -> str:
        """That of what was asked about persons."""
        return "report/participant"


class MasterKeyChanged(Fact, frozen=True, kw_only=True):
    """The vault has a new master key, which wraps so many data keys."""

    by: str
    subjects: int

    @property
    def stream(self) -> str:
        """That of the master key."""
        return "vault/master-key"


class PatientSearched(Fact, frozen=True, kw_only=True):
    """Somebody looked for a patient's studies on the page, and was shown these; `by` is whom the web server let in.

    `subjects` are the ids under which the patient's data is sealed.
    """

    by: str
    studies: tuple[str, ...]
    subjects: tuple[str, ...]

    @property
    def stream(self) -> str:
        """That of what was looked for on the page."""
        return "page/patients"
