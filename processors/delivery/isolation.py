"""Finding the rows that REDCap does not take among those that it would, and seeing when it takes none at all. Pure.

REDCap stores all rows of an import or none. Whatever it says, or a firewall before it, the rows in question are
halved until each that fails has failed alone. But where a project is not set up, every row fails: so after a few
of a kind (study, series, transfer) that were refused in the same words, and none that was taken, it is the
project that refuses them. Where that is wrong, they wait for an hour: one of them is tried then, each time another.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeVar

from ledger.batching import halves
from processors.delivery.plan import PlannedRow
from processors.events.deliveries import RowKind
from processors.redcap import RowProblem

PLAIN: Final = 5
"""So many rows of a kind, refused in the same words, with none taken: it is not about rows."""

_T = TypeVar("_T")
_CHANGING: Final = re.compile(r"\S*\d\S*")


class Refusal(NamedTuple):
    """A row that REDCap does not take, and why. `named`: REDCap named it, beside whatever else it said.

    `locked`: its record is, which says nothing of others. `words` are all that REDCap said, to be sealed.
    """

    row: PlannedRow
    field: str
    message: str
    named: bool = False
    locked: bool = False
    words: str = ""


class SortedOut(NamedTuple):
    """Of rows that were refused together: those that are known to be meant, and portions in which to try the others."""

    refused: Sequence[Refusal]
    untried: Sequence[Sequence[PlannedRow]]


def sort_out(rows: Sequence[PlannedRow], problems: Sequence[RowProblem]) -> SortedOut:
    """What REDCap's words against these rows mean for each.

    They name record and field, but not the instance. Where one row alone can be meant, it is. Others that may
    be go out together, apart from those that are not; where that tells nothing, by kind, and then in halves.
    """
    if len(rows) == 1:
        problem = next((problem for problem in problems if _concerns(problem, rows[0])), problems[0])
        return SortedOut([_refusal(rows[0], problem)], ())
    of_record: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        of_record.setdefault(row.study, []).append(index)
    meant: dict[int, RowProblem] = {}
    doubtful: set[int] = set()
    for problem in problems:
        concerned = [index for index in of_record.get(problem.record, ()) if _concerns(problem, rows[index])]
        if len(concerned) == 1 or problem.locked:
            meant |= {index: meant.get(index, problem) for index in concerned}
        else:
            doubtful.update(concerned)
    doubtful -= meant.keys()
    others = [row for index, row in enumerate(rows) if index not in meant and index not in doubtful]
    if not meant and not (doubtful and others):
        return SortedOut((), _smaller(rows))
    portions = [[rows[index] for index in sorted(doubtful)], others]
    refused = [_refusal(rows[index], problem) for index, problem in sorted(meant.items())]
    return SortedOut(refused, [portion for portion in portions if portion])


def _refusal(row: PlannedRow, problem: RowProblem) -> Refusal:
    return Refusal(
        row, problem.field, problem.message, named=bool(problem.record), locked=problem.locked, words=problem.words
    )


def one_apart(portions: Sequence[Sequence[_T]]) -> list[Sequence[_T]]:
    """The same rows in portions, the last of them, which is tried first, one row out of the middle of the largest."""
    largest = max(portions, key=len, default=())
    if not largest:
        return []
    middle = len(largest) // 2
    others = [portion for portion in portions if portion is not largest]
    parts = (largest[middle + 1 :], largest[:middle], largest[middle : middle + 1])
    return [*others, *(part for part in parts if part)]


def is_same_refusal(message: str, before: str) -> bool:
    """Whether two refusals say the same, but for numbers: firewalls number the calls that they refuse."""
    return _CHANGING.sub("#", message) == _CHANGING.sub("#", before)


@dataclass(slots=True)
class Suspicions:
    """Rows that were refused since a row of their kind was last taken.

    `closed` are the kinds that the project refuses as a whole, with its words.
    """

    closed: dict[RowKind, str] = field(default_factory=dict)
    _waiting: dict[RowKind, list[Refusal]] = field(default_factory=dict)

    def add(self, refusal: Refusal, *, alone: bool) -> None:
        """Notes one. It may be the one that shows that it is not about rows, where REDCap did not name it, or where
        it was tried `alone` after many.
        """
        waiting = self._waiting.setdefault(refusal.row.kind, [])
        waiting.append(refusal)
        shows = self.is_known(refusal.message) or len(waiting) == PLAIN
        if (shows and not refusal.named) or (alone and len(waiting) > PLAIN):
            self._close(refusal.row.kind)

    def are_many(self) -> bool:
        """Whether so many were refused, one after the other, that a row is to be tried alone."""
        return any(len(waiting) % PLAIN == 0 for waiting in self._waiting.values())

    def judge(self) -> None:
        """Closes kinds of which rows of several studies were refused, named or not, and none was taken."""
        for kind, waiting in list(self._waiting.items()):
            if len({refusal.row.study for refusal in waiting}) >= PLAIN:
                self._close(kind)

    def is_known(self, message: str) -> bool:
        """Whether these are the words with which another kind is refused as a whole."""
        return any(is_same_refusal(message, words) for words in self.closed.values())

    def taken(self, kinds: Collection[RowKind]) -> list[Refusal]:
        """The refusals that were about rows, now that rows of these kinds were taken."""
        return [refusal for kind in kinds for refusal in self._waiting.pop(kind, ())]

    def _close(self, kind: RowKind) -> None:
        first, *others = self._waiting[kind]
        if all(other.field == first.field and is_same_refusal(other.message, first.message) for other in others):
            self.closed[kind] = first.message
            del self._waiting[kind]


def _smaller(rows: Sequence[PlannedRow]) -> Sequence[Sequence[PlannedRow]]:
    kinds = list(dict.fromkeys(row.kind for row in rows))
    if len(kinds) == 1:
        return halves(rows)
    return [[row for row in rows if row.kind == kind] for kind in reversed(kinds)]


def _concerns(problem: RowProblem, row: PlannedRow) -> bool:
    return problem.record == row.study and (problem.locked or not problem.field or problem.field in row.fields)
