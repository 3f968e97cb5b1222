"""Importing planned rows into one REDCap project, and recording what was accepted or refused.

Nothing is recorded before REDCap has acknowledged it. Where REDCap tells that it is about rows, they are sorted out
(`isolation`). And where REDCap lets us import nothing, that is a right that is missing, or PHP's limit: it takes a
larger body for a call without a token.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from sqlalchemy import text

from ledger.batching import batches, halves
from ledger.events import NewEvent
from ledger.vault import SubjectName
from processors.bounds import cut
from processors.delivery import retries
from processors.delivery.delivered import Delivered
from processors.delivery.due import DueRow
from processors.delivery.isolation import Refusal, Suspicions, is_same_refusal, one_apart, sort_out
from processors.delivery.plan import PlannedRow
from processors.errors import ServiceError
from processors.events.deliveries import RowAccepted, RowKind, RowRefused, StudyDelivered
from processors.events.fact import Fact
from processors.gateway import Gateway, Work
from processors.redcap import NotPermitted, Project, RowProblem, RowsRefused, UnknownFields, incoming

LONGEST_TOLD: Final = 500

Meanwhile = Callable[[], AbstractContextManager[None]]
"""Entered for as long as REDCap is waited for."""


class Imports:
    """The imports of one delivery into one project, whose rows are of these kinds.

    `suspicions` are rows that were refused since others were taken, and the kinds that the project refuses as a whole.
    `failed_alone` are rows whose import failed without a word about them, since others were taken; `given_up` is what
    a batch of such rows was given up with, unless rows were taken since.
    """

    def __init__(self, gateway: Gateway, project: Project, kinds: Sequence[RowKind], delivered: Delivered) -> None:
        self.meanwhile: Meanwhile = nullcontext
        """What is done while REDCap works on an import."""
        self._gateway = gateway
        self._project = project
        self._kinds = kinds
        self._delivered = delivered
        self.suspicions = Suspicions()
        self.failed_alone: list[tuple[DueRow, ServiceError]] = []
        self.given_up: ServiceError | None = None
        self._is_permitted = False
        self._most_rows: int | None = None
        self._refused_before: dict[tuple[str, str, str], retries.KnownRefusal] = {}
        self._refused: set[tuple[str, tuple[str, str] | None]] = set()

    def import_in_order(self, rows: Sequence[PlannedRow]) -> None:
        """Imports what ends requests first: where REDCap refuses that, nothing takes their place."""
        with self._gateway.begin() as work:
            self._refused_before = retries.known_refusals(work, list({row.study for row in rows}))
        standing = [row for row in rows if row.stands]
        if standing:
            self._record([*_delivered_facts(standing), *self._accepted(standing)])
        ends = [row for row in rows if row.ends]
        self._refused.clear()
        if ends:
            self._import(ends)
        others = [
            row for row in rows if not row.ends and not row.stands and (row.study, row.transfer) not in self._refused
        ]
        if others:
            self._import(others)

    def tell_failed_alone(self) -> None:
        """Records the rows that fail alone, now that others were taken, or there were no others."""
        for row, failure in self.failed_alone:
            self.record_failed(row, failure)
        self.failed_alone.clear()

    def record_refusal(self, refusal: Refusal) -> None:
        """Records that REDCap does not take a row, and its words."""
        row = refusal.row
        refused = RowRefused(
            study=row.study,
            kind=row.kind,
            key=row.key,
            row_position=row.position,
            field=refusal.field,
            message=refusal.message,
            words=refusal.words,
        )
        self._record_refused(refused)

    def record_failed(self, row: DueRow, failure: ServiceError) -> None:
        """Records that a row's import fails without a word about it."""
        with self._gateway.begin() as work:
            self._refused_before |= retries.known_refusals(work, [row.study])
        self._record_refused(
            RowRefused(
                study=row.study,
                kind=row.kind,
                key=row.key,
                row_position=row.position,
                field="",
                message=cut(str(failure), LONGEST_TOLD),
            )
        )

    def _import(self, rows: Sequence[PlannedRow]) -> None:
        """Imports the rows; those that REDCap refuses are taken out until the rest goes through."""
        untried: list[Sequence[PlannedRow]] = list(batches(rows, self._most_rows or len(rows)))
        while untried:
            portion = [row for row in untried.pop() if row.kind not in self.suspicions.closed]
            if not portion:
                continue
            try:
                self._send(portion)
            except NotPermitted as failure:
                untried += self._not_permitted(portion, failure)
            except (RowsRefused, UnknownFields) as told:
                problems = _problems(told)
                untried += self._sort_out(portion, problems)
                if len(problems) == 1 and self.suspicions.are_many():
                    untried = one_apart(untried)
            else:
                self._take(portion)
        self.suspicions.judge()

    def _send(self, rows: Sequence[PlannedRow]) -> None:
        # `overwrite` because our rows say all there is to say: a blank erases what was there before.
        # Fields that a row does not hold stay as they are.
        fields = [row.fields for row in rows]
        with self.meanwhile():
            left_out = self._project.import_rows(fields, overwrite=True, optional=incoming.OPTIONAL_FIELDS)
        self._delivered.left_out = sorted({*self._delivered.left_out, *left_out})

    def _take(self, rows: Sequence[PlannedRow]) -> None:
        """Records what is true of rows that were imported, and of others, now that REDCap takes rows."""
        self._is_permitted = True
        self.given_up = None
        self._record([*_delivered_facts(rows), *self._accepted(rows)])
        self.tell_failed_alone()
        for refusal in self.suspicions.taken({row.kind for row in rows}):
            self.record_refusal(refusal)

    def _sort_out(self, rows: Sequence[PlannedRow], problems: Sequence[RowProblem]) -> Sequence[Sequence[PlannedRow]]:
        """Notes which of the rows REDCap means, and gives those to be tried apart from them."""
        words, kinds = problems[0], {row.kind for row in rows}
        if not words.record and len(kinds) == 1 and self.suspicions.is_known(words.message):
            self.suspicions.closed |= dict.fromkeys(kinds, words.message)
            return ()
        sorted_out = sort_out(rows, problems)
        for refusal in sorted_out.refused:
            self._refuse(refusal, alone=len(rows) == 1)
        return sorted_out.untried

    def _not_permitted(self, rows: Sequence[PlannedRow], failure: NotPermitted) -> Sequence[Sequence[PlannedRow]]:
        """The rows in portions to be tried apart; none where no import at all is permitted.

        One row tells: where it is taken, it was the size of the call.
        """
        if not self._is_permitted and len(rows) > 1:
            return rows[1:], rows[:1]
        if not self._is_permitted:
            self.suspicions.closed |= dict.fromkeys(self._kinds, cut(str(failure), LONGEST_TOLD))
            return ()
        if len(rows) > 1:
            self._most_rows = len(rows) // 2
            return halves(rows)
        self._refuse(Refusal(rows[0], "", cut(str(failure), LONGEST_TOLD)), alone=True)
        return ()

    def _refuse(self, refusal: Refusal, *, alone: bool) -> None:
        if refusal.row.transfer is not None:
            self._refused.add((refusal.row.study, refusal.row.transfer))
        if refusal.locked:
            self.record_refusal(refusal)
        else:
            self.suspicions.add(refusal, alone=alone)

    def _record_refused(self, refused: RowRefused) -> None:
        """A refusal that is as it was before is no news."""
        self._delivered.refused += 1
        before = self._refused_before.get((refused.study, refused.kind, refused.key))
        place = refused.row_position, refused.field
        if before is not None and before[:2] == place and is_same_refusal(refused.message, before.message):
            return
        with self._gateway.begin() as work:
            work.record([_sealed(work, refused)])

    def _accepted(self, rows: Sequence[PlannedRow]) -> list[Fact]:
        accepted = {(row.study, row.kind, row.key): None for row in rows}
        return [
            RowAccepted(study=study, kind=kind, key=key)
            for study, kind, key in accepted
            if (study, kind, key) in self._refused_before
        ]

    def _record(self, facts: Sequence[Fact]) -> None:
        with self._gateway.begin() as work:
            work.record(facts)
        self._delivered.count(facts)


def _problems(refusal: RowsRefused | UnknownFields) -> Sequence[RowProblem]:
    """What REDCap says against rows. Fields that the dictionary has, looked up anew, are not what its words mean."""
    return refusal.problems if isinstance(refusal, RowsRefused) else (RowProblem.of_none(str(refusal)),)


def _delivered_facts(rows: Sequence[PlannedRow]) -> list[Fact]:
    """What is true of imported rows: one StudyDelivered for each study, however many rows it had."""
    others: list[Fact] = []
    studies: dict[str, StudyDelivered] = {}
    for row in rows:
        for fact in row.facts:
            if isinstance(fact, StudyDelivered):
                studies[fact.study] = _joined(studies.get(fact.study), fact)
            else:
                others.append(fact)
    return [*studies.values(), *others]


def _joined(before: StudyDelivered | None, fact: StudyDelivered) -> StudyDelivered:
    if before is None:
        return fact
    row = before.row if fact.row is None else fact.row
    return StudyDelivered(study=fact.study, row=row, series={**before.series, **fact.series})


_SUBJECT = text("""
    select subject from ledger.event join ledger.subject using (subject)
     where position = :position and wrapped_key is not null
""")


def _sealed(work: Work, refused: RowRefused) -> NewEvent:
    """The refusal, REDCap's words sealed for whom the row is; for the study, where that one was forgotten."""
    subject = work.execute(_SUBJECT, {"position": refused.row_position}).scalar_one_or_none()
    if subject is None:
        return work.seal(refused, SubjectName("study", "", refused.study))
    work.vault.load(work.connection, [subject])
    return work.seal(refused, subject)
