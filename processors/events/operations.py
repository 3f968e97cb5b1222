"""What operators did to the whole: replaying, moving in, forgetting, changing keys.

Replays stand in `decisions/SITE`, how a site began to write to REDCap in `site/SITE`, what was done to keys in
`vault/subjects` and `vault/master-key`; a study that was adopted in `study/UID`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from processors.events.fact import Fact, Nested, StudyFact
from processors.events.streams import decision_stream, site_stream, vault_stream

_MOMENT = Nested(datetime.fromisoformat, datetime.isoformat)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Replay(Fact):
    nested: ClassVar[dict[str, Nested]] = {"since": _MOMENT, "until": _MOMENT}

    site: str
    project: str
    since: datetime | None
    until: datetime | None
    include_vanished: bool
    by: str

    @property
    def stream(self) -> str:
        """The stream of the site's decisions."""
        return decision_stream(self.site)


class ReplayStarted(_Replay):
    """An operator had studies decided and delivered again.

    Those that arrived from `since` on and before `until`, None for no bound; for one `project`, or all where it is
    blank.
    """

    __slots__ = ()


class ReplayCompleted(_Replay):
    """A replay has come to its end. The fields are those of ReplayStarted."""

    __slots__ = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyAdopted(StudyFact):
    """A study's record stood in REDCap before this system; `series` are the instances of its series, by UID."""

    series: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class _SiteFact(Fact):
    site: str

    @property
    def stream(self) -> str:
        """The stream of how the site began to write to REDCap."""
        return site_stream(self.site)


@dataclass(frozen=True, kw_only=True, slots=True)
class AdoptionCompleted(_SiteFact):
    """All that stood in REDCap before this system is in the ledger: so many studies, series, transfers and IDs."""

    studies: int
    series: int
    transfers: int
    ids: int
    by: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StartedFresh(_SiteFact):
    """A site began to write to REDCap without adopting what stood there: so many `records`, taken for strangers'."""

    by: str
    records: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SubjectForgotten(Fact):
    """The keys of a patient, a study or a project were destroyed (`what`), and with them what was sealed.

    `name` is that of the study or project, blank for a patient; `subjects` whose keys they were, by kind; `studies`
    how many were concerned.
    """

    nested: ClassVar[dict[str, Nested]] = {
        "subjects": Nested(
            lambda kinds: {kind: tuple(UUID(subject) for subject in subjects) for kind, subjects in kinds.items()},
            lambda kinds: {kind: [str(subject) for subject in subjects] for kind, subjects in kinds.items()},
        )
    }

    what: str
    name: str
    by: str
    reason: str
    subjects: Mapping[str, tuple[UUID, ...]]
    studies: int

    @property
    def stream(self) -> str:
        """The stream of all that were forgotten."""
        return vault_stream("subjects")


@dataclass(frozen=True, kw_only=True, slots=True)
class MasterKeyChanged(Fact):
    """The data keys are wrapped with a new master key; `subjects` is how many."""

    by: str
    subjects: int

    @property
    def stream(self) -> str:
        """The stream of the master key."""
        return vault_stream("master-key")
