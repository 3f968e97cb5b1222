"""Judging one study: what rules and entries ask for, against what was requested before."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import text

from processors.events.fact import Cause
from processors.gateway import Work
from processors.requests import Key
from processors.routing import decisions
from processors.routing.coupling import CouplingList, Entry
from processors.routing.decisions import (
    ASKED_FOR_ANEW,
    Candidate,
    Corrected,
    Deferral,
    HeldRequest,
    NewRequest,
    Outcome,
)
from processors.routing.evidence import Evidence
from processors.routing.holds import held_candidates, newly_held, released
from processors.routing.review import review_change, review_two_patients
from processors.routing.rules import Identity, MatchMode, Router, Rule
from processors.routing.sync import Doubted, Observed
from processors.text import without_padding


@dataclass(frozen=True, kw_only=True, slots=True)
class Directives:
    """Rules and entries in force, with the positions of the events that hold them; some may be `doubted`."""

    router: Router
    entries: CouplingList
    rule_positions: Mapping[str, int]
    entry_positions: Mapping[str, int]
    entry_lives: Mapping[str, int]
    entries_ask_since: Mapping[str, int]
    doubted: Doubted = field(default_factory=Doubted)


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """What rules and entries ask for about one study, and what is to be recorded about it.

    `doubtful` are those candidates that doubted rules and entries make. `deferred` and `resumed` tell of what
    depends on them for the first time, and of what no longer does; `left_open` is all that depends on them.
    `two_patients` are the series of each where it is found to be of two; `one_again`: it is no longer.
    """

    evidence: Evidence
    candidates: Sequence[Candidate]
    doubtful: Sequence[Candidate]
    outcome: Outcome
    deferred: Sequence[Deferral]
    resumed: Sequence[Key]
    left_open: frozenset[Key]
    timed_out: frozenset[str]
    recovered: frozenset[str]
    two_patients: tuple[tuple[str, ...], ...] | None = None
    one_again: bool = False

    @property
    def newly_held(self) -> list[HeldRequest]:
        """What is held and was not before, or not for the same reason."""
        return newly_held(self.outcome, self.evidence.holds)

    @property
    def released(self) -> list[Key]:
        """What was held and is not any more. A study that is not on disk is decided when it is received again."""
        return released(self.outcome, self.evidence.holds, self.left_open) if self.evidence.on_disk else []


_RULE_POSITIONS = text("select record_id, position from gateway.rule where not removed")
_ENTRY_POSITIONS = text("""
    select record_id, position, life_position, asks_position, accession from gateway.coupling_entry where not removed
""")


def directives_of(work: Work, observed: Observed, *, mode: MatchMode, time_limit: float) -> Directives:
    """What REDCap directs at present, with the positions of the events that say so."""
    entries = work.execute(_ENTRY_POSITIONS).all()
    return Directives(
        router=Router(observed.rules, mode=mode, time_limit=time_limit),
        entries=CouplingList(observed.entries, {row.record_id: row.accession for row in entries}),
        rule_positions={row.record_id: row.position for row in work.execute(_RULE_POSITIONS)},
        entry_positions={row.record_id: row.position for row in entries},
        entry_lives={row.record_id: row.life_position for row in entries},
        entries_ask_since={row.record_id: row.asks_position for row in entries},
        doubted=observed.doubted,
    )


def judge(evidence: Evidence, directives: Directives) -> Judgement:
    """What one study's evidence comes to under the directives in force.

    Where something is doubted, that is what it comes to whether or not the doubted is gone.
    """
    corrected = _corrected(evidence, directives)
    candidates, late = _candidates(evidence, directives, decisions.released(evidence.standing, corrected))
    doubted = directives.doubted
    outcome = _outcome(evidence, directives, candidates, corrected)
    certain = [candidate for candidate in candidates if candidate.cause not in doubted]
    still_certain = {
        position: entry._replace(is_gone=entry.is_gone or entry.cause in doubted)
        for position, entry in corrected.items()
        if entry.cause not in doubted or position in evidence.last_words
    }
    left_open = {key for cause, key in late.items() if cause in doubted}
    if len(certain) < len(candidates) or still_certain != corrected:
        without = _outcome(evidence, directives, certain, still_certain)
        outcome, depends = decisions.either_way(outcome, without, evidence.standing)
        left_open |= depends
    causes = {*late, *(each.cause for each in candidates), *(each.cause for each in corrected.values())}
    doubtful_causes = tuple(sorted(cause for cause in causes if cause in doubted))
    deferred = [Deferral(key, doubtful_causes, evidence.restores.get(key, ())) for key in sorted(left_open)]
    failed = {cause.record_id for cause in late if cause not in doubted}
    tried = frozenset() if evidence.of_two_patients else evidence.failed_rules
    patients = tuple(patient.series for patient in evidence.patients)
    return Judgement(
        evidence=evidence,
        candidates=candidates,
        doubtful=[candidate for candidate in candidates if candidate.cause in doubted],
        outcome=outcome,
        deferred=[each for each in deferred if evidence.deferred.get(each.key) != each.causes],
        # A study that is not on disk is decided when it is received again.
        resumed=sorted(evidence.deferred.keys() - left_open) if evidence.on_disk else [],
        left_open=frozenset(left_open),
        timed_out=frozenset(failed - evidence.failed_rules),
        recovered=frozenset(tried - failed - doubted.rules),
        two_patients=patients if evidence.of_two_patients and patients != evidence.held else None,
        one_again=evidence.of_one_again,
    )


def _candidates(
    evidence: Evidence, directives: Directives, released: Collection[Key]
) -> tuple[list[Candidate], dict[Cause, Key]]:
    """What is asked for, and the rules that had no answer in time, each with what it would ask for.

    Of a study of two patients nothing can be said as a whole: only a person's word about it counts.
    `released` is what entries have given up: there the rules have the word that they outranked.
    """
    candidates = [*_coupling_candidates(evidence, directives), *held_candidates(evidence)]
    late: dict[Cause, Key] = {}
    if evidence.of_two_patients:
        return candidates, late
    for identity in sorted(evidence.gained):
        by_rules, timed_out = _rule_candidates(identity, evidence, directives)
        anew = evidence.received_anew_at
        candidates.extend(replace(each, asks_since=max(each.asks_since, anew)) for each in by_rules)
        late |= timed_out
    for identity, applied_by in sorted(evidence.earlier.items()):
        by_rules, timed_out = _rule_candidates(identity, evidence, directives)
        candidates.extend(
            each
            for each in by_rules
            if _is_reopened(each.key, each.cause, evidence)
            or (each.key in released and each.asks_since < max(applied_by, evidence.replayed.get(each.key.project, 0)))
        )
        undecided = evidence.failed_rules | evidence.deferred_rules
        late |= {cause: key for cause, key in timed_out.items() if cause.record_id in undecided}
    waiting = _waiting(evidence, directives)
    return [each for each in candidates if each.cause.kind != "rule" or each.key not in waiting], late


def _waiting(evidence: Evidence, directives: Directives) -> set[Key]:
    """What entries will ask for once a study that is not on disk is received again: no rule has the word before."""
    if evidence.on_disk:
        return set()
    entries = directives.entries.naming(evidence.study, evidence.accessions)
    return {Key(entry.project, entry.event_name) for entry in entries}


def _outcome(
    evidence: Evidence,
    directives: Directives,
    candidates: Sequence[Candidate],
    corrected: Mapping[int, Corrected],
) -> Outcome:
    """What these candidates come to, without what REDCap held before this system, or cannot be over yet."""
    outcome = decisions.decide(
        candidates,
        evidence.standing,
        corrected=corrected,
        open_conflicts=evidence.conflicts,
        by_hand=evidence.by_hand,
        gone=evidence.gone | dict.fromkeys(evidence.restored & evidence.gone.keys(), ASKED_FOR_ANEW),
    )
    wanted = decisions.wanted_of(candidates, evidence.by_hand)
    if evidence.of_two_patients:
        outcome = review_two_patients(outcome, evidence, wanted=wanted)
    elif evidence.change is not None:
        outcome = review_change(
            outcome,
            evidence,
            evidence.change,
            wanted=wanted,
            router=directives.router,
            asks_since=directives.entries_ask_since,
        )
    requests = [each for each in outcome.requests if not _stood_before(each, evidence)]
    # The entries of a study that is not on disk wait with it, and so do the conflicts between them.
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


def _is_reopened(key: Key, cause: Cause, evidence: Evidence) -> bool:
    """Whether an old series is to be routed again.

    Routing happens when a study gains a series; what was left undecided then is decided once the
    rules allow it. A rule that was doubted then may ask for something else by now.
    """
    if key in evidence.conflicts or key in evidence.holds or cause.record_id in evidence.failed_rules:
        return True
    not_heeded = evidence.deferred_rules | evidence.missed_rules
    return evidence.on_disk and (key in evidence.deferred or cause.record_id in not_heeded)


def _rule_candidates(
    identity: Identity, evidence: Evidence, directives: Directives
) -> tuple[list[Candidate], dict[Cause, Key]]:
    """What rules ask for, but for those that an operator has overruled for this study whatever event they name."""
    hits, timed_out = directives.router.hits(identity)
    candidates = [
        Candidate(
            key=Key(hit.rule.project, hit.rule.event_name),
            # REDCap strips it, and so do comparisons with what is there: two spellings would conflict for nothing.
            pseudonym=without_padding(hit.pseudonym),
            cause=_rule_cause(hit.rule, directives),
            asks_since=directives.rule_positions[hit.rule.record_id],
            whole_match=hit.whole,
        )
        for hit in hits
        if (hit.rule.project, hit.rule.record_id) not in evidence.overruled
    ]
    return candidates, {_rule_cause(rule, directives): Key(rule.project, rule.event_name) for rule in timed_out}


def _rule_cause(rule: Rule, directives: Directives) -> Cause:
    return Cause("rule", rule.record_id, directives.rule_positions[rule.record_id])


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
    """For each request that an entry led to: the entry as it reads now, or said last, if it is still the same entry."""
    # Series that have left the disk change nothing, unless the study is somebody else's without them.
    accessions = evidence.known_accessions if evidence.change is None else evidence.accessions
    naming = {entry.record_id for entry in directives.entries.naming(evidence.study, accessions)}
    corrected = {}
    for request in evidence.standing:
        entry = directives.entries.get(request.cause.record_id) if request.cause.kind == "coupling" else None
        if entry is None or request.cause.position < directives.entry_lives[entry.record_id]:
            if said := evidence.last_words.get(request.position):
                corrected[request.position] = Corrected(
                    cause=said.cause,
                    key=said.key,
                    pseudonym=said.pseudonym,
                    names_study=said.study == evidence.study or said.accession in accessions - {""},
                    is_gone=True,
                )
        elif not entry.problems:
            corrected[request.position] = Corrected(
                cause=_entry_cause(entry, directives),
                key=Key(entry.project, entry.event_name),
                pseudonym=entry.subject_id,
                names_study=entry.record_id in naming,
            )
    return corrected
