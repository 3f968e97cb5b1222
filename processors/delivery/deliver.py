"""Writing what is pending to REDCap: read, plan, import, record, one portion after the other.

HTTP cannot be part of a transaction. So whatever an import's fate, nothing is recorded before REDCap
has acknowledged it, and the next delivery plans again from what REDCap has then.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ledger.batching import Progress
from ledger.events import NewEvent
from processors.delivery import pending
from processors.delivery.pending import Again, Item
from processors.delivery.plan import Fact, PlannedRow, RowKind, WantedStudy, plan_study
from processors.events.types import EventType, study_stream
from processors.gateway import Gateway
from processors.redcap import Project, Redcap, RowProblem, RowsRefused, incoming


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

    def __add__(self, other: "Delivered") -> "Delivered":
        """Both together."""
        counts = asdict(self).keys() - {"left_out"}
        return Delivered(
            **{name: getattr(self, name) + getattr(other, name) for name in counts},
            left_out=sorted({*self.left_out, *other.left_out}),
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
        self._writes_studies = "study" in kinds
        self._project = Project(redcap, project, gateway.database, gateway.clock, needed=incoming.needed_fields(kinds))
        self._kinds = kinds
        self._again = again
        self._delivered = delivered
        self._refused_before: set[tuple[str, str, str]] = set()
        self._gone: set[str] = set()

    def check_fields(self) -> None:
        """Raises `Refused` where there are rows to be written that the project has no fields for."""
        if self._again is not None or pending.is_anything_pending(self._gateway, self._kinds):
            self._project.require_needed()

    def run(self, batch_rows: int, progress: Progress | None) -> None:
        done = 0
        with pending.pending_items(self._gateway, self._kinds, batch_rows, self._again) as (count, portions):
            for items in portions:
                self._deliver(items, with_transfers="transfer" in self._kinds)
                done += len(items)
                if progress is not None:
                    progress(done, count)

    def _deliver(self, items: Sequence[Item], *, with_transfers: bool) -> None:
        self._refused_before = {(item.study, item.kind, item.key) for item in items if item.refused_before}
        wanted = pending.load(self._gateway, items, with_transfers=with_transfers, again=self._again is not None)
        # A record that is found gone in one portion is not told again in the next.
        rows, facts = self._planned(study for study in wanted if study.study not in self._gone)
        self._gone |= {study for study, (type_, data) in facts if _is_gone(type_, data)}
        if facts:
            self._record([_event(study, fact) for study, fact in facts])
        if rows:
            self._import(rows)

    def _planned(self, wanted: Iterable[WantedStudy]) -> tuple[list[PlannedRow], list[tuple[str, Fact]]]:
        by_study = {study.study: study for study in wanted}
        present = incoming.present_records(self._project.export(incoming.READ_FIELDS, records=list(by_study)))
        rows: list[PlannedRow] = []
        facts: list[tuple[str, Fact]] = []
        for study in by_study.values():
            if not self._writes_studies:
                study.delivered = False
            plan = plan_study(study, present.get(study.study, incoming.ABSENT))
            rows.extend(plan.rows)
            facts.extend((study.study, fact) for fact in plan.facts)
        return rows, facts

    def _import(self, rows: Sequence[PlannedRow]) -> None:
        """Imports the rows; those that REDCap refuses are taken out until the rest goes through."""
        try:
            self._send(rows)
        except RowsRefused as refusal:
            self._isolate(rows, refusal.problems)
        else:
            self._record(_delivered_events(rows) + self._accepted_events(rows))

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
        told = {
            "kind": row.kind,
            "key": row.key,
            "row_position": row.position,
            "field": problem.field,
            "message": problem.message,
        }
        self._record([_event(row.study, (EventType.ROW_REFUSED, told))])

    def _accepted_events(self, rows: Sequence[PlannedRow]) -> list[NewEvent]:
        accepted = {(row.study, row.kind, row.key): None for row in rows}
        return [
            _event(study, (EventType.ROW_ACCEPTED, {"kind": kind, "key": key}))
            for study, kind, key in accepted
            if (study, kind, key) in self._refused_before
        ]

    def _send(self, rows: Sequence[PlannedRow]) -> None:
        # `overwrite` because our rows say all there is to say: a blank erases what was there before.
        # Fields that a row does not hold stay as they are.
        fields = [row.fields for row in rows]
        left_out = self._project.import_rows(fields, overwrite=True, optional=incoming.OPTIONAL_FIELDS)
        self._delivered.left_out = sorted({*self._delivered.left_out, *left_out})

    def _record(self, events: Sequence[NewEvent]) -> None:
        with self._gateway.begin() as work:
            work.record(events)
        for event in events:
            _count(self._delivered, event)


def _is_gone(type_: EventType, data: Mapping[str, Any]) -> bool:
    return type_ is EventType.ROW_MISSING and data["kind"] == "study"


def _concerns(problem: RowProblem, row: PlannedRow) -> bool:
    return problem.record == row.study and (problem.locked or not problem.field or problem.field in row.fields)


def _delivered_events(rows: Sequence[PlannedRow]) -> list[NewEvent]:
    """The events of imported rows: one StudyDelivered for each study, however many rows it had."""
    events: list[NewEvent] = []
    studies: dict[str, dict[str, Any]] = {}
    for row in rows:
        for type_, data in row.facts:
            if type_ is not EventType.STUDY_DELIVERED:
                events.append(_event(row.study, (type_, data)))
                continue
            told = studies.setdefault(row.study, {"row": None, "series": {}})
            told["row"] = data["row"] if data["row"] is not None else told["row"]
            told["series"].update(data["series"])
    delivered = [_event(study, (EventType.STUDY_DELIVERED, told)) for study, told in studies.items()]
    return delivered + events


def _event(study: str, fact: Fact) -> NewEvent:
    type_, data = fact
    return NewEvent(stream=study_stream(study), type=type_, data={"study": study, **data})


def _count(delivered: Delivered, event: NewEvent) -> None:
    if event.type == EventType.STUDY_DELIVERED:
        delivered.studies += event.data["row"] is not None
        delivered.series += len(event.data["series"])
    elif event.type in (EventType.TRANSFER_PLACED, EventType.TRANSFER_AMENDED):
        delivered.transfers += 1
    elif event.type == EventType.ROW_MISSING:
        delivered.missing += 1
    elif event.type == EventType.ROW_RESTORED:
        delivered.restored += 1
    elif event.type == EventType.CONFLICT_FOUND:
        delivered.contested += 1
