"""A shadow's work: summaries, rules and entries go into a ledger of its own, REDCap's transfers are read beside."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import text

from ledger.batching import batches
from processors.autoid.candidates import candidates, wanting_projects
from processors.autoid.holds import LASTING
from processors.autoid.sync import observe_projects
from processors.configuration import AutoidSection, Configuration
from processors.delivery import actual
from processors.errors import ConfigurationError
from processors.events.fact import Cause
from processors.gateway import Gateway, Work
from processors.operations.adopt.guard import has_moved_in
from processors.operations.shadow import lasting as memory
from processors.operations.shadow.compare import Ours, Study, agreed, differences
from processors.operations.shadow.lasting import Lasting
from processors.redcap import Redcap
from processors.redcap.incoming import ABSENT
from processors.requests import Key
from processors.run import Report, Step, decide_observed, discover_and_observe, wants_autoid

GRACE = timedelta(minutes=10)
"""The scripts run each minute, too: what has differed for less is not told as a difference yet."""


@dataclass(kw_only=True, slots=True)
class Shadowed:
    """What a comparison came to. `ids`: how many studies would be given an ID here."""

    studies: int = 0
    same: int = 0
    ids: int = 0
    differing: list[Lasting] = field(default_factory=list)
    not_yet: list[Lasting] = field(default_factory=list)


def require_own_ledger(gateway: Gateway) -> None:
    """Raises `ConfigurationError` where the ledger is a gateway's that works."""
    if has_moved_in(gateway):
        raise ConfigurationError(
            "Shadow is for a ledger of its own; the configured one has written to REDCap or adopted what is there. "
            "Give a configuration whose [ledger] names another database, data_dir and key_file (--config FILE)."
        )


def shadow(gateway: Gateway, redcap: Redcap, configuration: Configuration, report: Report, step: Step) -> Shadowed:
    """Decides as a run does, and compares. Nothing is written to REDCap and no ID drawn."""
    # But for looking at the transfers of others: what the scripts request must not count here.
    observed = discover_and_observe(gateway, redcap, configuration, report, step)
    decide_observed(gateway, observed, configuration, report, step)
    wanting = _wanting(gateway, redcap, configuration.autoid)
    agenda = memory.agenda(gateway)
    shadowed = Shadowed()
    with step("Comparing") as progress:
        for portion in batches(agenda.studies, actual.BATCH):
            _compare(gateway, redcap, portion, wanting, shadowed)
            if progress is not None:
                progress(shadowed.studies, len(agenda.studies))
    memory.looked(gateway, agenda.until)
    return shadowed


def _wanting(gateway: Gateway, redcap: Redcap, section: AutoidSection) -> dict[str, set[str]]:
    """The projects of which each study would be given an ID."""
    if not wants_autoid(redcap):
        return {}
    observe_projects(gateway, redcap, own_generator=section.generator is None)
    since = gateway.clock() - timedelta(days=section.window_days)
    wanting: dict[str, set[str]] = defaultdict(set)
    with gateway.begin() as work:
        for project in wanting_projects(work):
            if project.problems:
                continue
            for study in candidates(work, project, since=since, lasting=LASTING, retry=True):
                if study.on_disk and study.key is not None:
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
        found = [difference for each in compared.values() for difference in differences(each)]
        lasting = memory.keep(work, studies, found)
    told_from = gateway.clock() - GRACE
    shadowed.studies += len(studies)
    shadowed.same += sum(len(agreed(each)) for each in compared.values())
    shadowed.ids += sum(bool(each.wanting) for each in compared.values())
    shadowed.differing.extend(each for each in lasting if each.since <= told_from)
    shadowed.not_yet.extend(each for each in lasting if each.since > told_from)


_REQUESTS = text("""
    select position, study, project, event_name, cause_kind, cause_record, cause_position from gateway.transfer
     where study = any(:studies) and state = 'requested' order by position
""")
_CONFLICTS = text("select study, project, event_name, kind from gateway.conflict where study = any(:studies)")


def _decided(work: Work, studies: Sequence[str]) -> dict[str, Study]:
    """What was decided here about these studies."""
    requests: dict[str, dict[Key, Ours]] = defaultdict(dict)
    conflicts: dict[str, dict[Key, str]] = defaultdict(dict)
    rows = work.execute(_REQUESTS, {"studies": list(studies)}).all()
    found = work.identities([row.position for row in rows])
    for row in rows:
        _, payload = found[row.position]
        cause = Cause(row.cause_kind, row.cause_record, row.cause_position)
        requests[row.study][Key(row.project, row.event_name)] = Ours(payload.get("pseudonym"), cause)
    for row in work.execute(_CONFLICTS, {"studies": list(studies)}):
        conflicts[row.study][Key(row.project, row.event_name)] = row.kind
    return {study: Study(study=study, ours=requests[study], theirs=(), conflicts=conflicts[study]) for study in studies}
