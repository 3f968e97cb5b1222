"""A shadow's work: summaries, rules and entries go into a ledger of its own, REDCap's transfers are read beside."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import text

from ledger.batching import batches
from processors.autoid.candidates import candidates, wanting_projects
from processors.autoid.holds import LASTING
from processors.autoid.window import window_begins
from processors.autoid.withdrawn import withdrawn_studies
from processors.delivery import actual
from processors.errors import ConfigurationError
from processors.events.fact import Cause
from processors.explain.sentences import SETTLED_BY, hold_in_words
from processors.gateway import Gateway, Work
from processors.operations.adopt.guard import has_moved_in
from processors.operations.shadow.compare import ComparedStudy, DecidedTransfer, agreed, differences
from processors.operations.shadow.lasting import LastingDifference, keep, note_compared, worklist
from processors.redcap import Redcap
from processors.redcap.incoming import ABSENT
from processors.requests import Key
from processors.routing.projects import closed_projects
from processors.run import Run

GRACE = timedelta(minutes=10)
"""The scripts run each minute, too: what has differed for less is not told as a difference yet."""


@dataclass(kw_only=True, slots=True)
class Shadowed:
    """What a comparison came to. `ids`: how many studies would be given an ID here."""

    studies: int = 0
    same: int = 0
    ids: int = 0
    differing: list[LastingDifference] = field(default_factory=list)
    not_yet: list[LastingDifference] = field(default_factory=list)


def require_own_ledger(gateway: Gateway) -> None:
    """Raises `ConfigurationError` where the ledger is a gateway's that works."""
    if has_moved_in(gateway):
        raise ConfigurationError(
            "Shadow is for a ledger of its own; the configured one has written to REDCap or adopted what is there. "
            "Give a configuration whose [ledger] names another database, data_dir and key_file (--config FILE)."
        )


def shadow(run: Run) -> Shadowed:
    """Decides as a run does, and compares. Nothing is written to REDCap and no ID drawn."""
    # But for looking at the transfers of others: what the scripts request must not count here.
    run.discover()
    run.decide(run.observe())
    wanting = _wanting(run)
    due = worklist(run.gateway)
    shadowed = Shadowed()
    with run.step("Comparing") as progress:
        for batch in batches(due.studies, actual.BATCH):
            _compare(run.gateway, run.redcap, batch, wanting, shadowed)
            if progress is not None:
                progress(shadowed.studies, len(due.studies))
    note_compared(run.gateway, due.until)
    return shadowed


def _wanting(run: Run) -> dict[str, set[str]]:
    """The projects of which each study would be given an ID."""
    if not run.wants_autoid():
        return {}
    gateway, section = run.gateway, run.configuration.autoid
    wanting: dict[str, set[str]] = defaultdict(set)
    with gateway.begin() as work:
        since = window_begins(work, timedelta(days=section.window_days))
        closed = closed_projects(work)
        for project in wanting_projects(work):
            if project.problems or project.doubted or project.project in closed:
                continue
            waiting = candidates(work, project, since=since, lasting=LASTING, retry=True)
            withdrawn = withdrawn_studies(work, project.project, waiting)
            for study in waiting:
                if study.on_disk and study.key is not None and study.study not in withdrawn:
                    wanting[study.study].add(project.project)
    return wanting


def _compare(
    gateway: Gateway, redcap: Redcap, studies: Sequence[str], wanting: dict[str, set[str]], shadowed: Shadowed
) -> None:
    present = actual.transfers_of(gateway, redcap, studies)
    with gateway.begin() as work:
        compared = _decided(work, studies)
        for each in compared.values():
            each.theirs = present.get(each.study, ABSENT).transfers
            each.wanting = wanting.get(each.study, set())
        differing = [difference for each in compared.values() for difference in differences(each)]
        lasting = keep(work, studies, differing)
    lasting_since = gateway.clock() - GRACE
    shadowed.studies += len(studies)
    shadowed.same += sum(len(agreed(each)) for each in compared.values())
    shadowed.ids += sum(bool(each.wanting) for each in compared.values())
    shadowed.differing.extend(each for each in lasting if each.since <= lasting_since)
    shadowed.not_yet.extend(each for each in lasting if each.since > lasting_since)


_REQUESTS = text("""
    select position, study, project, event_name, cause_kind, cause_record, cause_position from gateway.transfer
     where study = any(:studies) and state = 'requested' order by position
""")
_CONFLICTS = text("select study, project, event_name, kind from gateway.conflict where study = any(:studies)")
_HOLDS = text("""
    select study, project, event_name, kind, details, studies from gateway.held_request where study = any(:studies)
""")


def _decided(work: Work, studies: Sequence[str]) -> dict[str, ComparedStudy]:
    """What was decided here about these studies."""
    requests: dict[str, dict[Key, DecidedTransfer]] = defaultdict(dict)
    conflicts: dict[str, dict[Key, str]] = defaultdict(dict)
    holds: dict[str, dict[Key, str]] = defaultdict(dict)
    rows = work.execute(_REQUESTS, {"studies": list(studies)}).all()
    identities = work.identities([row.position for row in rows])
    for row in rows:
        _, payload = identities[row.position]
        cause = Cause(row.cause_kind, row.cause_record, row.cause_position)
        requests[row.study][Key(row.project, row.event_name)] = DecidedTransfer(payload.get("pseudonym"), cause)
    for row in work.execute(_CONFLICTS, {"studies": list(studies)}):
        conflicts[row.study][Key(row.project, row.event_name)] = row.kind
    for row in work.execute(_HOLDS, {"studies": list(studies)}):
        words = f"{hold_in_words(row.kind, row.details, row.studies)}. {SETTLED_BY[row.kind]}"
        holds[row.study][Key(row.project, row.event_name)] = words
    return {
        study: ComparedStudy(
            study=study, ours=requests[study], theirs=(), conflicts=conflicts[study], holds=holds[study]
        )
        for study in studies
    }
