"""Deciding about transfers: gathers evidence, lets `decisions.decide` judge, records what it came to.

Decisions are recorded in portions of studies; only when all are recorded does `DecisionsMade` move
the mark up to which this site has decided. Killed in between, the next run decides the rest, and
the first ones again, which then find their own requests standing and ask for nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, text

from ledger.events import NewEvent, new_event_id
from ledger.projector import Progress, batches
from ledger.vault import SubjectName
from processors import decisions
from processors.blanks import without_padding
from processors.coupling import CouplingList, Entry
from processors.decisions import Candidate, Cause, Corrected, Key, Outcome
from processors.events import EventType, decision_stream, study_stream
from processors.gateway import Gateway
from processors.incoming.evidence import Agenda, Evidence, agenda, gather, named_by
from processors.incoming.observe import Observed
from processors.routing import Identity, MatchMode, Router

PORTION = 500


@dataclass(kw_only=True, slots=True)
class Decided:
    """What deciding came to, counted."""

    studies: int = 0
    requested: int = 0
    conflicts: int = 0
    retracted: int = 0
    timed_out: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Directives:
    """Rules and entries in force, with the positions of the events that hold them."""

    router: Router
    entries: CouplingList
    rule_positions: Mapping[str, int]
    entry_positions: Mapping[str, int]
    entry_lives: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """What is to be recorded about one study."""

    evidence: Evidence
    outcome: Outcome
    timed_out: frozenset[str]
    recovered: frozenset[str]


def decide_transfers(
    gateway: Gateway,
    observed: Observed,
    *,
    mode: MatchMode,
    time_limit: float,
    progress: Progress | None = None,
) -> Decided:
    """Records requests, retractions and conflicts for all that has happened since the last decision."""
    with gateway.begin() as connection:
        directives = _directives(connection, observed, mode=mode, time_limit=time_limit)
        window = _with_coupled(connection, gateway.site, agenda(connection, gateway.site), directives)
    decided = Decided()
    studies = window.studies
    for portion in batches(studies, PORTION):
        with gateway.begin() as connection:
            evidence = gather(gateway, connection, portion, window, with_identities=bool(directives.router))
            judgements = [judge(known, directives) for known in evidence]
            gateway.record(connection, _events(gateway, connection, judgements))
        _count(decided, judgements)
        if progress is not None:
            progress(decided.studies, len(studies))
    if studies:
        _mark(gateway, window)
    return decided


def judge(evidence: Evidence, directives: Directives) -> Judgement:
    """What one study's evidence comes to under the directives in force."""
    candidates = [*_coupling_candidates(evidence, directives)]
    failed: set[str] = set()
    for identity in sorted(evidence.gained):
        found, timed_out = _rule_candidates(identity, directives)
        candidates.extend(found)
        failed |= timed_out
    for identity in sorted(evidence.earlier):
        found, timed_out = _rule_candidates(identity, directives)
        candidates.extend(c for c in found if _reopened(c, evidence))
        failed |= timed_out & evidence.failed_rules
    outcome = decisions.decide(
        candidates,
        evidence.standing,
        corrected=_corrected(evidence, directives),
        open_conflicts=evidence.conflicts,
    )
    if not evidence.on_disk:
        # Its entries wait with it, and so do the conflicts between them.
        outcome = replace(outcome, resolved=[])
    return Judgement(
        evidence=evidence,
        outcome=outcome,
        timed_out=frozenset(failed - evidence.failed_rules),
        recovered=frozenset(evidence.failed_rules - failed),
    )


def _reopened(candidate: Candidate, evidence: Evidence) -> bool:
    """Whether an old series is to be routed again.

    Routing happens when a study gains a series; what was left undecided then is decided once the
    rules allow it.
    """
    return candidate.key in evidence.conflicts or candidate.cause.record_id in evidence.failed_rules


def _rule_candidates(identity: Identity, directives: Directives) -> tuple[list[Candidate], set[str]]:
    hits, timed_out = directives.router.hits(identity)
    candidates = [
        Candidate(
            key=Key(hit.rule.project, hit.rule.event_name),
            # REDCap strips it, and so do comparisons with what is there: two spellings would conflict for nothing.
            pseudonym=without_padding(hit.pseudonym),
            cause=Cause("rule", hit.rule.record_id, directives.rule_positions[hit.rule.record_id]),
            whole_match=hit.whole,
        )
        for hit in hits
    ]
    return candidates, {rule.record_id for rule in timed_out}


def _coupling_candidates(evidence: Evidence, directives: Directives) -> Iterable[Candidate]:
    # An entry waits for a study that has vanished until it arrives again.
    if not evidence.on_disk:
        return
    for entry in directives.entries.naming(evidence.study, evidence.accessions):
        yield Candidate(
            key=Key(entry.project, entry.event_name),
            pseudonym=entry.subject_id,
            cause=_entry_cause(entry, directives),
        )


def _entry_cause(entry: Entry, directives: Directives) -> Cause:
    return Cause("coupling", entry.record_id, directives.entry_positions[entry.record_id])


def _corrected(evidence: Evidence, directives: Directives) -> dict[int, Corrected]:
    """For each request that an entry led to: the entry as it reads now, if it is still the same entry."""
    naming = {entry.record_id for entry in directives.entries.naming(evidence.study, evidence.accessions)}
    corrected = {}
    for request in evidence.standing:
        entry = directives.entries.get(request.cause.record_id) if request.cause.kind == "coupling" else None
        if entry is None or entry.problems:
            continue
        if request.cause.position < directives.entry_lives[entry.record_id]:
            continue
        corrected[request.position] = Corrected(
            cause=_entry_cause(entry, directives),
            key=Key(entry.project, entry.event_name),
            pseudonym=entry.subject_id,
            names_study=entry.record_id in naming,
        )
    return corrected


_RULE_POSITIONS = text("select record_id, position from gateway.rule where not removed")
_ENTRY_POSITIONS = text("select record_id, position, life_position from gateway.coupling_entry where not removed")
_CHANGED_ENTRIES = text("select record_id from gateway.coupling_entry where position > :after and not removed")


def _directives(connection: Connection, observed: Observed, *, mode: MatchMode, time_limit: float) -> Directives:
    entries = connection.execute(_ENTRY_POSITIONS).all()
    return Directives(
        router=Router(observed.rules, mode=mode, time_limit=time_limit),
        entries=CouplingList(observed.entries),
        rule_positions={row.record_id: row.position for row in connection.execute(_RULE_POSITIONS)},
        entry_positions={row.record_id: row.position for row in entries},
        entry_lives={row.record_id: row.life_position for row in entries},
    )


def _with_coupled(connection: Connection, site: str, window: Agenda, directives: Directives) -> Agenda:
    """The agenda with the studies that new or changed entries name."""
    changed = connection.execute(_CHANGED_ENTRIES, {"after": window.after}).scalars()
    entries = [entry for record in changed if (entry := directives.entries.get(record)) is not None]
    usable = [entry for entry in entries if not entry.problems]
    named = named_by(
        connection,
        site,
        {entry.accession for entry in usable if entry.accession},
        {entry.study for entry in usable if entry.study},
    )
    return Agenda(
        after=window.after,
        until=window.until,
        gained=window.gained,
        reopened=window.reopened,
        coupled=window.coupled | named,
    )


def _events(gateway: Gateway, connection: Connection, judgements: Sequence[Judgement]) -> list[NewEvent]:
    gateway.vault.load(connection, (judgement.evidence.subject for judgement in judgements))
    return [event for judgement in judgements for event in _events_of(gateway, connection, judgement)]


def _events_of(gateway: Gateway, connection: Connection, judgement: Judgement) -> list[NewEvent]:
    study, outcome = judgement.evidence.study, judgement.outcome
    events = [_requested(gateway, connection, judgement.evidence, request) for request in outcome.requests]

    def plain(type_: EventType, **data: Any) -> NewEvent:
        return NewEvent(stream=study_stream(study), type=type_, data={"study": study, **data})

    events.extend(
        plain(
            EventType.TRANSFER_RETRACTED,
            project=retraction.request.key.project,
            request=retraction.request.position,
            reason=retraction.reason,
            cause=retraction.cause.as_data(),
        )
        for retraction in outcome.retractions
    )
    for conflict in outcome.conflicts:
        causes = [cause.as_data() for cause in conflict.causes]
        events.append(plain(EventType.CONFLICT_FOUND, **conflict.key._asdict(), kind=conflict.kind, causes=causes))
    events.extend(plain(EventType.CONFLICT_RESOLVED, **key._asdict()) for key in outcome.resolved)
    events.extend(plain(EventType.RULE_TIMED_OUT, record_id=record) for record in sorted(judgement.timed_out))
    events.extend(plain(EventType.RULE_TIMEOUT_RESOLVED, record_id=record) for record in sorted(judgement.recovered))
    return events


def _requested(gateway: Gateway, connection: Connection, evidence: Evidence, request: decisions.Request) -> NewEvent:
    """The request's event. Its pseudonym is sealed: a rule takes it from the patient's ID or name."""
    candidate = request.candidate
    subject = evidence.subject
    if evidence.shared or not gateway.vault.holds(subject):
        # Sealed for the study alone: the pseudonym may be the ID of either patient, and goes when one of them
        # is forgotten; or the patient was forgotten, yet a person couples the study again.
        name = SubjectName("study", "", evidence.study)
        subject = gateway.vault.subjects(connection, [name])[name]
    event_id = new_event_id()
    return NewEvent(
        stream=study_stream(evidence.study),
        type=EventType.TRANSFER_REQUESTED,
        data={
            "study": evidence.study,
            **candidate.key._asdict(),
            "cause": candidate.cause.as_data(),
            "whole_match": candidate.whole_match,
            "replaces": list(request.replaces),
        },
        event_id=event_id,
        subject=subject,
        sealed=gateway.vault.seal(subject, event_id, {"pseudonym": candidate.pseudonym}),
    )


def _mark(gateway: Gateway, window: Agenda) -> None:
    stream = decision_stream(gateway.site)
    event = NewEvent(
        stream=stream,
        type=EventType.DECISIONS_MADE,
        data={"site": gateway.site, "position": window.until, "studies": len(window.studies)},
    )
    with gateway.begin() as connection:
        gateway.record(connection, [event])


def _count(decided: Decided, judgements: Sequence[Judgement]) -> None:
    decided.studies += len(judgements)
    decided.requested += sum(len(judgement.outcome.requests) for judgement in judgements)
    decided.conflicts += sum(len(judgement.outcome.conflicts) for judgement in judgements)
    decided.retracted += sum(len(judgement.outcome.retractions) for judgement in judgements)
    decided.timed_out += sum(len(judgement.timed_out) for judgement in judgements)
