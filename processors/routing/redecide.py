"""A replay's decisions about recorded studies, for one project: what its rules and entries ask for today.

Everything is judged as in a run, since rules and entries of other projects may have a say about
what is given up for this one; only what concerns the project is recorded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ledger import store
from ledger.batching import Progress, batches
from processors.gateway import Gateway
from processors.routing import decisions
from processors.routing.checks import Check, checked
from processors.routing.decide import PORTION, Decided
from processors.routing.decisions import Outcome
from processors.routing.evaluate import Judgement, directives_of, judge
from processors.routing.identify import identified
from processors.routing.record import decision_events
from processors.routing.rules import MatchMode
from processors.routing.study_state import Agenda, Evidence, gather
from processors.routing.sync import Observed


def decide_again(
    gateway: Gateway,
    observed: Observed,
    *,
    project: str,
    studies: Sequence[str],
    include_vanished: bool,
    mode: MatchMode,
    time_limit: float,
    checks: Sequence[Check] = (),
    holds_split: bool = False,
    progress: Progress | None = None,
) -> tuple[Decided, list[int]]:
    """Records what these studies lack for the project; gives the positions of requests still asked for, too.

    Studies that are not on disk are left out, unless `include_vanished`: the sender would find nothing to send.
    """
    with gateway.begin() as work:
        directives = directives_of(work, observed, mode=mode, time_limit=time_limit)
        everything = _everything(store.head(work.connection).position, studies)
    decided = Decided()
    standing: list[int] = []
    for portion in batches(studies, PORTION):
        with gateway.begin() as work:
            evidence = gather(work, portion, everything, with_identities=bool(directives.router))
            wanted = [replace(known, on_disk=True) for known in evidence if known.on_disk or include_vanished]
            rules = {rule.record_id: rule.project for rule in observed.rules}
            judged = [_only(judge(known, directives), project, rules) for known in wanted]
            judgements, held_too = identified(work, checked(work, judged, checks), holds_split=holds_split)
            work.record([*decision_events(work, judgements), *held_too])
        decided.count(judgements)
        decided.rules_switched_off = directives.router.switched_off
        standing.extend(position for judgement in judgements for position in _confirmed(judgement, project))
        if progress is not None:
            progress(decided.studies, len(studies))
    return decided, standing


def _everything(head: int, studies: Sequence[str]) -> Agenda:
    """As if all series of these studies had just arrived."""
    return Agenda(after=0, until=head, gained=frozenset(studies), reopened=frozenset(), coupled=frozenset())


def _only(judgement: Judgement, project: str, rules: Mapping[str, str]) -> Judgement:
    """What the judgement says about the project.

    Nothing is retracted, and nothing told of its patients: that is for the run that sees a correction, which also
    ends what was deferred.
    """
    outcome = judgement.outcome
    holds = {key: known for key, known in judgement.evidence.holds.items() if key.project == project}
    return replace(
        judgement,
        evidence=replace(judgement.evidence, holds=holds),
        outcome=Outcome(
            requests=[request for request in outcome.requests if request.candidate.key.project == project],
            conflicts=[conflict for conflict in outcome.conflicts if conflict.key.project == project],
            resolved=[key for key in outcome.resolved if key.project == project],
        ),
        deferred=[deferral for deferral in judgement.deferred if deferral.key.project == project],
        resumed=[],
        timed_out=frozenset(record for record in judgement.timed_out if rules.get(record) == project),
        recovered=frozenset(record for record in judgement.recovered if rules.get(record) == project),
        two_patients=None,
        one_again=False,
    )


def _confirmed(judgement: Judgement, project: str) -> list[int]:
    evidence: Evidence = judgement.evidence
    standing = [
        request
        for request in evidence.standing
        if request.key.project == project and not (evidence.of_two_patients and request.cause.kind == "autoid")
    ]
    positions = decisions.confirmed(judgement.candidates, standing, by_hand=evidence.by_hand)
    if not judgement.doubtful:
        return positions
    certain = [candidate for candidate in judgement.candidates if candidate not in judgement.doubtful]
    return [each for each in decisions.confirmed(certain, standing, by_hand=evidence.by_hand) if each in positions]
