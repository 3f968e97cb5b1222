"""How a study stood at a moment gone by: what its events up to then come to, judged with the rules and entries of then.

The projections hold only how it stands now. What follows from an event is the same here as there: a test has whole
histories told by both.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sqlalchemy import text

from ledger import store
from ledger.events import Event
from processors.events import FACTS
from processors.events.deliveries import RowMissing, RowRestored
from processors.events.fact import Cause, Fact, study_stream
from processors.events.holds import RequestHeld, RequestReleased
from processors.events.patients import TwoPatientsFound, TwoPatientsResolved
from processors.events.pseudonyms import StudyHeld, StudyReleased
from processors.events.rules import ConflictFound, ConflictResolved, DecidedByHand, RuleTimedOut, RuleTimeoutResolved
from processors.events.series import SeriesFact, SeriesReturned, SeriesVanished, StudyReturned, StudyVanished
from processors.events.transfers import (
    SenderReport,
    TransferAmended,
    TransferFailed,
    TransferPlaced,
    TransferRequested,
    TransferRetracted,
    TransferSent,
    TransferStrayed,
    TransferWithdrawn,
)
from processors.explain.conditions import EntryAccount, entry_accounts, rule_accounts
from processors.explain.endings import Ending
from processors.explain.explanation import BY_OTHERS, OriginAccount, origins
from processors.explain.near_miss import Matching
from processors.explain.timeline import Moment, timeline
from processors.explain.verdict import Situation, verdict
from processors.gateway import Work
from processors.requests import IN_FORCE, Key, Report, State, TransferRequest
from processors.routing.decisions import Conflict, KnownHold, Obstacle, Outcome
from processors.routing.edits import Edit
from processors.routing.rules import Router
from processors.routing.stored_directives import entries_at, rules_at
from processors.text import without_padding

_UNREPORTED: Final = Ending(0, "", "", None, "requested", "awaited", 0, None, None, None, [], None, [])
"""A request of which the sender has told nothing."""


@dataclass(kw_only=True, slots=True)
class Past:
    """What a study's events had come to: as the tables of schema `gateway` hold it of the newest ones.

    `series` are the positions of the newest content of each, `gone` those of them that were not on disk. `requests`
    are all that were ever made, `causes` and `requested_at` theirs; `told` the instance and date of
    each time that each was sent;
    `missing` are the rows (kind and key) that people had deleted or changed.
    """

    on_disk: bool = True
    series: dict[str, int] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    accessions: dict[str, str] = field(default_factory=dict)
    patients: Sequence[Sequence[str]] = ()
    requests: dict[int, Ending] = field(default_factory=dict)
    causes: dict[int, Cause] = field(default_factory=dict)
    requested_at: dict[int, datetime] = field(default_factory=dict)
    told: dict[int | None, set[tuple[int, str]]] = field(default_factory=dict)
    conflicts: dict[Key, Conflict] = field(default_factory=dict)
    holds: dict[Key, KnownHold] = field(default_factory=dict)
    held: tuple[str, str] | None = None
    by_hand: set[Key] = field(default_factory=set)
    missing: set[tuple[str, str]] = field(default_factory=set)
    late: set[str] = field(default_factory=set)

    def _change(self, request: int | None, **fields: object) -> None:
        if request in self.requests:
            self.requests[request] = self.requests[request]._replace(**fields)  # type: ignore[arg-type]

    def _settle(self, request: int) -> None:
        """What was sent stays known, whatever becomes of the request afterwards."""
        known = self.requests.get(request, _UNREPORTED)
        if not known.sends:
            self._change(request, **{name: getattr(_UNREPORTED, name) for name in Ending._fields[_REPORTED_FROM:]})

    def _place(self, request: int, instance: int) -> None:
        known = self.requests.get(request, _UNREPORTED)
        state: State = "placed" if known.state in ("requested", "contested") else known.state
        self._change(
            request, state=state, instance=instance, reported="awaited", tried_at=None, errors=[], failure=None
        )
        told = self.told.setdefault(request, set())
        told |= {(instance, sent_at) for _, sent_at in told}

    def _withdraw(self, withdrawn: TransferWithdrawn) -> None:
        known = self.requests.get(withdrawn.request, _UNREPORTED)
        state: State = "withdrawn" if withdrawn.fate == "unsent" else "closed"
        instance = withdrawn.instance if known.instance is None else known.instance
        self._change(withdrawn.request, state=state, instance=instance)
        if withdrawn.fate == "unsent":
            self._settle(withdrawn.request)
        elif withdrawn.fate == "possibly sent" and known.reported in ("awaited", "failed"):
            self._change(withdrawn.request, reported="possibly sent", tried_at=None)

    def _report(self, report: SenderReport) -> None:
        known = self.requests.get(report.request or 0, _UNREPORTED)
        match report:
            case TransferSent():
                is_new = self._is_another_sending(report)
                self._change(
                    report.request,
                    reported="sent",
                    sends=known.sends + int(is_new),
                    first_sent_at=known.first_sent_at if known.sends else report.sent_at or None,
                    sent_at=(report.sent_at or None) if is_new else known.sent_at,
                    tried_at=None,
                    errors=list(report.errors),
                    failure=None,
                    mapped_uids=known.mapped_uids + [uid for uid in report.mapped_uids if uid not in known.mapped_uids],
                )
            case TransferFailed():
                self._change(
                    report.request,
                    reported="failed",
                    tried_at=report.tried_at or None,
                    errors=list(report.errors),
                    failure=report.failure,
                )
            case _:
                self._change(report.request, reported="awaited", tried_at=None, errors=[], failure=None)

    def _is_another_sending(self, report: TransferSent) -> bool:
        """Whether the date is a new one of the row: one told before tells more of the same sending, or was copied."""
        told = self.told.setdefault(report.request, set())
        is_new = (report.instance, report.sent_at) not in told
        told.add((report.instance, report.sent_at))
        return is_new

    def _request(self, requested: TransferRequested, event: Event) -> None:
        self.requests[event.position] = _UNREPORTED._replace(
            request=event.position, project=requested.project, event_name=requested.event_name
        )
        self.causes[event.position] = requested.cause
        self.requested_at[event.position] = event.recorded_at
        for replaced in requested.replaces:
            self._change(replaced, state="ending")

    def _contest(self, request: int | None) -> None:
        if self.requests.get(request or 0, _UNREPORTED).state in ("requested", "placed"):
            self._change(request, state="contested")

    def tell_missing(self) -> None:
        """Adds to the requests whether their rows were missing in the end."""
        for request in self.requests:
            rows = {("study", ""), ("transfer", str(request))}
            self._change(request, is_missing=not self.missing.isdisjoint(rows))

    def take(self, fact: Fact, event: Event) -> None:
        """Adds what one more event says."""
        self._take_content(fact, event)
        self._take_request(fact, event)
        self._take_decision(fact, event)

    def _take_content(self, fact: Fact, event: Event) -> None:
        match fact:
            case SeriesFact():
                self.series[fact.SeriesInstanceUID] = event.position
                self.accessions[fact.SeriesInstanceUID] = fact.accession
            case StudyVanished() | StudyReturned():
                self.on_disk = isinstance(fact, StudyReturned)
            case SeriesVanished():
                self.gone.add(fact.SeriesInstanceUID)
            case SeriesReturned():
                self.gone.discard(fact.SeriesInstanceUID)
            case TwoPatientsFound():
                self.patients = fact.patients
            case TwoPatientsResolved():
                self.patients = ()

    def _take_request(self, fact: Fact, event: Event) -> None:
        match fact:
            case TransferRequested():
                self._request(fact, event)
            case TransferRetracted() | TransferStrayed():
                self._change(fact.request, state="ending")
            case TransferPlaced():
                self._place(fact.request, fact.instance)
            case TransferAmended():
                self._settle(fact.replaced)
                self._place(fact.request, fact.instance)
                self._change(fact.replaced, state="withdrawn")
            case TransferWithdrawn():
                self._withdraw(fact)
            case RowMissing():
                self.missing.add((fact.kind, fact.key))
                if fact.kind == "transfer":
                    self._settle(int(fact.key))
            case RowRestored():
                self.missing.discard((fact.kind, fact.key))
            case SenderReport():
                self._report(fact)

    def _take_decision(self, fact: Fact, event: Event) -> None:
        match fact:
            case ConflictFound():
                key = Key(fact.project, fact.event_name)
                self.conflicts[key] = Conflict(key=key, kind=fact.kind, causes=fact.causes)
                self._contest(fact.request)
            case ConflictResolved():
                self.conflicts.pop(Key(fact.project, fact.event_name), None)
            case RequestHeld():
                obstacle = Obstacle(fact.kind, fact.details, fact.studies)
                self.holds[Key(fact.project, fact.event_name)] = KnownHold(event.position, fact.cause, obstacle, None)
            case RequestReleased():
                self.holds.pop(Key(fact.project, fact.event_name), None)
            case StudyHeld():
                self.held = fact.project, fact.reason
            case StudyReleased():
                self.held = None
            case RuleTimedOut():
                self.late.add(fact.record_id)
            case RuleTimeoutResolved():
                self.late.discard(fact.record_id)
            case DecidedByHand():
                self.by_hand.add(Key(fact.project, fact.event_name or ""))


_REPORTED_FROM: Final = Ending._fields.index("reported")


def stood(events: Iterable[Event]) -> Past:
    """What these events of one study, the oldest first, come to."""
    past = Past()
    for event in events:
        # Of a type that a later version of this program recorded, the timeline says how to look at it.
        if event.type in FACTS:
            past.take(FACTS[event.type].read(event), event)
    past.tell_missing()
    return past


@dataclass(frozen=True, kw_only=True, slots=True)
class PastExplanation:
    """What there was to tell of a study when a day ended; nothing but its name where nothing was known of it.

    `rule_edits` and `entry_edits` tell who had made them read so.
    """

    study: str
    on_disk: bool
    verdict: Sequence[str]
    endings: Sequence[Ending]
    timeline: Sequence[Moment]
    origins: Sequence[OriginAccount]
    entries: Sequence[EntryAccount]
    rule_edits: Mapping[str, Edit]
    entry_edits: Mapping[str, Edit]


def explain_then(work: Work, study: str, end: datetime, matching: Matching) -> PastExplanation:
    """What was known of the study before `end`, and how the rules and entries in force then fared with it.

    Patterns are read as they are now configured to be. What a run had not decided yet by then is not foretold.
    """
    moments = [moment for moment in timeline(work, study) if moment.at < end]
    events = [event for event in store.read_stream(work.connection, study_stream(study)) if event.recorded_at < end]
    past = stood(events)
    shown = {position: series for series, position in past.series.items()}
    rule_rows = work.execute(_RULES_THEN, {"end": end}).all()
    rules = rules_at(work, [row.position for row in rule_rows])
    router = Router(rules, mode=matching.mode, time_limit=matching.time_limit)
    accounts = [
        OriginAccount(
            origin=origin,
            rules=rule_accounts(rules, origin.identity, router, matching, forgotten=origin.forgotten),
        )
        for origin in origins(work, shown)
    ]
    on_disk = {series for series in past.series if series not in past.gone}
    named = {"end": end, "study": study, "accessions": sorted({past.accessions[series] for series in on_disk} - {""})}
    entry_rows = work.execute(_ENTRIES_THEN, named).all()
    entries = entry_accounts(
        entries_at(work, [row.position for row in entry_rows]),
        study,
        _accession_numbers(work, [past.series[series] for series in on_disk]),
        on_disk=past.on_disk,
    )
    return PastExplanation(
        study=study,
        on_disk=past.on_disk,
        verdict=verdict(_situation(work, past, events, accounts, entries)) if past.series else (),
        endings=list(past.requests.values()),
        timeline=moments,
        origins=accounts,
        entries=entries,
        rule_edits={row.record_id: Edit(row.changed_by, row.changed_at) for row in rule_rows},
        entry_edits={row.record_id: Edit(row.changed_by, row.changed_at) for row in entry_rows},
    )


_RULES_THEN = text("""
    select position, record_id, nullif(changed_by, 'unknown') as changed_by, changed_at from audit.rule
     where valid_from < :end and (valid_to is null or valid_to >= :end) order by record_id
""")
_ENTRIES_THEN = text("""
    select entry.position, entry.record_id, nullif(entry.changed_by, 'unknown') as changed_by, entry.changed_at
      from ledger.event as said join audit.coupling_entry as entry using (position)
     where said.type = 'CouplingEntryChanged'
       and (said.data ->> 'study' = :study or said.data ->> 'accession' = any(:accessions))
       and valid_from < :end and (valid_to is null or valid_to >= :end)
     order by entry.record_id
""")


def _accession_numbers(work: Work, positions: Sequence[int]) -> list[str]:
    """The accession numbers that these events of series hold, without what pads them."""
    said = [payload.get("AccessionNumber", "") for _, payload in work.identities(positions).values()]
    return sorted({without_padding(number) for number in said if number})


def _situation(
    work: Work,
    past: Past,
    events: Sequence[Event],
    accounts: Sequence[OriginAccount],
    entries: Sequence[EntryAccount],
) -> Situation:
    """What the verdict went by then. What deciding anew would have come to is not known."""
    requests = [_request(past, ending, work.local) for ending in past.requests.values()]
    return Situation(
        on_disk=past.on_disk,
        undecided=False,
        forgotten=all(account.origin.forgotten for account in accounts),
        requests=[request for request in requests if request.state in (*IN_FORCE, "ending")],
        conflicts=list(past.conflicts.values()),
        holds=past.holds,
        held=past.held,
        patients=past.patients,
        others=any(event.type in BY_OTHERS for event in events),
        by_hand=past.by_hand,
        ever_requested=[request.key for request in requests],
        outcome=Outcome(),
        wanted={request.key for request in requests},
        doubted=(),
        late=sorted(past.late),
        id_projects=(),
        doubted_projects=(),
        rules=[account.rules for account in accounts],
        entries=entries,
    )


def _request(past: Past, ending: Ending, local: Callable[[datetime], datetime]) -> TransferRequest:
    return TransferRequest(
        position=ending.request,
        study="",
        key=Key(ending.project, ending.event_name),
        pseudonym=None,
        cause=past.causes[ending.request],
        requested_at=local(past.requested_at[ending.request]),
        state=ending.state,
        instance=ending.instance,
        is_missing=ending.is_missing,
        report=Report(ending.reported),
    )
