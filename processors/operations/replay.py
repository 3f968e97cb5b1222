"""Replay: decide again with today's rules over recorded studies, and write everything of them again.

It needs no file on disk. What it decides is recorded as a run's decisions are; what it has written
is remembered study by study, so that an interrupted replay goes on where it was when the same is asked for again.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text

from ledger.batching import batches
from processors.delivery.deliver import deliver_again
from processors.delivery.delivered import Delivered
from processors.delivery.recognition import recognise
from processors.errors import ConfigurationError
from processors.events.operations import ReplayCompleted, ReplayStarted
from processors.gateway import Gateway
from processors.routing.sync import Observed
from processors.run import Run

BATCH = 500
"""So many studies are written before it is noted that they were."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """What to replay: the studies that arrived from `since` on and before `until`; None has no bound.

    For a project, what its rules and coupling entries ask for today is requested where it is lacking, of
    vanished studies only with `include_vanished`. Without one, nothing is requested.
    """

    project: str = ""
    since: datetime | None = None
    until: datetime | None = None
    include_vanished: bool = False


@dataclass(kw_only=True, slots=True)
class Replayed:
    """What a replay is about: how many studies, and how many an interrupted one had written already."""

    studies: int
    written_before: int = 0


def replay(run: Run, scope: Scope, *, by: str) -> Replayed:
    """Replays; what it comes to is noted in the run's report as it comes.

    Raises `ConfigurationError` where nothing is known of the project.
    """
    gateway = run.gateway
    observed = _observed(run, scope)
    studies = _studies(gateway, scope)
    written_up_to = _begin(gateway, scope, by)
    replayed = Replayed(studies=len(studies), written_before=sum(study <= written_up_to for study in studies))
    restored: Collection[int] = ()
    if observed is not None:
        restored = run.decide_again(
            observed, project=scope.project, studies=studies, include_vanished=scope.include_vanished
        )
    _write(run, studies[replayed.written_before :], restored)
    if replayed.written_before:
        # What has been requested meanwhile for studies that were written before.
        run.deliver()
    _end(gateway, scope, by)
    return replayed


def _observed(run: Run, scope: Scope) -> Observed | None:
    observed = None
    if scope.project:
        observed = run.observe()
        _require_known(run.gateway, observed, scope.project)
    else:
        recognise(run.gateway, run.redcap)
    # What the sender has told since the last run may be about a row that is written again elsewhere.
    run.poll()
    return observed


_PROJECTS = text("select distinct project from gateway.transfer")


def _require_known(gateway: Gateway, observed: Observed, project: str) -> None:
    with gateway.begin() as work:
        requested = set(work.execute(_PROJECTS).scalars())
    directed = {rule.project for rule in observed.rules} | {entry.project for entry in observed.entries}
    names = sorted((requested | directed) - {""})
    if project not in names:
        known = ", ".join(names) or "none"
        raise ConfigurationError(
            f"Expected a project that a routing rule, a coupling entry or an earlier request names ({known}), "
            f"found {project!r}."
        )


# The order in which Python compares them: whatever collation the database has, what is written first is known.
_STUDIES = text("""
    select study from gateway.study
     where site = :site
       and (cast(:since as timestamptz) is null or arrived_at >= :since)
       and (cast(:until as timestamptz) is null or arrived_at < :until)
     order by study collate "C"
""")


def _studies(gateway: Gateway, scope: Scope) -> list[str]:
    parameters = {"site": gateway.site, "since": scope.since, "until": scope.until}
    with gateway.begin() as work:
        return list(work.execute(_STUDIES, parameters).scalars())


def _write(run: Run, studies: Sequence[str], restored: Collection[int]) -> None:
    run.report.delivered = Delivered()
    done = 0
    batch_rows = run.configuration.redcap.batch_rows
    with run.step("Writing to REDCap") as progress:
        for batch in batches(studies, BATCH):
            run.report.delivered += deliver_again(
                run.gateway, run.redcap, studies=batch, transfers=restored, batch_rows=batch_rows
            )
            _note(run.gateway, batch[-1])
            done += len(batch)
            if progress is not None:
                progress(done, len(studies))


_UNDER_WAY = text(
    "select project, since, until, include_vanished, delivered_up_to from gateway.replay where site = :site"
)
_REMEMBER = text("""
    insert into gateway.replay (site, project, since, until, include_vanished, delivered_up_to)
    values (:site, :project, :since, :until, :include_vanished, '')
    on conflict (site) do update
       set project = excluded.project, since = excluded.since, until = excluded.until,
           include_vanished = excluded.include_vanished, delivered_up_to = ''
""")
_NOTE = text("update gateway.replay set delivered_up_to = :study where site = :site")
_FORGET = text("delete from gateway.replay where site = :site")


def _begin(gateway: Gateway, scope: Scope, by: str) -> str:
    """Notes that the replay is under way; gives the last study that it had written when it was interrupted."""
    with gateway.begin() as work:
        row = work.execute(_UNDER_WAY, {"site": gateway.site}).one_or_none()
        if (
            row is not None
            and Scope(project=row.project, since=row.since, until=row.until, include_vanished=row.include_vanished)
            == scope
        ):
            return str(row.delivered_up_to)
        work.record([ReplayStarted(**_facts(work.site, scope, by))])
        work.execute(
            _REMEMBER,
            {
                "site": gateway.site,
                "project": scope.project,
                "since": scope.since,
                "until": scope.until,
                "include_vanished": scope.include_vanished,
            },
        )
        return ""


def _note(gateway: Gateway, study: str) -> None:
    with gateway.begin() as work:
        work.execute(_NOTE, {"site": gateway.site, "study": study})


def _end(gateway: Gateway, scope: Scope, by: str) -> None:
    with gateway.begin() as work:
        work.record([ReplayCompleted(**_facts(work.site, scope, by))])
        work.execute(_FORGET, {"site": gateway.site})


def _facts(site: str, scope: Scope, by: str) -> dict[str, Any]:
    """What the events of a replay hold."""
    return {
        "site": site,
        "project": scope.project,
        "since": None if scope.since is None else scope.since.isoformat(),
        "until": None if scope.until is None else scope.until.isoformat(),
        "include_vanished": scope.include_vanished,
        "by": by,
    }
