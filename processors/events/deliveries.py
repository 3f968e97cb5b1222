"""What became of rows in REDCap. All stand in `study/UID`.

A row is named by its `kind` and `key`: the study's own (key blank), that of a series (its UID), or that of a transfer
request (its position, as text).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Self

from ledger.events import Event
from processors.events.fact import LIST, Nested, StudyFact

RowKind = Literal["study", "series", "transfer"]


class SeriesRow(NamedTuple):
    """A row of a series: its repeat instance in REDCap, and the position of the event that it was made from."""

    instance: int
    position: int


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyDelivered(StudyFact):
    """Rows of a study were written to REDCap.

    `row` is the position of the event that its own row was made from, None where that was not written; `series` are
    the rows of series that were, by UID.
    """

    nested: ClassVar[dict[str, Nested]] = {
        "series": Nested(
            lambda series: {uid: SeriesRow(**row) for uid, row in series.items()},
            lambda series: {uid: row._asdict() for uid, row in series.items()},
        )
    }

    row: int | None
    series: Mapping[str, SeriesRow]


@dataclass(frozen=True, kw_only=True, slots=True)
class _RowFact(StudyFact):
    kind: RowKind
    key: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RowRefused(_RowFact):
    """REDCap refused a row.

    `row_position` is that of the event that it was made from; `field` the one complained about, blank where none was
    named; `message` are REDCap's words, without values.
    """

    row_position: int
    field: str
    message: str


class RowAccepted(_RowFact):
    """REDCap has accepted a row that it refused before."""

    __slots__ = ()


class RowMissing(_RowFact):
    """Somebody deleted a row of ours in REDCap, or made it say something else."""

    __slots__ = ()


class RowRestored(_RowFact):
    """A row that was missing from REDCap was written again."""

    __slots__ = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class LostUpdateFound(StudyFact):
    """A row of ours was written over one that somebody saved at the same moment, as REDCap's log shows.

    Which of ours: that of a transfer `request`, by its position, or that of a `series`. `project` is the one that was
    requested, blank for a series.
    """

    project: str
    kind: Literal["series", "transfer"]
    instance: int
    request: int | None = None
    series: str | None = None

    @property
    def key(self) -> str:
        """The row's key, as other events have it."""
        return str(self.request) if self.series is None else self.series


@dataclass(frozen=True, kw_only=True, slots=True)
class DifferenceAccepted(_RowFact):
    """An operator accepted that REDCap says something else in a row of ours.

    `fields` are those that differ; `row_position` is that of the event that ours is made from, `fingerprint` a keyed
    hash of what REDCap says.
    """

    nested: ClassVar[dict[str, Nested]] = {"fields": LIST}

    fields: tuple[str, ...]
    row_position: int
    fingerprint: str
    by: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Acknowledged(StudyFact):
    """An operator has taken note of what the event at a `position` tells.

    The stream alone says of which study.
    """

    position: int
    by: str
    reason: str

    def data(self) -> dict[str, Any]:
        """What is stored: all but the study."""
        return {"position": self.position, "by": self.by, "reason": self.reason}

    @classmethod
    def read(cls, event: Event, payload: Mapping[str, Any] | None = None) -> Self:
        """The fact that stands in the ledger, its study told by the stream."""
        return super().read(event, payload)
