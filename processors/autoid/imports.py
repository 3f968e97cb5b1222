"""Importing rows into AutoID, those set apart that REDCap does not take, whatever its failure looks like.

As of Incoming (`delivery.deliver`), a failure without a word about rows may be a mishap the first time, and ends the
run. Here a row is a record, so that REDCap's words name it exactly.
"""

from collections.abc import Sequence
from typing import Final

from ledger.batching import halves
from processors.delivery import retries
from processors.delivery.isolation import PLAIN, is_same_refusal
from processors.errors import ServiceError, Unanswered
from processors.gateway import Gateway
from processors.redcap import (
    Banned,
    Blocked,
    Misdirected,
    NotPermitted,
    Project,
    Redcap,
    Row,
    RowsRefused,
    UnknownFields,
)

MOST_FAILED: Final = 8
"""So many rows may fail alone, with none taken at all: then the run ends, as it need not be they."""

_PROJECT: Final = "autoid"


def import_apart(gateway: Gateway, redcap: Redcap, rows: Sequence[Row]) -> list[Row]:
    """Imports the rows without those that REDCap does not take; gives the rows that it took.

    Raises `ServiceError` where that need not be about the rows.
    """
    if not rows:
        return []
    imports = _Imports(gateway, redcap)
    imports.run(rows)
    return imports.taken


class _Imports:
    """One import, in as many calls as it takes."""

    def __init__(self, gateway: Gateway, redcap: Redcap) -> None:
        self._gateway = gateway
        self._redcap = redcap
        self._project = Project(redcap, _PROJECT, gateway.looked_up, gateway.clock)
        self.taken: list[Row] = []
        self._refused_alone: list[str] = []
        self._failed_alone = 0
        with gateway.begin() as work:
            self._failed_before = retries.recall(work, _PROJECT).failed

    def run(self, rows: Sequence[Row]) -> None:
        untried: list[Sequence[Row]] = [rows]
        while untried and not self._takes_nothing():
            portion = untried.pop()
            try:
                self._redcap.import_records(_PROJECT, portion, overwrite=False)
            except RowsRefused as told:
                untried += self._not_named(portion, told)
            except (NotPermitted, UnknownFields) as told:
                untried += self._smaller(portion, str(told))
            except (Banned, Misdirected):
                raise
            except (Unanswered, Blocked) as failure:
                untried += self._after_failure(portion, failure)
            else:
                self.taken += portion
        self._remember(failed=self._failed_alone > 0)

    def _takes_nothing(self) -> bool:
        """Whether rows were refused one after the other, in the same words, and none was taken: it is not they."""
        first, *others = self._refused_alone or [""]
        return not self.taken and len(others) >= PLAIN - 1 and all(is_same_refusal(other, first) for other in others)

    def _not_named(self, rows: Sequence[Row], refusal: RowsRefused) -> list[Sequence[Row]]:
        named = {problem.record for problem in refusal.problems}
        rest = [row for row in rows if row["record_id"] not in named]
        if len(rest) < len(rows):
            return [rest] if rest else []
        return self._smaller(rows, refusal.problems[0].message)

    def _smaller(self, rows: Sequence[Row], words: str) -> list[Sequence[Row]]:
        if len(rows) > 1:
            return halves(rows)
        self._refused_alone.append(words)
        return []

    def _after_failure(self, rows: Sequence[Row], failure: ServiceError) -> list[Sequence[Row]]:
        if not self._failed_before or not self._project.answers():
            self._remember(failed=True)
            raise failure
        if len(rows) > 1:
            return halves(rows)
        self._failed_alone += 1
        if self._failed_alone >= MOST_FAILED and not self.taken:
            raise failure
        return []

    def _remember(self, *, failed: bool) -> None:
        """That rows failed alone is kept in mind: with the same rows, the next import need not end a run first."""
        if failed != self._failed_before:
            with self._gateway.begin() as work:
                retries.remember(work, _PROJECT, failed=failed)
