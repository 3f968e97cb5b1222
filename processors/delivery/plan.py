"""Planning the rows of one study against what REDCap has of it now. Pure.

Nothing here depends on whether an earlier import was applied: a row of ours that stands in REDCap
already is found by what it says, so a delivery can be repeated without harm after any accident.
Rows of others are never written to; new instances come after all that REDCap or the ledger knows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple

from processors.events.types import EventType
from processors.redcap import incoming
from processors.redcap.incoming import PresentRecord, PresentTransfer, Row

RowKind = Literal["study", "series", "transfer"]
Fact = tuple[EventType, dict[str, Any]]
"""An event of the study's stream: its type, and its data but for the study."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WantedSeries:
    """A series to be written. `instance` is where the ledger knows it to stand, if it was placed."""

    series: str
    position: int
    data: Mapping[str, Any]
    instance: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class OurTransfer:
    """A request of ours, whatever became of it. `name` is its pseudonym, None where it was forgotten.

    `requested` is the minute that its row in REDCap says it was requested at.
    """

    position: int
    project: str
    event_name: str
    name: str | None
    requested: str
    instance: int | None
    state: str
    found: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class WantedTransfer:
    """A request to be placed; `requested_at` in the hospital's zone."""

    position: int
    project: str
    event_name: str
    name: str
    requested_at: datetime
    replaces: tuple[int, ...]
    contested: bool
    cause: Mapping[str, Any]


@dataclass(kw_only=True, slots=True)
class WantedStudy:
    """What the ledger wants REDCap to hold of one study.

    `row` is its own row, None where that need not be written; `delivered`: REDCap has held it before.
    `contests` are the projects and events for which a person's request is known to stand in our way;
    `missing` the rows (kind and key) that are known to have been deleted or changed. `again`: what was
    deleted is to come back, of the placed requests the `restored` ones.
    """

    study: str
    delivered: bool = False
    row: Row | None = None
    row_position: int = 0
    series: list[WantedSeries] = field(default_factory=list)
    series_instances: dict[str, int] = field(default_factory=dict)
    transfers: list[WantedTransfer] = field(default_factory=list)
    retracting: list[OurTransfer] = field(default_factory=list)
    ours: dict[int, OurTransfer] = field(default_factory=dict)
    contests: set[tuple[str, str]] = field(default_factory=set)
    missing: set[tuple[str, str]] = field(default_factory=set)
    again: bool = False
    restored: list[WantedTransfer] = field(default_factory=list)


class PlannedRow(NamedTuple):
    """A row to be imported; `facts` become events once it has been."""

    study: str
    kind: RowKind
    key: str
    position: int
    fields: Row
    facts: tuple[Fact, ...]


@dataclass(kw_only=True, slots=True)
class Plan:
    """The rows to import for a study, and the facts that need no row."""

    rows: list[PlannedRow] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)


def plan_study(wanted: WantedStudy, present: PresentRecord) -> Plan:
    """The rows that bring REDCap from `present` to `wanted`."""
    plan = Plan()
    if wanted.delivered and not present.exists and not wanted.again:
        # Somebody deleted the record. It is not for us to bring it back: that is reported.
        plan.facts.append((EventType.ROW_MISSING, {"kind": "study", "key": ""}))
        return plan
    if wanted.row is not None:
        fact = (EventType.STUDY_DELIVERED, {"row": wanted.row_position, "series": {}})
        facts = (fact, *_restored(wanted, "study", "", gone=wanted.delivered and not present.exists))
        plan.rows.append(PlannedRow(wanted.study, "study", "", wanted.row_position, wanted.row, facts))
    _plan_series(wanted, present, plan)
    _Transfers(wanted, present, plan).settle()
    return plan


def _plan_series(wanted: WantedStudy, present: PresentRecord, plan: Plan) -> None:
    highest = max(present.highest_series_instance, *wanted.series_instances.values(), 0)
    for series in wanted.series:
        instance = present.series.get(series.series)
        gone = instance is None and series.instance is not None
        if gone and not wanted.again:
            plan.facts.append((EventType.ROW_MISSING, {"kind": "series", "key": series.series}))
            continue
        if instance is None:
            highest += 1
            instance = highest
        placed = {"instance": instance, "position": series.position}
        fact = (EventType.STUDY_DELIVERED, {"row": None, "series": {series.series: placed}})
        facts = (fact, *_restored(wanted, "series", series.series, gone=gone))
        plan.rows.append(
            PlannedRow(
                wanted.study,
                "series",
                series.series,
                series.position,
                incoming.series_row(series.data, instance),
                facts,
            )
        )


def _restored(wanted: WantedStudy, kind: RowKind, key: str, *, gone: bool) -> list[Fact]:
    """That the row is there again, where it was deleted or known to be missing."""
    if not gone and (kind, key) not in wanted.missing:
        return []
    return [(EventType.ROW_RESTORED, {"kind": kind, "key": key})]


class _Transfers:
    """Settles a study's requests one by one; rows planned for one count as present for the next."""

    def __init__(self, wanted: WantedStudy, present: PresentRecord, plan: Plan) -> None:
        self._wanted = wanted
        self._plan = plan
        self._rows = {row.instance: row for row in present.transfers}
        self._contests = set(wanted.contests)
        known = (ours.instance or 0 for ours in wanted.ours.values())
        self._highest = max([0, *self._rows, *known])

    def settle(self) -> None:
        self._notice_missing()
        for request in self._wanted.retracting:
            self._withdraw(request)
        for transfer in self._wanted.transfers:
            self._place(transfer)
        for transfer in self._wanted.restored:
            self._restore(transfer)
        for project, event_name in sorted(self._contests):
            self._plan.facts.append(_resolved(project, event_name))

    def _notice_missing(self) -> None:
        """Tells of placed requests whose rows say something else now, or are gone: a person did that, or
        took the very instance at the very moment. It is not for us to write them again.
        """
        restored = {transfer.position for transfer in self._wanted.restored}
        for request in self._wanted.ours.values():
            key = str(request.position)
            known = request.position in restored or ("transfer", key) in self._wanted.missing
            if request.state == "placed" and not known and not self._stands(request):
                self._plan.facts.append((EventType.ROW_MISSING, {"kind": "transfer", "key": key}))

    def _stands(self, request: OurTransfer) -> bool:
        """Whether the row of a placed request says what we wrote; where none is known, nothing can be told."""
        row = self._rows.get(request.instance or 0)
        return request.instance is None or (row is not None and _says(row, request))

    def _restore(self, wanted: WantedTransfer) -> None:
        """Places a request again whose row was deleted or changed; what stands there now is not touched."""
        if self._stands(self._wanted.ours[wanted.position]):
            return
        self._place(wanted, *_restored(self._wanted, "transfer", str(wanted.position), gone=True))

    def _place(self, wanted: WantedTransfer, *more: Fact) -> None:
        """Finds the request's row or writes one, `more` facts being true then; or tells who contests it."""
        replaced = [self._wanted.ours[position] for position in wanted.replaces]
        old = self._rows_of(replaced)
        own_rows = {row.instance for row in old.values()}
        # A row that it replaces may say the same: where an entry was corrected and corrected back before
        # either was delivered. What it asks for may have been sent already, and must not be again.
        alike = sorted((row for row in self._rows.values() if _says(row, wanted)), key=lambda r: r.instance in own_rows)
        contest = (wanted.project, wanted.event_name)
        if not alike and self._is_contested(wanted, own_rows):
            self._contests.discard(contest)
            facts = [] if wanted.contested else [_contested(wanted)]
            self._leave(wanted, replaced, old, facts)
            return
        over = [*more, _resolved(*contest)] if contest in self._contests else [*more]
        self._contests.discard(contest)
        if alike:
            instance = alike[0].instance
            told = {"request": wanted.position, "instance": instance, "found": True}
            others = {position: row for position, row in old.items() if row.instance != instance}
            self._leave(wanted, replaced, others, [(EventType.TRANSFER_PLACED, told), *over])
        else:
            self._write(wanted, replaced, old, over)

    def _leave(
        self,
        wanted: WantedTransfer,
        replaced: Sequence[OurTransfer],
        old: Mapping[int, PresentTransfer],
        facts: Sequence[Fact],
    ) -> None:
        """Settles a request that needs no row of its own.

        Where rows of replaced requests must be emptied, the facts are recorded with them and not
        before: else nobody would empty them after an import that failed, and they would be sent.
        """
        before = len(self._plan.rows)
        facts = [*facts, *self._settle_replaced(wanted, replaced, old)]
        if len(self._plan.rows) == before:
            self._plan.facts.extend(facts)
        else:
            last = self._plan.rows[-1]
            self._plan.rows[-1] = last._replace(facts=(*last.facts, *facts))

    def _write(
        self,
        wanted: WantedTransfer,
        replaced: Sequence[OurTransfer],
        old: dict[int, PresentTransfer],
        facts: Sequence[Fact],
    ) -> None:
        """Amends the first replaced row that has not been sent; else takes the next free instance."""
        amended = next((p for p, row in old.items() if not row.sent), None)
        if amended is not None:
            instance = old.pop(amended).instance
            type_, told = EventType.TRANSFER_AMENDED, {"replaced": amended}
        else:
            self._highest += 1
            instance = self._highest
            type_, told = EventType.TRANSFER_PLACED, {"found": False}
        row = incoming.transfer_row(
            study=self._wanted.study,
            instance=instance,
            project=wanted.project,
            name=wanted.name,
            event_name=wanted.event_name,
            requested_at=wanted.requested_at,
        )
        if amended is not None:
            # A blank event name erases that of the request whose row this was.
            row["transfer_event_name"] = wanted.event_name
        self._rows[instance] = PresentTransfer(
            instance,
            wanted.project,
            wanted.name.strip(),
            wanted.event_name,
            sent=False,
            requested=incoming.minute(wanted.requested_at),
        )
        others = [request for request in replaced if request.position != amended]
        about_others = self._settle_replaced(wanted, others, old)
        placed: Fact = (type_, {"request": wanted.position, "instance": instance, **told})
        self._row(wanted.position, row, placed, *facts, *about_others)

    def _settle_replaced(
        self, wanted: WantedTransfer, replaced: Sequence[OurTransfer], old: Mapping[int, PresentTransfer]
    ) -> list[Fact]:
        """Empties the rows of replaced requests; facts about those sent, which need a person's look."""
        facts: list[Fact] = []
        for request in replaced:
            row = old.get(request.position)
            if row is None:
                continue
            told = {
                "project": request.project,
                "request": request.position,
                "by": wanted.position,
                "sent": row.sent,
            }
            if not row.sent:
                # Under the new request's key: it is the one that is tried again if REDCap refuses this.
                self._empty(wanted.position, row, (EventType.TRANSFER_REPLACED, told))
            elif not wanted.contested:  # else it was told when the contest was found
                facts.append((EventType.TRANSFER_REPLACED, told))
        return facts

    def _withdraw(self, request: OurTransfer) -> None:
        row = self._row_of(request)
        told = {
            "project": request.project,
            "request": request.position,
            "instance": row.instance if row is not None else None,
            "sent": row is not None and row.sent,
        }
        if row is None or row.sent:
            self._plan.facts.append((EventType.RETRACTION_DELIVERED, told))
        else:
            self._empty(request.position, row, (EventType.RETRACTION_DELIVERED, told))

    def _row_of(self, request: OurTransfer) -> PresentTransfer | None:
        """Where REDCap still has the request as we wrote it; None where a person has changed or removed it,
        or had placed it before us.
        """
        if request.instance is not None:
            row = self._rows.get(request.instance)
            return row if row is not None and _says(row, request) and self._is_ours(row) else None
        # It may have been imported by a run that was killed before it could record where. Another request
        # of ours may say the same: the row that tells this one's minute goes first.
        imported = [
            row
            for row in self._rows.values()
            if request.name is not None and _says(row, request) and self._is_ours(row)
        ]
        return min(imported, key=lambda row: row.requested != request.requested, default=None)

    def _rows_of(self, requests: Sequence[OurTransfer]) -> dict[int, PresentTransfer]:
        """The requests' rows by position, each row once: what one request amends, another must not empty.

        Two requests share a row where an entry was corrected and corrected back.
        """
        rows: dict[int, PresentTransfer] = {}
        for request in requests:
            row = self._row_of(request)
            if row is not None and row not in rows.values():
                rows[request.position] = row
        return rows

    def _is_ours(self, row: PresentTransfer) -> bool:
        """Whether this system wrote the row, by our own record; else it tells the very minute of one of our requests.

        People may have asked for the same before us. Their row answers our request, but it stays theirs.
        """
        written = (ours for ours in self._wanted.ours.values() if ours.instance == row.instance and not ours.found)
        if row.requested is None or any(_says(row, ours) for ours in written):
            return True
        return any(_says(row, ours) and row.requested == ours.requested for ours in self._wanted.ours.values())

    def _is_contested(self, wanted: WantedTransfer, own_rows: set[int]) -> bool:
        """Whether somebody else requested the same project and event under another pseudonym."""
        ours = own_rows | {row.instance for o in self._wanted.ours.values() if (row := self._row_of(o)) is not None}
        return any(
            (row.project, row.event_name) == (wanted.project, wanted.event_name) and row.instance not in ours
            for row in self._rows.values()
        )

    def _empty(self, position: int, row: PresentTransfer, fact: Fact) -> None:
        self._rows[row.instance] = PresentTransfer(row.instance, "", "", "", sent=False, requested="")
        self._row(position, incoming.emptied_transfer_row(self._wanted.study, row.instance), fact)

    def _row(self, position: int, fields: Row, *facts: Fact) -> None:
        self._plan.rows.append(PlannedRow(self._wanted.study, "transfer", str(position), position, fields, facts))


def _contested(wanted: WantedTransfer) -> Fact:
    told = {
        "project": wanted.project,
        "event_name": wanted.event_name,
        "kind": "person",
        "causes": [dict(wanted.cause)],
        "request": wanted.position,
    }
    return EventType.CONFLICT_FOUND, told


def _resolved(project: str, event_name: str) -> Fact:
    return EventType.CONFLICT_RESOLVED, {"project": project, "event_name": event_name}


def _says(row: PresentTransfer, request: WantedTransfer | OurTransfer) -> bool:
    """Whether the row asks for what the request asks for. A forgotten pseudonym equals any."""
    return (
        row.project == request.project
        and row.event_name == request.event_name
        and (request.name is None or row.name == request.name.strip())
    )
