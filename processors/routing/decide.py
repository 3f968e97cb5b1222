"""Deciding about transfers: gathers evidence, lets `decisions.decide` judge, records what it came to.

Decisions are recorded in portions of studies; only when all are recorded does `DecisionsMade` move
the mark up to which this site has decided. Killed in between, the next run decides the rest, and
the first ones again, which then find their own requests standing and ask for nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ledger.batching import Progress, batches
from processors.events.rules import DecisionsMade
from processors.gateway import Gateway, Work
from processors.routing.agenda import Agenda, agenda, named_by
from processors.routing.checks import Check, checked
from processors.routing.evaluate import Directives, Judgement, directives_of, judge
from processors.routing.evidence import gather
from processors.routing.identify import identified
from processors.routing.meant import follow_withdrawals
from processors.routing.recognise import recognise_asked_for, recognise_patients
from processors.routing.record import decision_events
from processors.routing.rules import MatchMode
from processors.routing.sync import Observed
from processors.routing.two_names import two_names
from processors.routing.withdrawals import any_withdrew

PORTION = 500


@dataclass(kw_only=True, slots=True)
class Decided:
    """What deciding came to, counted."""

    studies: int = 0
    requested: int = 0
    held: int = 0
    conflicts: int = 0
    retracted: int = 0
    deferred: int = 0
    timed_out: int = 0
    rules_switched_off: list[str] = field(default_factory=list)

    def count(self, judgements: Sequence[Judgement]) -> None:
        """Adds what these studies came to."""
        self.studies += len(judgements)
        self.requested += sum(len(judgement.outcome.requests) for judgement in judgements)
        self.held += sum(len(judgement.newly_held) for judgement in judgements)
        self.conflicts += sum(len(judgement.outcome.conflicts) for judgement in judgements)
        self.retracted += sum(len(judgement.outcome.retractions) for judgement in judgements)
        self.deferred += sum(len(judgement.deferred) for judgement in judgements)
        self.timed_out += sum(len(judgement.timed_out) for judgement in judgements)


def decide_transfers(
    gateway: Gateway,
    observed: Observed,
    *,
    mode: MatchMode,
    time_limit: float,
    checks: Sequence[Check] = (),
    holds_split: bool = False,
    progress: Progress | None = None,
) -> Decided:
    """Records requests, retractions and conflicts for all that has happened since the last decision."""
    with gateway.begin() as work:
        window, directives = agenda(work, gateway.site), None
        anybody_withdrew = any_withdrew(work)
        # Of a list of thousands nothing is read where nothing is to be decided.
        if window.studies or window.changed_entries:
            directives = directives_of(work, observed, mode=mode, time_limit=time_limit)
            window = _with_coupled(work, gateway.site, window, directives)
    studies = window.studies
    recognise_patients(gateway, studies, window.after)
    if anybody_withdrew:
        follow_withdrawals(gateway, studies, window.after)
    decided = Decided()
    if directives is not None:
        decided = _decide(gateway, window, directives, checks, holds_split=holds_split, progress=progress)
    if anybody_withdrew:
        # Whose a withdrawn pseudonym is may be known since.
        follow_withdrawals(gateway, studies, window.until)
    if window.news:
        _mark(gateway, window)
    return decided


def _decide(
    gateway: Gateway,
    window: Agenda,
    directives: Directives,
    checks: Sequence[Check],
    *,
    holds_split: bool,
    progress: Progress | None,
) -> Decided:
    """What deciding about the studies came to, all of it recorded."""
    decided = Decided()
    for portion in batches(window.studies, PORTION):
        with gateway.begin() as work:
            evidence = gather(work, portion, window, with_identities=bool(directives.router))
            judgements = checked(work, [judge(known, directives) for known in evidence], checks)
            recognise_asked_for(work, judgements)
            judgements, held_too = identified(work, judgements, holds_split=holds_split)
            work.record([*decision_events(work, judgements), *held_too, *two_names(work, portion, window)])
        decided.count(judgements)
        decided.rules_switched_off = directives.router.switched_off
        if progress is not None:
            progress(decided.studies, len(window.studies))
    return decided


def _with_coupled(work: Work, site: str, window: Agenda, directives: Directives) -> Agenda:
    """The agenda with the studies that new or changed entries name."""
    entries = [entry for record in window.changed_entries if (entry := directives.entries.get(record)) is not None]
    usable = [entry for entry in entries if not entry.problems]
    if not usable:
        return window
    named = named_by(
        work,
        site,
        {accession for entry in usable if (accession := directives.entries.accession(entry))},
        {entry.study for entry in usable if entry.study},
    )
    return replace(window, coupled=window.coupled | named)


def _mark(gateway: Gateway, window: Agenda) -> None:
    made = DecisionsMade(site=gateway.site, position=window.until, studies=len(window.studies))
    with gateway.begin() as work:
        work.record([made])
