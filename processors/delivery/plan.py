"""Planning the rows of one study: desired state against actual state. Pure.

Nothing here depends on whether an earlier import was applied: a row of ours that stands in REDCap
already is found by what it says (`requests.owner`), so a delivery can be repeated without harm after any
accident. Rows of others are never written to; new instances come after all that REDCap or the ledger knows.

Of each study, project and event at most one row of ours can be sent at any time. So whatever ended a
request, *all* rows of it are ended here before another takes its place: amended or emptied where the
sender cannot have taken them, else closed (their name emptied), because a row that was sent is sent again
when a late series arrives.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from processors.delivery.sender.changes import KnownRow, placed_again, untold
from processors.events.deliveries import RowKind, RowMissing, RowRestored, StudyDelivered
from processors.events.fact import Fact
from processors.events.operations import StudyAdopted
from processors.events.rules import ConflictFound, ConflictResolved
from processors.events.transfers import DoubleEnded, Fate, TransferAmended, TransferPlaced, TransferWithdrawn
from processors.redcap import incoming, transfers
from processors.redcap.incoming import ActualRecord, Row
from processors.requests import Key, Report, TransferRequest, TransferRow, owner, rows_written, stands_elsewhere


@dataclass(frozen=True, kw_only=True, slots=True)
class DesiredSeries:
    """A series to be written. `instance` is where the ledger knows it to stand, if it was placed.

    `sealed` is what was sealed of it: empty where it was forgotten.
    """

    series: str
    position: int
    data: Mapping[str, Any]
    sealed: Mapping[str, str]
    instance: int | None


@dataclass(kw_only=True, slots=True)
class DesiredStudy:
    """What the ledger wants REDCap to hold of one study.

    `row` is its own row, None where that need not be written; `delivered`: REDCap has held it before.
    `requests` are all of ours, `due` those that are to be settled now: those that were placed are to be
    written again where their rows are gone. `contests` are the keys for which a person's request is known to
    stand in our way; `missing` the rows (kind and key) that are known to have been deleted or changed; `doubled` the
    requests of which another row is known to say the same; `others` what was told of somebody else's, by instance.
    `again`: what was deleted is to come back. `asked_for`: a request that is due was never placed, for which a
    deleted record comes back. `newest_summary`: the minute of the study's newest file, blank where that does not
    matter.
    """

    study: str
    delivered: bool = False
    row: Row | None = None
    row_position: int = 0
    series: list[DesiredSeries] = field(default_factory=list)
    series_instances: dict[str, int] = field(default_factory=dict)
    requests: list[TransferRequest] = field(default_factory=list)
    due: set[int] = field(default_factory=set)
    contests: set[Key] = field(default_factory=set)
    missing: set[tuple[str, str]] = field(default_factory=set)
    doubled: set[int] = field(default_factory=set)
    others: dict[int, KnownRow] = field(default_factory=dict)
    again: bool = False
    asked_for: bool = False
    newest_summary: str = ""


class PlannedRow(NamedTuple):
    """A row to be imported; `facts` are true once it has been.

    `ends`: it ends a request; no row with the same `transfer` key is imported before. `stands`: REDCap's row
    says the same already, so that there is nothing to import.
    """

    study: str
    kind: RowKind
    key: str
    position: int
    fields: Row
    facts: tuple[Fact, ...]
    transfer: Key | None = None
    ends: bool = False
    stands: bool = False


@dataclass(kw_only=True, slots=True)
class Plan:
    """The rows to import for a study, and the facts that need no row.

    `brings_back`: the record is gone, and somebody asks for the study anew, who needs all of it.
    """

    rows: list[PlannedRow] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    brings_back: bool = False


def plan_study(desired: DesiredStudy, actual: ActualRecord, now: datetime) -> Plan:
    """The rows that bring REDCap from the actual to the desired state."""
    plan = Plan()
    if desired.delivered and not actual.exists and not desired.again:
        # Somebody deleted the record. It does not come back by itself: that is reported.
        plan.brings_back = desired.asked_for
        if not plan.brings_back:
            plan.facts.append(RowMissing(study=desired.study, kind="study", key=""))
            _Transfers(desired, actual, plan, now).end()
        return plan
    if desired.row is not None:
        delivered = StudyDelivered(study=desired.study, row=desired.row_position, series={})
        facts = (delivered, *_restored(desired, "study", "", gone=desired.delivered and not actual.exists))
        row = incoming.keeping_arrival(desired.row, actual.row)
        stands = not desired.again and incoming.says_the_same(row, actual.row)
        plan.rows.append(PlannedRow(desired.study, "study", "", desired.row_position, row, facts, stands=stands))
        plan.facts.extend(_entered_before(desired, actual))
    _plan_series(desired, actual, plan)
    transfers = _Transfers(desired, actual, plan, now)
    transfers.tell_missing()
    transfers.place()
    transfers.end()
    return plan


def _entered_before(desired: DesiredStudy, actual: ActualRecord) -> list[Fact]:
    """That others entered the study before it arrived here: before the ledger was restored from a backup, say."""
    ours = str((desired.row or {}).get(incoming.ARRIVAL, ""))
    if desired.delivered or actual.arrived is None or actual.arrived >= ours:
        return []
    return [StudyAdopted(study=desired.study, series={}, arrived=actual.arrived)]


def _due(desired: DesiredStudy) -> list[TransferRequest]:
    return [request for request in desired.requests if request.position in desired.due]


def _plan_series(desired: DesiredStudy, actual: ActualRecord, plan: Plan) -> None:
    highest = max(actual.highest_series_instance, *desired.series_instances.values(), 0)
    for series in desired.series:
        instance = actual.series.get(series.series)
        gone = instance is None and series.instance is not None
        if gone and not desired.again:
            plan.facts.append(RowMissing(study=desired.study, kind="series", key=series.series))
            continue
        if instance is None:
            highest += 1
            instance = highest
        placed = {series.series: {"instance": instance, "position": series.position}}
        delivered = StudyDelivered(study=desired.study, row=None, series=placed)
        facts = (delivered, *_restored(desired, "series", series.series, gone=gone))
        row = incoming.series_row(series.data, series.sealed, instance)
        stands = not desired.again and incoming.says_the_same(row, actual.series_rows.get(instance, {}))
        plan.rows.append(PlannedRow(desired.study, "series", series.series, series.position, row, facts, stands=stands))


def _restored(desired: DesiredStudy, kind: RowKind, key: str, *, gone: bool) -> list[Fact]:
    """That the row is there again, where it was deleted or known to be missing."""
    if not gone and (kind, key) not in desired.missing:
        return []
    return [RowRestored(study=desired.study, kind=kind, key=key)]


class _Transfers:
    """Settles a study's requests one by one; rows planned for one count as there for the next."""

    def __init__(self, desired: DesiredStudy, actual: ActualRecord, plan: Plan, now: datetime) -> None:
        self._desired = desired
        self._plan = plan
        self._now = now
        self._rows = {row.instance: row for row in actual.transfers}
        self._written = rows_written(actual.transfers, desired.requests)
        self._contests = set(desired.contests)
        self._highest = max([0, *self._rows, *(request.instance or 0 for request in desired.requests)])
        self._again = {request.position for request in _due(desired) if request.state == "placed"}
        self._ending = {request.position: request for request in desired.requests if self._is_to_end(request)}
        self._own = {
            request.position: request.instance
            for request in desired.requests
            if request.state == "placed" and request.instance is not None and self._stands(request)
        }

    def _is_to_end(self, request: TransferRequest) -> bool:
        """Also one whose pseudonym was forgotten before it was placed, as it never can be; and one that had
        ended, and of which a row can be sent all the same: by an import that REDCap applied late. That of one
        withdrawn may have been closed by a run that was killed: it says more than an emptied one.
        """
        if request.in_force:
            return request.pseudonym is None and request.state != "placed" and request.position in self._desired.due
        return request.state == "ending" or any(
            row.is_sendable or self._was_closed_unseen(request, row) for row in self._written.get(request.position, ())
        )

    def _was_closed_unseen(self, request: TransferRequest, row: TransferRow) -> bool:
        return request.state == "withdrawn" and bool(row.project) and self._fate(request, row) != "unsent"

    def tell_missing(self) -> None:
        """Tells of placed requests whose rows say something else now, or are gone: a person did that, or
        took the very instance at the very moment. It is not for us to write them again.
        """
        for request in self._desired.requests:
            row = ("transfer", str(request.position))
            known = request.position in self._again or row in self._desired.missing
            if request.state != "placed" or known or self._stands(request):
                continue
            elsewhere = stands_elsewhere(request, self._rows.values(), self._desired.requests)
            if elsewhere is None:
                self._plan.facts.append(RowMissing(study=request.study, kind="transfer", key=row[1]))
            else:
                self._own[request.position] = elsewhere.instance
                self._plan.facts.append(placed_again(request, elsewhere))

    def _stands(self, request: TransferRequest) -> bool:
        """Whether the row of a placed request says what we wrote."""
        return request.stands_in(self._rows.values())

    def place(self) -> None:
        """Settles the requests that are due, and tells which contests are over."""
        for request in sorted(_due(self._desired), key=lambda request: request.position):
            if not request.in_force or request.pseudonym is None:
                continue
            if request.state != "placed":
                self._place(request)
            elif not self._stands(request):
                self._place(request, *_restored(self._desired, "transfer", str(request.position), gone=True))
        for key in sorted(self._contests):
            self._plan.facts.append(_resolved(self._desired.study, key))

    def _place(self, request: TransferRequest, *more: Fact) -> None:
        """Finds the request's row or writes one, `more` facts being true then; or tells who contests it."""
        alike = min((row for row in self._rows.values() if request.says(row)), key=self._preference, default=None)
        if alike is None and self._is_contested(request):
            self._contests.discard(request.key)
            if request.state != "contested":
                self._plan.facts.append(_contested(request))
            return
        facts = [*more]
        if request.key in self._contests:
            self._contests.discard(request.key)
            facts.append(_resolved(request.study, request.key))
        if alike is not None:
            self._plan.facts.extend([self._met(request, alike), *facts])
        else:
            self._write(request, facts)

    def _preference(self, row: TransferRow) -> tuple[bool, bool, int]:
        """Rows that are to be ended come last, people's before them: what was sent in ours is told of ours only."""
        request, wrote = owner(row, self._desired.requests)
        return request is not None and request.position in self._ending, not wrote, row.instance

    def _met(self, request: TransferRequest, row: TransferRow) -> Fact:
        """The request stands already: written by a run that was killed, made by a person, or under a request
        that it replaces, where an entry was corrected and corrected back. That may have been sent already,
        and must not be again.
        """
        holder, wrote = owner(row, self._desired.requests)
        self._own[request.position] = row.instance
        # The sender may have had the row since it was written, not since it is known.
        since = None if holder is None or not wrote else (holder.placed_at or holder.requested_at).isoformat()
        if wrote and holder is not None and holder.position in self._ending:
            self._leave_out(holder, row)
            return TransferAmended(
                study=request.study,
                request=request.position,
                instance=row.instance,
                replaced=holder.position,
                since=since,
            )
        return TransferPlaced(
            study=request.study, request=request.position, instance=row.instance, found=not wrote, since=since
        )

    def _leave_out(self, request: TransferRequest, row: TransferRow) -> None:
        """The row says what is in force now; the request whose row it was ends with its other rows, if any."""
        others = [other for other in self._written[request.position] if other.instance != row.instance]
        self._written[request.position] = others
        if not others:
            del self._ending[request.position]

    def _write(self, request: TransferRequest, facts: list[Fact]) -> None:
        """Amends a row that it takes over and that the sender cannot have taken; else takes the next instance."""
        amended = self._amendable(request)
        if amended is None:
            self._highest += 1
            instance = self._highest
            fields = transfers.requested_row(request, instance)
            placed: Fact = TransferPlaced(study=request.study, request=request.position, instance=instance, found=False)
        else:
            old, row = amended
            instance = row.instance
            fields = transfers.amended_row(request, row)
            self._leave_out(old, row)
            placed = TransferAmended(
                study=request.study, request=request.position, instance=instance, replaced=old.position
            )
        self._rows[instance] = transfers.transfer_row({name: str(value) for name, value in fields.items()})
        self._row(request, fields, placed, *facts)

    def _amendable(self, request: TransferRequest) -> tuple[TransferRequest, TransferRow] | None:
        """A row of a request that this one replaces, unless what it says may be sent, or was.

        Nor one whose file was taken back: a batch of the sender's that had read its queue before still sends it as it
        was, and writes into this instance, where that must be told of the old request.
        """
        for position in self._replaced_by(request):
            old = self._ending.get(position)
            if old is None:
                continue
            for row in self._written.get(position, ()):
                if row.is_sendable and not old.was_recalled(row.instance) and self._fate(old, row) == "unsent":
                    return old, row
        return None

    def _replaced_by(self, request: TransferRequest) -> Iterator[int]:
        """What it replaces, and what that replaced: it may have been corrected again before it was placed."""
        for position in request.replaces:
            yield position
            for replaced in self._desired.requests:
                if replaced.position == position:
                    yield from self._replaced_by(replaced)

    def _is_contested(self, request: TransferRequest) -> bool:
        """Whether somebody else requested the same project and event under another pseudonym."""
        return any(
            row.name and request.is_for(row.key) and not owner(row, self._desired.requests).wrote
            for row in self._rows.values()
        )

    def end(self) -> None:
        """Ends all rows of requests that are no longer in force, and doubles of those that are."""
        for request in self._ending.values():
            self._end(request)
        for request in self._desired.requests:
            if request.in_force:
                self._end_doubles(request)

    def _end_doubles(self, request: TransferRequest) -> None:
        doubles = list(self._doubles(request))
        ended = []
        if request.position in self._desired.doubled:
            ended = [DoubleEnded(study=request.study, project=request.project, request=request.position)]
        if not doubles:
            self._plan.facts.extend(ended)
        # True only once all of them are written: it goes with the last.
        for row in doubles:
            self._end_row(request, row, *(ended if row is doubles[-1] else ()))

    def _doubles(self, request: TransferRequest) -> Iterator[TransferRow]:
        """Rows of a request beside its own: written again by a run that was killed, and not recorded; or put back.

        One that was sent is left until a look has told so: the request stands there then.
        """
        own = self._own.get(request.position)
        if own is None:
            return
        for row in self._written.get(request.position, ()):
            is_untold = row.report.state == "sent" and not request.was_sent
            if row.instance != own and row.is_sendable and not is_untold:
                yield row

    def _end(self, request: TransferRequest) -> None:
        rows = self._written.get(request.position, [])
        # No later look may see it: the row can be deleted before.
        for row in rows or self._answering(request):
            self._plan.facts.extend(untold(row, request, self._desired.others))
        fates = [self._fate(request, row) for row in rows] or [self._fate_without_row(request)]
        fate = max(fates, key=("unsent", "possibly sent", "sent").index)
        withdrawn = TransferWithdrawn(
            study=request.study,
            project=request.project,
            request=request.position,
            instance=rows[0].instance if rows else (None if fate == "unsent" else _last_instance(request)),
            by=self._replacement(request),
            fate=fate,
        )
        to_be_written = [row for row in rows if row.is_sendable]
        if not to_be_written:
            self._plan.facts.append(withdrawn)
        # True only once all of them are written: it goes with the last.
        for row in to_be_written:
            self._end_row(request, row, *([withdrawn] if row is to_be_written[-1] else []))

    def _fate(self, request: TransferRequest, row: TransferRow) -> Fate:
        """What became of the row; one that failed has left the sender's hands, unless it was queued again.

        What was sent stays so, though a later attempt failed, or somebody took the date away.
        """
        if row.report.state == "sent" or request.was_sent:
            return "sent"
        if request.was_left_behind(self._now):
            return "possibly sent"
        if row.report.state == "failed":
            is_taken = self._is_queued_again(request, row.report, row.requested)
        else:
            is_taken = request.may_be_taken(self._now)
        return "possibly sent" if is_taken else "unsent"

    def _fate_without_row(self, request: TransferRequest) -> Fate:
        """What became of a request of which REDCap has no row of ours: it was deleted, or never there, or somebody
        else's row answers it. That one is left to whoever made it.
        """
        if request.was_sent or any(row.report.state == "sent" for row in self._answering(request)):
            return "sent"
        if request.instance is None:
            return "unsent"
        if request.was_left_behind(self._now):
            return "possibly sent"
        if request.found:
            return "unsent"
        if request.report.state == "failed":
            is_taken = self._is_queued_again(request, request.report, request.minute)
        else:
            is_taken = request.report.state == "possibly sent" or request.may_be_taken(self._now)
        return "possibly sent" if is_taken else "unsent"

    def _answering(self, request: TransferRequest) -> list[TransferRow]:
        """Somebody else's row that says what the request asks for, where the request was found in it."""
        return [row for row in self._rows.values() if request.found and request.stands_in([row])]

    def _is_queued_again(self, request: TransferRequest, report: Report, requested: str) -> bool:
        """Whether the sender may hold a copy again of what failed before.

        It makes another where a summary of the study, or the date of the request, is newer than its attempt.
        """
        if request.taken or request.recalled:
            return request.taken
        if report.sent_at in (None, transfers.NO_MOMENT):  # the sender always writes it: without, it counts as untried
            return request.may_be_taken(self._now)
        return max(requested, self._desired.newest_summary) >= report.sent_at[: len("2026-03-02 09:00")]

    def _replacement(self, request: TransferRequest) -> int | None:
        later = (other.position for other in self._desired.requests if request.position in other.replaces)
        return min(later, default=None)

    def _end_row(self, request: TransferRequest, row: TransferRow, *facts: Fact) -> None:
        """Empties or closes the row.

        One that is left blank is gone to REDCap, and whoever asks next gets its number. Not so where a file was taken
        back: a batch under way may have read it, and writes into that instance.
        """
        is_untouched = self._fate(request, row) == "unsent" and not request.was_recalled(row.instance)
        fields = transfers.emptied_row(row) if is_untouched else transfers.closed_row(row)
        self._row(request, fields, *facts, ends=True)

    def _row(self, request: TransferRequest, fields: Row, *facts: Fact, ends: bool = False) -> None:
        key = str(request.position)
        self._plan.rows.append(
            PlannedRow(request.study, "transfer", key, request.position, fields, facts, request.key, ends)
        )


def _last_instance(request: TransferRequest) -> int | None:
    """Where it stood: in a row of ours, if it ever did."""
    return next(iter(request.instances), request.instance)


def _contested(request: TransferRequest) -> Fact:
    return ConflictFound(
        study=request.study,
        project=request.project,
        event_name=request.event_name,
        kind="person",
        causes=(request.cause,),
        request=request.position,
    )


def _resolved(study: str, key: Key) -> Fact:
    return ConflictResolved(study=study, project=key.project, event_name=key.event_name)
