"""Writing what is pending to REDCap: read, plan, import, record, one batch after the other.

HTTP cannot be part of a transaction. So whatever an import's fate, nothing is recorded before REDCap
has acknowledged it, and the next delivery plans again from what REDCap has then.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from ledger.batching import Progress
from processors.delivery import due
from processors.delivery.desired import desired_studies
from processors.delivery.due import Again, DueRow
from processors.delivery.plan import DesiredStudy, Plan, PlannedRow, plan_study
from processors.delivery.sender.queue import Queue, recall_facts, recalled
from processors.events.deliveries import RowAccepted, RowKind, RowMissing, RowRefused, RowRestored, StudyDelivered
from processors.events.fact import Fact
from processors.events.rules import ConflictFound
from processors.events.transfers import TransferAmended, TransferPlaced
from processors.gateway import Gateway
from processors.redcap import Project, Redcap, RowProblem, RowsRefused, incoming
from processors.redcap.incoming import ActualRecord


@dataclass(kw_only=True, slots=True)
class Delivered:
    """What a delivery came to, in rows; `left_out` are the optional fields that they could not have."""

    studies: int = 0
    series: int = 0
    transfers: int = 0
    refused: int = 0
    missing: int = 0
    restored: int = 0
    contested: int = 0
    left_out: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def __add__(self, other: "Delivered") -> "Delivered":
        """Both together."""
        counts = asdict(self).keys() - {"left_out", "warnings"}
        return Delivered(
            **{name: getattr(self, name) + getattr(other, name) for name in counts},
            left_out=sorted({*self.left_out, *other.left_out}),
            warnings=sorted({*self.warnings, *other.warnings}),
        )


def deliver(gateway: Gateway, redcap: Redcap, *, batch_rows: int, progress: Progress | None = None) -> Delivered:
    """Brings REDCap to what the ledger wants it to hold. Raises `ServiceError` where that fails.

    A project that lacks a field of the rows to be written is `Refused` before any row is written.
    Transfers go to a project of their own where one is configured, after the studies.
    """
    return _in_passes(gateway, redcap, None, batch_rows, progress)


def deliver_again(
    gateway: Gateway,
    redcap: Redcap,
    *,
    studies: Collection[str],
    transfers: Collection[int] = (),
    batch_rows: int,
    progress: Progress | None = None,
) -> Delivered:
    """Writes all study and series rows of these studies again, and what else is pending for them.

    Rows that somebody deleted come back, but for those whose absence was acknowledged. Of our placed
    requests, only the `transfers` (positions) do: in a next free instance where their rows are gone
    or say something else, unless a person has asked for something else meanwhile. What has been sent
    under them would be sent again: that is for the caller to know.
    """
    return _in_passes(gateway, redcap, Again(studies=studies, requests=transfers), batch_rows, progress)


def _in_passes(
    gateway: Gateway, redcap: Redcap, again: Again | None, batch_rows: int, progress: Progress | None
) -> Delivered:
    delivered = Delivered()
    passes: list[tuple[str, tuple[RowKind, ...]]] = [("incoming", ("study", "series", "transfer"))]
    if redcap.has("transfers"):
        passes = [("incoming", ("study", "series")), ("transfers", ("transfer",))]
    deliveries = [_Delivery(gateway, redcap, project, kinds, again, delivered) for project, kinds in passes]
    for later in deliveries[1:]:
        later.check_fields()
    for delivery in deliveries:
        delivery.run(batch_rows, progress)
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
        self._project = Project(redcap, project, gateway.database, gateway.clock, needed=incoming.needed_fields(kinds))
        self._kinds = kinds
        self._again = again
        self._delivered = delivered
        self._refused_before: set[tuple[str, str, str]] = set()
        self._refused: set[tuple[str, tuple[str, str] | None]] = set()
        self._gone: set[str] = set()

    def check_fields(self) -> None:
        """Raises `Refused` where there are rows to be written that the project has no fields for."""
        if self._again is not None or due.is_anything_due(self._gateway, self._kinds):
            self._project.require_needed()

    def run(self, batch_rows: int, progress: Progress | None) -> None:
        done = 0
        with due.due_rows(self._gateway, self._kinds, batch_rows, self._again) as (count, batches):
            for rows in batches:
                self._deliver(rows)
                done += len(rows)
                if progress is not None:
                    progress(done, count)

    def _deliver(self, rows: Sequence[DueRow]) -> None:
        # A record that is found gone in one batch is not told again in the next.
        studies = [study for study in self._desired(rows, again=self._again is not None) if self._is_there(study)]
        self._recall(studies)
        actual = self._actual(studies)
        plans = {study.study: self._plan(study, actual) for study in studies}
        brought_back = [study for study, plan in plans.items() if plan.brings_back]
        if brought_back:
            for study in self._whole(brought_back):
                plans[study.study] = self._plan(study, actual)
        facts = [fact for plan in plans.values() for fact in plan.facts]
        self._gone |= {fact.study for fact in facts if isinstance(fact, RowMissing) and fact.kind == "study"}
        if facts:
            self._record(facts)
        self._refused_before = {(study.study, kind, key) for study in studies for kind, key in study.refused}
        self._import_in_order([row for plan in plans.values() for row in plan.rows])

    def _recall(self, studies: Sequence[DesiredStudy]) -> None:
        """Takes requests that are to be ended out of the sender's queue, so that it never has them."""
        if self._gateway.sender.queue is None or not self._writes:
            return
        queue = Queue(self._gateway.sender)
        facts: list[Fact] = []
        for study in studies:
            before = study.requests
            study.requests = recalled(queue, before, self._gateway.clock())
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
        try:
            self._send(rows)
        except RowsRefused as refusal:
            self._isolate(rows, refusal.problems)
        else:
            self._record([*_delivered_facts(rows), *self._accepted(rows)])

    def _isolate(self, rows: Sequence[PlannedRow], problems: Sequence[RowProblem]) -> None:
        """Tries the rows apart that REDCap named; halves them where it did not tell which it means.

        A refusal names record and field, but not the instance, so that several rows can be meant.
        """
        if len(rows) == 1:
            self._refuse(rows[0], problems)
            return
        named = [row for row in rows if any(_concerns(problem, row) for problem in problems)]
        if not named or len(named) == len(rows):
            middle = len(rows) // 2
            portions = [rows[:middle], rows[middle:]]
        else:
            portions = [[row for row in rows if row not in named], named]
        for portion in portions:
            self._import(portion)

    def _refuse(self, row: PlannedRow, problems: Sequence[RowProblem]) -> None:
        problem = next((problem for problem in problems if _concerns(problem, row)), problems[0])
        self._delivered.refused += 1
        if row.transfer is not None:
            self._refused.add((row.study, row.transfer))
        refused = RowRefused(
            study=row.study,
            kind=row.kind,
            key=row.key,
            row_position=row.position,
            field=problem.field,
            message=problem.message,
        )
        self._record([refused])

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


def _concerns(problem: RowProblem, row: PlannedRow) -> bool:
    return problem.record == row.study and (problem.locked or not problem.field or problem.field in row.fields)


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
