"""What became of rows in REDCap: delivered, refused, missing, written over."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from processors.events.fact import Fact, OfStudy

RowKind = Literal["study", "series", "transfer"]


class StudyDelivered(OfStudy, frozen=True, kw_only=True):
    """REDCap holds rows of the study: its own, by the position of its content (None where that was not
    written), and series, each with its `instance` and the `position` of its content.
    """

    row: int | None
    series: Mapping[str, Mapping[str, int]]


class RowFact(OfStudy, frozen=True, kw_only=True):
    """Something about one row; `key` is a series' UID, a request's position, or blank for the study's own row."""

    kind: RowKind
    key: str


class RowRefused(RowFact, frozen=True, kw_only=True):
    """REDCap has refused a row, made from the event at `row_position`.

    `message` are those of its words that are known to be nobody's. All of them (`words`) are sealed for the patient of
    whom the row tells, as they may quote it.
    """

    SEALED: ClassVar[frozenset[str]] = frozenset({"words"})

    row_position: int
    field: str
    message: str
    words: str | None = None


class RowAccepted(RowFact, frozen=True, kw_only=True):
    """REDCap has taken a row that it had refused."""


class ImportsFact(Fact, frozen=True, kw_only=True):
    """Something about the rows of these kinds that our REDCap project `incoming` or `transfers` is to take."""

    redcap_project: str
    kinds: tuple[str, ...]

    @property
    def stream(self) -> str:
        """The project's."""
        return f"redcap/{self.redcap_project}"


class ImportsRefused(ImportsFact, frozen=True, kw_only=True):
    """The project takes no rows of these kinds at all: its words are about how it is set up."""

    message: str


class ImportsAccepted(ImportsFact, frozen=True, kw_only=True):
    """The project takes rows of these kinds again."""


class RowMissing(RowFact, frozen=True, kw_only=True):
    """A row that was delivered is gone, or says something else: a person did that."""


class RowRestored(RowFact, frozen=True, kw_only=True):
    """A row that was missing is there again."""


class LostUpdateFound(OfStudy, frozen=True, kw_only=True):
    """Ours was written over somebody else's row at the same moment: a request's row, or a series'."""

    project: str
    kind: RowKind
    request: int | None
    series: str | None
    instance: int


class DifferenceAccepted(OfStudy, frozen=True, kw_only=True):
    """An operator lets stand what REDCap says; `fingerprint` is of that, `row_position` leads to what ours says."""

    kind: str
    key: str
    fields: tuple[str, ...]
    row_position: int
    fingerprint: str
    by: str
    reason: str


class Acknowledged(OfStudy, frozen=True, kw_only=True):
    """A person has seen the notice of the event at `position`."""

    position: int
    by: str
    reason: str
