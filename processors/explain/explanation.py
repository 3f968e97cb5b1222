"""Why a study went where it went: gathers what the ledger holds of it, and has it judged as a run would."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import text

from processors.events.fact import Cause
from processors.events.series import SeriesFact, StudyRequestedByOthers
from processors.events.transfers import TransferAdopted, TransferObserved
from processors.explain.conditions import EntryAccount, RuleAccount, entry_accounts, rule_accounts
from processors.explain.endings import Ending, endings
from processors.explain.near_miss import Matching
from processors.explain.policy import InForce, entries_meeting, in_force
from processors.explain.recorded import FROM_THE_BEGINNING
from processors.explain.timeline import Moment, timeline
from processors.explain.verdict import Situation, verdict
from processors.gateway import Work
from processors.requests import IN_FORCE, Key
from processors.routing.checks import Check, checked
from processors.routing.coupling import FORGOTTEN
from processors.routing.decisions import Outcome
from processors.routing.edits import Edit
from processors.routing.evaluate import Directives, judge
from processors.routing.evidence import gather
from processors.routing.identify import identified
from processors.routing.rules import Identity
from processors.routing.statements import statement, told_at
from processors.stored_requests import requests_of
from processors.text import without_padding

BY_OTHERS = {fact.__name__ for fact in (StudyRequestedByOthers, TransferObserved, TransferAdopted)}
"""Events that tell of somebody else's requests."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Series that are all one to a rule: where they came from, and whose they are.

    `forgotten`: PatientID and PatientName cannot be read any more.
    """

    identity: Identity
    forgotten: bool
    series: Sequence[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class OriginAccount:
    """How all rules fared with the series of one origin."""

    origin: Origin
    rules: Sequence[RuleAccount]


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """All that there is to tell about a study. `directives_read`: when REDCap's rules and entries were last read.

    `entries` are those that name the study or nearly do; of the others in force, there are `other_entries`. Who made
    rules and entries read as they do is in `rule_edits` and `entry_edits`, by record id.
    """

    study: str
    site: str
    arrived_at: datetime
    on_disk: bool
    accessions: Sequence[str]
    directives_read: datetime | None
    timeline: Sequence[Moment]
    origins: Sequence[OriginAccount]
    entries: Sequence[EntryAccount]
    other_entries: int
    rule_edits: Mapping[str, Edit]
    entry_edits: Mapping[str, Edit]
    verdict: Sequence[str]
    endings: Sequence[Ending]


def explain(work: Work, study: str, matching: Matching, *, checks: Sequence[Check], holds_split: bool) -> Explanation:
    """The explanation of a study that the ledger knows; what is asked for is checked as in a run."""
    row = work.execute(_STUDY, {"study": study}).one()
    (evidence,) = gather(work, [study], FROM_THE_BEGINNING, with_identities=True)
    accessions = accession_numbers(work, study)
    directed = in_force(work, entries_meeting(work, evidence, accessions))
    directives = replace(directed.directives(directed.rules.values(), matching), doubted=directed.doubted)
    positions = {series.position: series.series for series in work.execute(_SERIES, {"study": study})}
    accounts = [_origin_account(origin, directed, directives, matching) for origin in origins(work, positions)]
    forgotten = [
        record
        for record, entry in directed.entries.items()
        if entry.accession == FORGOTTEN and directed.accessions[record] in evidence.accessions
    ]
    entries = entry_accounts(
        directed.entries.values(), study, accessions, on_disk=evidence.on_disk, named_by_forgotten=forgotten
    )
    moments = timeline(work, study)
    requested = endings(work, study)
    (judgement,), _ = identified(work, checked(work, [judge(evidence, directives)], checks), holds_split=holds_split)
    id_projects = work.execute(_ID_PROJECTS, {"called": row.called}).all()
    situation = Situation(
        on_disk=evidence.on_disk,
        undecided=row.undecided,
        forgotten=all(account.origin.forgotten for account in accounts),
        requests=requests_of(work, [study], states=(*IN_FORCE, "ending"))[study],
        conflicts=list(evidence.conflicts.values()),
        holds=evidence.holds,
        held=None if row.held_for is None else (row.held_for, row.held_reason),
        patients=[patient.series for patient in evidence.patients],
        others=any(moment.type in BY_OTHERS for moment in moments),
        by_hand=[Key(project, event_name or "") for project, event_name in evidence.by_hand],
        ever_requested=[Key(each.project, each.event_name) for each in requested],
        outcome=_as_far_as_known(judgement.outcome, directed, evidence.holds),
        wanted={candidate.key for candidate in judgement.candidates},
        doubted=sorted({(each.cause.kind, each.cause.record_id) for each in judgement.doubtful}),
        late=sorted(evidence.failed_rules | judgement.timed_out),
        id_projects=[each.project for each in id_projects if not each.doubted],
        doubted_projects=[each.project for each in id_projects if each.doubted],
        rules=[account.rules for account in accounts],
        entries=entries,
    )
    return Explanation(
        study=study,
        site=row.site,
        arrived_at=row.arrived_at,
        on_disk=evidence.on_disk,
        accessions=accessions,
        directives_read=work.execute(_LAST_READ, {"site": row.site, "now": work.clock()}).scalar_one_or_none(),
        timeline=moments,
        origins=accounts,
        entries=entries,
        other_entries=work.execute(_ENTRIES).scalar_one() - len(entries),
        rule_edits=directed.rule_edits,
        entry_edits=directed.entry_edits,
        verdict=verdict(situation),
        endings=requested,
    )


def origins(work: Work, positions: Mapping[int, str]) -> list[Origin]:
    """The origins of series, by the positions of the events that tell of each; that of the most series first."""
    series: dict[tuple[Identity, bool], list[str]] = {}
    for position, (event, payload) in sorted(work.identities(positions.keys()).items()):
        identity = _identity(SeriesFact.read(event, payload))
        series.setdefault((identity, not payload), []).append(positions[position])
    found = [Origin(identity=identity, forgotten=gone, series=uids) for (identity, gone), uids in series.items()]
    return sorted(found, key=lambda origin: -len(origin.series))


_SERIES = text("select series, position from gateway.series where study = :study")


def accession_numbers(work: Work, study: str) -> list[str]:
    """The accession numbers of the study's series on disk, without what pads them."""
    rows = work.execute(_SAID, {"study": study}).all()
    found = work.identities({position for row in rows for position in told_at(row)})
    said = [statement(told_at(row), found, work.placeholders).get("AccessionNumber", "") for row in rows]
    return sorted({without_padding(number) for number in said if number})


_SAID = text("select stated, position from gateway.series where study = :study and present")


def _identity(fact: SeriesFact) -> Identity:
    return Identity(
        called=fact.AETitleCalled,
        calling=fact.AETitleCaller,
        patient_id=fact.PatientID or "",
        patient_name=fact.PatientName or "",
    )


def _origin_account(origin: Origin, directed: InForce, directives: Directives, matching: Matching) -> OriginAccount:
    rules = rule_accounts(
        directed.rules.values(), origin.identity, directives.router, matching, forgotten=origin.forgotten
    )
    return OriginAccount(origin=origin, rules=rules)


def _as_far_as_known(outcome: Outcome, directed: InForce, holds: Collection[Key]) -> Outcome:
    """Without what rests on a comparison with a pseudonym that was forgotten.

    REDCap still has that, we have not.
    """
    forgotten = {record for record, entry in directed.entries.items() if entry.subject_id == FORGOTTEN}

    def is_known(causes: Iterable[Cause]) -> bool:
        return not any(cause.kind == "coupling" and cause.record_id in forgotten for cause in causes)

    return replace(
        outcome,
        requests=[
            each
            for each in outcome.requests
            if is_known([each.candidate.cause]) or not (each.replaces or each.candidate.key in holds)
        ],
        held=[each for each in outcome.held if is_known([each.candidate.cause])],
        conflicts=[each for each in outcome.conflicts if is_known(each.causes)],
    )


_STUDY = text("""
    select study.site, arrived_at, called, held.project as held_for, held.reason as held_reason,
           coalesce(decision.position, 0) < (select max(routed_position) from gateway.series
                                              where series.study = study.study) as undecided
      from gateway.study
      left join gateway.held_study as held using (study)
      left join gateway.decision on decision.site = study.site
     where study.study = :study
""")
_ID_PROJECTS = text("""
    select project, doubted_position is not null as doubted from gateway.autoid_project
     where wanted and not removed and problems = '{}' and aetitle = :called and aetitle <> '' order by project
""")
_ENTRIES = text("select count(*) from gateway.coupling_entry where not removed")
_LAST_READ = text("""
    select started_at from gateway.run where site = :site and exit_code in (0, 1) and started_at <= :now
     order by started_at desc limit 1
""")
