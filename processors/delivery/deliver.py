"""Writing what is pending to REDCap: read, plan, import, record, one batch after the other.

HTTP cannot be part of a transaction. So whatever an import's fate, nothing is recorded before REDCap
has acknowledged it, and the next delivery plans again from what REDCap has then.

One row may make an import fail, in whatever way. Where REDCap tells that it is about rows, they are sorted out
(`isolation`). Where it does not (an error page, a firewall's, a connection that is cut off), the run ends; it
may have been a mishap. Where that comes again in the next run, while REDCap can be read, it is about the rows: they
are planned and imported in ever smaller portions until those are found that fail alone. And where REDCap lets us
import nothing, that is a right that is missing, or PHP's limit: it takes a larger body for a call without a token.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Final

from sqlalchemy import text

from ledger.batching import Progress, batches, halves
from ledger.events import NewEvent
from ledger.vault import SubjectName
from processors.bounds import cut
from processors.delivery import due, retries
from processors.delivery.absences import Absences
from processors.delivery.desired import desired_studies
from processors.delivery.due import Again, DueRow
from processors.delivery.isolation import Refusal, Suspicions, is_same_refusal, one_apart, sort_out
from processors.delivery.plan import DesiredStudy, Plan, PlannedRow, plan_study
from processors.delivery.restored import require_whole
from processors.delivery.retries import RETRY_AFTER, KnownRefusal
from processors.delivery.sender.queue import Queue, recall_facts, recalled
from processors.errors import ServiceError, Unanswered
from processors.events.deliveries import (
    ImportsAccepted,
    ImportsRefused,
    RowAccepted,
    RowKind,
    RowMissing,
    RowRefused,
    RowRestored,
    StudyDelivered,
)
from processors.events.fact import Fact
from processors.events.rules import ConflictFound
from processors.events.transfers import TransferAmended, TransferPlaced
from processors.gateway import Gateway, Work
from processors.redcap import (
    Banned,
    Blocked,
    Misdirected,
    NotPermitted,
    Project,
    Redcap,
    RowProblem,
    RowsRefused,
    UnknownFields,
    incoming,
)
from processors.redcap.incoming import ActualRecord

MANY_FAILED: Final = 3
"""After so many rows that fail alone, with none taken in between, others are tried: it need not be these."""

MOST_FAILED: Final = 8
"""After so many, the rest of the batch waits for the next run; after two such batches in succession, the run ends."""

MOST_SET_APART: Final = 200
"""So many rows that fail alone are set apart in one run: what else fails waits for the next one."""

MOST_TRIED: Final = 50
"""Among so many rows one is chosen to see whether a project takes rows again."""

LONGEST_TOLD: Final = 500


IsTimeUp = Callable[[], bool]
"""Asked between two portions."""


@dataclass(kw_only=True, slots=True)
class Delivered:
    """What a delivery came to, in rows; `left_out` are the optional fields that they could not have.

    `rows_left` wait for the next one, as its time was up.
    """

    studies: int = 0
    series: int = 0
    transfers: int = 0
    refused: int = 0
    missing: int = 0
    restored: int = 0
    contested: int = 0
    rows_left: int = 0
    left_out: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def __add__(self, other: "Delivered") -> "Delivered":
        """Both together."""
        counts = asdict(self).keys() - {"rows_left", "left_out", "warnings"}
        return Delivered(
            **{name: getattr(self, name) + getattr(other, name) for name in counts},
            rows_left=other.rows_left,
            left_out=sorted({*self.left_out, *other.left_out}),
            warnings=sorted({*self.warnings, *other.warnings}),
        )


def deliver(
    gateway: Gateway,
    redcap: Redcap,
    *,
    batch_rows: int,
    progress: Progress | None = None,
    is_time_up: IsTimeUp | None = None,
) -> Delivered:
    """Brings REDCap to what the ledger wants it to hold. Raises `ServiceError` where that fails.

    A project that lacks a field of the rows to be written is `Refused` before any row is written.
    Transfers go to a project of their own where one is configured, after the studies. After each portion, `is_time_up`
    tells whether the others are left to the next delivery; not so where the transfers' turn is still to come.
    """
    return _in_passes(gateway, redcap, None, batch_rows, progress, is_time_up)


def deliver_again(
    gateway: Gateway,
    redcap: Redcap,
    *,
    studies: Collection[str],
    transfers: Collection[int] = (),
    batch_rows: int,
    everything: bool = False,
    progress: Progress | None = None,
) -> Delivered:
    """Writes all study and series rows of these studies again, and what else is pending for them.

    Rows that somebody deleted come back; those whose absence was acknowledged only if a request asks for them, or
    `everything` is to. Of our placed requests, only the `transfers` (positions) do: in a next free instance where their
    rows are gone or say something else, unless a person has asked for something else meanwhile. What has been sent
    under them would be sent again: that is for the caller to know.
    """
    return _in_passes(
        gateway, redcap, Again(studies=studies, requests=transfers, everything=everything), batch_rows, progress
    )


def _in_passes(
    gateway: Gateway,
    redcap: Redcap,
    again: Again | None,
    batch_rows: int,
    progress: Progress | None,
    is_time_up: IsTimeUp | None = None,
) -> Delivered:
    require_whole(gateway)
    delivered = Delivered()
    passes: list[tuple[str, tuple[RowKind, ...]]] = [("incoming", ("study", "series", "transfer"))]
    if redcap.has("transfers"):
        passes = [("incoming", ("study", "series")), ("transfers", ("transfer",))]
        is_time_up = None
    deliveries = [_Delivery(gateway, redcap, project, kinds, again, delivered) for project, kinds in passes]
    for later in deliveries[1:]:
        later.check_fields()
    for delivery in deliveries:
        delivery.run(batch_rows, progress, is_time_up)
    return delivered


class _Delivery:
    """One pass over the rows to be written to one REDCap project."""

    def __init__(
        self,
        gateway: Gateway,
        redcap: Redcap,
        project: str,
        kinds: Sequence[RowKind],
        again: Again | None,
        delivered: Delivered,
    ) -> None:
        self._gateway = gateway
        self._writes = redcap.writes
        self._writes_studies = "study" in kinds
        self._transfers_elsewhere = "transfer" not in kinds
        self._project = Project(redcap, project, gateway.looked_up, gateway.clock, needed=incoming.needed_fields(kinds))
        self._name = project
        self._kinds = kinds
        self._again = again
        self._delivered = delivered
        self._remembered = retries.Remembered(failed=False, retried_at=None, closed={})
        self._suspicions = Suspicions()
        self._failed_alone: list[tuple[DueRow, ServiceError]] = []
        self._set_apart = 0
        self._given_up: ServiceError | None = None
        self._is_rest_left = False
        self._is_permitted = False
        self._most_rows: int | None = None
        self._refused_before: dict[tuple[str, str, str], KnownRefusal] = {}
        self._refused: set[tuple[str, tuple[str, str] | None]] = set()
        self._gone: set[str] = set()
        self._absences = Absences(gateway, redcap, project)

    def check_fields(self) -> None:
        """Raises `Refused` where there are rows to be written that the project has no fields for."""
        if self._again is not None or due.is_anything_due(self._gateway, self._kinds):
            self._project.require_needed()

    def run(self, batch_rows: int, progress: Progress | None, is_time_up: IsTimeUp | None) -> None:
        """Writes what is due, or what of it there is time for, and records what was refused."""
        with self._gateway.begin() as work:
            self._remembered = retries.recall(work, self._name)
        retry = self._again is not None or self._remembered.is_retry_due(self._gateway.clock())
        self._suspicions.closed = dict(self._remembered.closed)
        if retry:
            self._try_one_of_closed()
        open_kinds = [kind for kind in self._kinds if kind not in self._suspicions.closed]
        if self._transfers_elsewhere and self._again is None:
            # Whoever asks for a study whose record was deleted gets it back, wherever the request is written.
            open_kinds.append("transfer")
        done = tried_again = 0
        due_rows = due.due_rows(
            self._gateway, open_kinds, batch_rows, self._again, retry=retry, ends=not self._transfers_elsewhere
        )
        with due_rows as (count, portions):
            for rows in portions:
                tried = [row for row in rows if row.kind not in self._suspicions.closed]
                if tried:
                    self._deliver_apart(tried)
                    tried_again += rows[0].refused
                done += len(rows)
                if progress is not None:
                    progress(done, count)
                if done < count and is_time_up is not None and is_time_up():
                    self._delivered.rows_left = count - done
                    # What failed before may be among what is left.
                    self._is_rest_left |= self._remembered.failed
                    break
        self._delivered.warnings = sorted({*self._delivered.warnings, *self._absences.warnings()})
        if self._given_up is not None:
            raise self._given_up
        newly_closed = self._suspicions.closed.keys() - self._remembered.closed.keys()
        self._conclude(retried=bool(tried_again or newly_closed or (retry and self._remembered.closed)))

    def _try_one_of_closed(self) -> None:
        """Tries one row of those kinds of which the project took none: another one each hour, as it may be the row."""
        closed = [kind for kind in self._kinds if kind in self._suspicions.closed]
        if not closed:
            return
        with due.due_rows(self._gateway, closed, 1, self._again) as (count, rows):
            chosen = int(self._gateway.clock().timestamp() // RETRY_AFTER.total_seconds()) % max(
                1, min(count, MOST_TRIED)
            )
            row = next(islice(rows, chosen, None), None)
        if row is None:
            self._suspicions.closed = {}
            return
        words = self._suspicions.closed.pop(row[0].kind)
        self._deliver_apart(row)
        for refusal in self._suspicions.taken([row[0].kind]):
            if is_same_refusal(refusal.message, words):
                self._suspicions.closed[row[0].kind] = words
            else:
                self._record_refusal(refusal)
        if row[0].kind not in self._suspicions.closed:
            self._suspicions.closed = {}

    def _conclude(self, *, retried: bool) -> None:
        """Records what was found out about rows, and about the project, as far as it is new."""
        self._tell_failed_alone()
        for refusal in self._suspicions.taken(self._kinds):
            self._record_refusal(refusal)
        closed, before = self._suspicions.closed, self._remembered.closed
        words: dict[str, list[str]] = {}
        for kind, message in sorted(closed.items()):
            if kind not in before or not is_same_refusal(message, before[kind]):
                words.setdefault(message, []).append(kind)
        facts: list[Fact] = [
            ImportsRefused(redcap_project=self._name, kinds=tuple(kinds), message=message)
            for message, kinds in words.items()
        ]
        opened = tuple(sorted(before.keys() - closed.keys()))
        if opened:
            facts.append(ImportsAccepted(redcap_project=self._name, kinds=opened))
        if facts:
            self._record(facts)
        if retried or self._remembered.failed:
            with self._gateway.begin() as work:
                now = self._gateway.clock() if retried else None
                retries.remember(work, self._name, failed=self._is_rest_left, retried_at=now)

    def _deliver_apart(self, rows: Sequence[DueRow]) -> None:
        """Delivers the rows; where that fails again without a word about rows, in ever smaller portions."""
        untried: list[Sequence[DueRow]] = [rows]
        while untried:
            portion = untried.pop()
            try:
                self._deliver(portion)
            except (Banned, Misdirected):
                raise
            except (Unanswered, Blocked) as failure:
                untried += self._smaller(portion, failure)
                if len(self._failed_alone) >= MOST_FAILED:
                    self._give_up(failure)
                    return
                if len(self._failed_alone) >= MANY_FAILED:
                    untried = one_apart(untried)

    def _smaller(self, rows: Sequence[DueRow], failure: ServiceError) -> list[Sequence[DueRow]]:
        """Portions of the rows to try apart; raises the failure where it need not be about the rows."""
        expected = self._remembered.failed or all(row.refused for row in rows)
        if not expected or not self._project.answers():
            with self._gateway.begin() as work:
                retries.remember(work, self._name, failed=True)
            raise failure
        if self._set_apart >= MOST_SET_APART:
            self._is_rest_left = True
            return []
        if len(rows) > 1:
            return halves(rows)
        self._set_apart += 1
        if rows[0].refused:  # and it fails as it did: that tells nothing new of REDCap either
            self._record_failed(rows[0], failure)
        else:
            self._failed_alone.append((rows[0], failure))
        return []

    def _give_up(self, failure: ServiceError) -> None:
        """Leaves the rest of a batch to the next run; raises the failure where the batch before ended so, too."""
        self._tell_failed_alone()
        self._is_rest_left = True
        if self._given_up is not None:
            raise failure
        self._given_up = failure

    def _tell_failed_alone(self) -> None:
        """Records the rows that fail alone, now that others were taken, or there were no others."""
        for row, failure in self._failed_alone:
            self._record_failed(row, failure)
        self._failed_alone.clear()

    def _record_failed(self, row: DueRow, failure: ServiceError) -> None:
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

    def _deliver(self, rows: Sequence[DueRow]) -> None:
        # A record that is found gone in one batch is not told again in the next.
        studies = [study for study in self._desired(rows, again=self._again is not None) if self._is_there(study)]
        self._recall(studies)
        actual = self._actual(studies)
        doubted = self._absences.doubted(studies, actual)
        studies = [study for study in studies if study.study not in doubted]
        plans = {study.study: self._plan(study, actual) for study in studies}
        brought_back = [study for study, plan in plans.items() if plan.brings_back]
        if brought_back:
            for study in self._whole(brought_back):
                plans[study.study] = self._plan(study, actual)
        facts = [fact for plan in plans.values() for fact in plan.facts]
        self._gone |= {fact.study for fact in facts if isinstance(fact, RowMissing) and fact.kind == "study"}
        if facts:
            self._record(facts)
        with self._gateway.begin() as work:
            self._refused_before = retries.known_refusals(work, [study.study for study in studies])
        self._import_in_order([row for plan in plans.values() for row in plan.rows])

    def _recall(self, studies: Sequence[DesiredStudy]) -> None:
        """Takes requests that are to be ended out of the sender's queue, so that it never has them."""
        if self._gateway.sender.queue is None or not self._writes:
            return
        queue = Queue(self._gateway.sender)
        facts: list[Fact] = []
        for study in studies:
            before = study.requests
            study.requests = recalled(queue, before)
            facts += recall_facts(before, study.requests)
        self._delivered.warnings = sorted({*self._delivered.warnings, *queue.warnings})
        if facts:
            self._record(facts)

    def _is_there(self, study: DesiredStudy) -> bool:
        return study.study not in self._gone

    def _desired(self, rows: Sequence[DueRow], *, again: bool) -> list[DesiredStudy]:
        with self._gateway.begin() as work:
            return desired_studies(work, rows, with_transfers="transfer" in self._kinds, again=again)

    def _whole(self, studies: Collection[str]) -> list[DesiredStudy]:
        """These studies with all of their rows, which are to come back whatever was acknowledged."""
        with self._gateway.begin() as work:
            rows = due.rows_again(work, self._kinds, Again(studies=studies, everything=True))
        return self._desired(rows, again=True)

    def _actual(self, studies: Sequence[DesiredStudy]) -> Mapping[str, ActualRecord]:
        fields = incoming.COMPARED_FIELDS if self._writes_studies else incoming.READ_FIELDS
        exported = self._project.export(fields, records=[study.study for study in studies])
        return incoming.actual_records(exported, self._gateway.sender.information_codes)

    def _plan(self, study: DesiredStudy, actual: Mapping[str, ActualRecord]) -> Plan:
        if not self._writes_studies:
            study.delivered = False
        return plan_study(study, actual.get(study.study, incoming.ABSENT), self._gateway.clock())

    def _import_in_order(self, rows: Sequence[PlannedRow]) -> None:
        """Imports what ends requests first: where REDCap refuses that, nothing takes their place."""
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

    def _import(self, rows: Sequence[PlannedRow]) -> None:
        """Imports the rows; those that REDCap refuses are taken out until the rest goes through."""
        untried: list[Sequence[PlannedRow]] = list(batches(rows, self._most_rows or len(rows)))
        while untried:
            portion = [row for row in untried.pop() if row.kind not in self._suspicions.closed]
            if not portion:
                continue
            try:
                self._send(portion)
            except NotPermitted as failure:
                untried += self._not_permitted(portion, failure)
            except (RowsRefused, UnknownFields) as told:
                problems = _problems(told)
                untried += self._sort_out(portion, problems)
                if len(problems) == 1 and self._suspicions.are_many():
                    untried = one_apart(untried)
            else:
                self._take(portion)
        self._suspicions.judge()

    def _take(self, rows: Sequence[PlannedRow]) -> None:
        """Records what is true of rows that were imported, and of others, now that REDCap takes rows."""
        self._is_permitted = True
        self._given_up = None
        self._record([*_delivered_facts(rows), *self._accepted(rows)])
        self._tell_failed_alone()
        for refusal in self._suspicions.taken({row.kind for row in rows}):
            self._record_refusal(refusal)

    def _sort_out(self, rows: Sequence[PlannedRow], problems: Sequence[RowProblem]) -> Sequence[Sequence[PlannedRow]]:
        """Notes which of the rows REDCap means, and gives those to be tried apart from them."""
        words, kinds = problems[0], {row.kind for row in rows}
        if not words.record and len(kinds) == 1 and self._suspicions.is_known(words.message):
            self._suspicions.closed |= dict.fromkeys(kinds, words.message)
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
            self._suspicions.closed |= dict.fromkeys(self._kinds, cut(str(failure), LONGEST_TOLD))
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
            self._record_refusal(refusal)
        else:
            self._suspicions.add(refusal, alone=alone)

    def _record_refusal(self, refusal: Refusal) -> None:
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

    def _send(self, rows: Sequence[PlannedRow]) -> None:
        # `overwrite` because our rows say all there is to say: a blank erases what was there before.
        # Fields that a row does not hold stay as they are.
        fields = [row.fields for row in rows]
        left_out = self._project.import_rows(fields, overwrite=True, optional=incoming.OPTIONAL_FIELDS)
        self._delivered.left_out = sorted({*self._delivered.left_out, *left_out})

    def _record(self, facts: Sequence[Fact]) -> None:
        with self._gateway.begin() as work:
            work.record(facts)
        for fact in facts:
            _count(self._delivered, fact)


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


def _count(delivered: Delivered, fact: Fact) -> None:
    if isinstance(fact, StudyDelivered):
        delivered.studies += fact.row is not None
        delivered.series += len(fact.series)
    elif isinstance(fact, TransferPlaced | TransferAmended):
        delivered.transfers += 1
    elif isinstance(fact, RowMissing):
        delivered.missing += 1
    elif isinstance(fact, RowRestored):
        delivered.restored += 1
    elif isinstance(fact, ConflictFound):
        delivered.contested += 1
