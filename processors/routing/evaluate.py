"""Judging one study: what rules and entries ask for, against what was requested before."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import text

from processors.events.fact import Cause
from processors.gateway import Work
from processors.requests import Key
from processors.routing import decisions
from processors.routing.coupling import CouplingList, Entry
from processors.routing.decisions import Candidate, Corrected, NewRequest, Outcome
from processors.routing.review import review_change, review_two_patients
from processors.routing.rules import Identity, MatchMode, Router
from processors.routing.study_state import Evidence
from processors.routing.sync import Observed
from processors.text import without_padding


@dataclass(frozen=True, kw_only=True, slots=True)
class Directives:
    """Rules and entries in force, with the positions of the events that hold them."""

    router: Router
    entries: CouplingList
    rule_positions: Mapping[str, int]
    entry_positions: Mapping[str, int]
    entry_lives: Mapping[str, int]
    entries_ask_since: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """What rules and entries ask for about one study, and what is to be recorded about it.

    `two_patients` are the series of each where it is found to be of two; `one_again`: it is no longer.
    """

    evidence: Evidence
    candidates: Sequence[Candidate]
    outcome: Outcome
    timed_out: frozenset[str]
    recovered: frozenset[str]
    two_patients: tuple[tuple[str, ...], ...] | None = None
    one_again: bool = False


_RULE_POSITIONS = text("select record_id, position from gateway.rule where not removed")
_ENTRY_POSITIONS = text("""
    select record_id, position, life_position, asks_position from gateway.coupling_entry where not removed
""")


def directives_of(work: Work, observed: Observed, *, mode: MatchMode, time_limit: float) -> Directives:
    """What REDCap directs at present, with the positions of the events that say so."""
    entries = work.execute(_ENTRY_POSITIONS).all()
    return Directives(
        router=Router(observed.rules, mode=mode, time_limit=time_limit),
        entries=CouplingList(observed.entries),
        rule_positions={row.record_id: row.position for row in work.execute(_RULE_POSITIONS)},
        entry_positions={row.record_id: row.position for row in entries},
        entry_lives={row.record_id: row.life_position for row in entries},
        entries_ask_since={row.record_id: row.asks_position for row in entries},
    )


def judge(evidence: Evidence, directives: Directives) -> Judgement:
    """What one study's evidence comes to under the directives in force."""
    if evidence.of_two_patients:
        return _judge_two_patients(evidence, directives)
    candidates = [*_coupling_candidates(evidence, directives)]
    failed: set[str] = set()
    for identity in sorted(evidence.gained):
        found, timed_out = _rule_candidates(identity, directives)
        anew = evidence.received_anew_at
        candidates.extend(replace(each, asks_since=max(each.asks_since, anew)) for each in found)
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
        by_hand=evidence.by_hand,
        gone=evidence.gone,
    )
    if evidence.change is not None:
        outcome = review_change(
            outcome,
            evidence,
            evidence.change,
            wanted=decisions.wanted_of(candidates, evidence.by_hand),
            router=directives.router,
            asks_since=directives.entries_ask_since,
        )
    return Judgement(
        evidence=evidence,
        candidates=candidates,
        outcome=_as_it_stands(outcome, evidence),
        timed_out=frozenset(failed - evidence.failed_rules),
        recovered=frozenset(evidence.failed_rules - failed),
        one_again=evidence.of_one_again,
    )


def _judge_two_patients(evidence: Evidence, directives: Directives) -> Judgement:
    """What the evidence comes to where nothing can be said of the study as a whole: a person's word about it counts."""
    candidates = [*_coupling_candidates(evidence, directives)]
    outcome = decisions.decide(
        candidates,
        evidence.standing,
        corrected=_corrected(evidence, directives),
        open_conflicts=evidence.conflicts,
        by_hand=evidence.by_hand,
        gone=evidence.gone,
    )
    wanted = decisions.wanted_of(candidates, evidence.by_hand)
    patients = tuple(patient.series for patient in evidence.patients)
    return Judgement(
        evidence=evidence,
        candidates=candidates,
        outcome=_as_it_stands(review_two_patients(outcome, evidence, wanted=wanted), evidence),
        timed_out=frozenset(),
        recovered=frozenset(),
        two_patients=patients if patients != evidence.held else None,
    )


def _as_it_stands(outcome: Outcome, evidence: Evidence) -> Outcome:
    """The outcome without what REDCap held before this system, or cannot be over yet."""
    requests = [each for each in outcome.requests if not _stood_before(each, evidence)]
    # The entries of a study that has vanished wait with it, and so do the conflicts between them.
    return replace(outcome, requests=requests, resolved=outcome.resolved if evidence.on_disk else [])


def _stood_before(request: NewRequest, evidence: Evidence) -> bool:
    """Whether REDCap held this request before this system: then it is somebody's already, and not made again.

    Not so where it replaces one of ours, whose row has to be dealt with; nor where an entry asks for it that
    is newer: a person may have removed the row since, and delivery finds it if it is there. A forgotten
    pseudonym equals any.
    """
    names = evidence.adopted.get(request.candidate.key, {})
    stood = names.get(request.candidate.pseudonym.strip(), names.get(None))
    if stood is None or request.replaces:
        return False
    cause = request.candidate.cause
    return not (cause.kind == "coupling" and request.candidate.asks_since > stood)


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
            asks_since=directives.rule_positions[hit.rule.record_id],
            whole_match=hit.whole,
        )
        for hit in hits
    ]
    return candidates, {rule.record_id for rule in timed_out}


def _coupling_candidates(evidence: Evidence, directives: Directives) -> Iterable[Candidate]:
    # An entry waits for a study that has vanished until it arrives again.
    if not evidence.on_disk:
        return
    accessions = () if evidence.of_two_patients else evidence.accessions
    for entry in directives.entries.naming(evidence.study, accessions):
        yield Candidate(
            key=Key(entry.project, entry.event_name),
            pseudonym=entry.subject_id,
            cause=_entry_cause(entry, directives),
            asks_since=directives.entries_ask_since[entry.record_id],
        )


def _entry_cause(entry: Entry, directives: Directives) -> Cause:
    return Cause("coupling", entry.record_id, directives.entry_positions[entry.record_id])


def _corrected(evidence: Evidence, directives: Directives) -> dict[int, Corrected]:
    """For each request that an entry led to: the entry as it reads now, if it is still the same entry."""
    # Series that have left the disk change nothing, unless the study is somebody else's without them.
    accessions = evidence.known_accessions if evidence.change is None else evidence.accessions
    naming = {entry.record_id for entry in directives.entries.naming(evidence.study, accessions)}
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
