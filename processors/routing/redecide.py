"""A replay's decisions about recorded studies, for one project: what its rules and entries ask for today.

Everything is judged as in a run, since rules and entries of other projects may have a say about
what is given up for this one; only what concerns the project is recorded.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import text

from ledger import store
from ledger.batching import Progress, batches
from processors.gateway import Gateway, Work
from processors.routing import decisions
from processors.routing.agenda import Agenda
from processors.routing.checks import Check, checked
from processors.routing.decide import PORTION, Decided
from processors.routing.decisions import Deferral, Outcome
from processors.routing.evaluate import Judgement, directives_of, judge
from processors.routing.evidence import Evidence, gather
from processors.routing.identify import identified
from processors.routing.record import decision_events
from processors.routing.rules import MatchMode
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
    """Records what these studies lack for the project; gives those requests still asked for that are to be restored.

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
            unsent = _unsent(work, [request.position for each in wanted for request in each.standing])
            judgements = [_remembering(judgement, project, unsent) for judgement in judgements]
            work.record([*decision_events(work, judgements), *held_too])
        decided.count(judgements)
        decided.rules_switched_off = directives.router.switched_off
        confirmed = {position for judgement in judgements for position in _confirmed(judgement, project)[0]}
        standing.extend(sorted(confirmed & unsent))
        if progress is not None:
            progress(decided.studies, len(studies))
    return decided, standing


def _everything(head: int, studies: Sequence[str]) -> Agenda:
    """As if all series of these studies had just arrived."""
    return Agenda(after=0, until=head, gained=frozenset(studies), reopened=frozenset(), coupled=frozenset())


def _only(judgement: Judgement, project: str, rules: Mapping[str, str]) -> Judgement:
    """What the judgement says about the project.

    Nothing is retracted but what is contradicted, and nothing told of its patients: that is for the run that sees a
    correction, which also ends what was deferred.
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
            retractions=[
                each
                for each in outcome.retractions
                if each.request.project == project and each.reason == decisions.CONTRADICTED
            ],
        ),
        deferred=[deferral for deferral in judgement.deferred if deferral.key.project == project],
        resumed=[],
        timed_out=frozenset(record for record in judgement.timed_out if rules.get(record) == project),
        recovered=frozenset(record for record in judgement.recovered if rules.get(record) == project),
        two_patients=None,
        one_again=False,
    )


def _confirmed(judgement: Judgement, project: str) -> tuple[list[int], list[int]]:
    """The requests that are still asked for, and those of which that depends on what is doubted."""
    evidence: Evidence = judgement.evidence
    standing = [
        request
        for request in evidence.standing
        if request.key.project == project and not (evidence.of_two_patients and request.cause.kind == "autoid")
    ]
    positions = decisions.confirmed(judgement.candidates, standing, by_hand=evidence.by_hand)
    certain = [candidate for candidate in judgement.candidates if candidate not in judgement.doubtful]
    sure = decisions.confirmed(certain, standing, by_hand=evidence.by_hand)
    return [each for each in positions if each in sure], [each for each in positions if each not in sure]


def _remembering(judgement: Judgement, project: str, unsent: Collection[int]) -> Judgement:
    """The judgement, with what is to be written again deferred where only the doubted asks for it."""
    waiting = set(_confirmed(judgement, project)[1]) & set(unsent)
    keys = sorted({request.key for request in judgement.evidence.standing if request.position in waiting})
    deferred = {deferral.key: deferral for deferral in judgement.deferred}
    for key in keys:
        causes = tuple(sorted({each.cause for each in judgement.doubtful if each.key == key}))
        of_key = (each.position for each in judgement.evidence.standing if each.key == key)
        restores = tuple(position for position in of_key if position in waiting)
        deferred[key] = Deferral(key, causes, restores)
    return replace(judgement, deferred=list(deferred.values()))


# What was placed before looks at transfers began may have been sent without anybody noticing.
_UNSENT = text("""
    select transfer.position
      from gateway.transfer join gateway.study using (study)
      left join gateway.outcome on ours and outcome.request = transfer.position
      left join gateway.look on look.site = study.site
     where transfer.position = any(:positions)
       and coalesce(outcome.sends, 0) = 0 and (outcome.state = 'failed' or placed_at >= look.since)
""")


def _unsent(work: Work, positions: Collection[int]) -> set[int]:
    """Those that cannot have been sent: placed again, the others might be sent a second time."""
    return set(work.execute(_UNSENT, {"positions": list(positions)}).scalars())
