"""The periodic run: discover, observe, decide, deliver, one at a time for each site."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any

import orjson
from sqlalchemy import text

from ledger import store
from ledger.batching import Progress
from ledger.errors import LedgerError
from processors.autoid.assign import Assigned, assign_ids
from processors.autoid.generators import OwnGenerator, SiteGenerator
from processors.configuration import Configuration
from processors.delivery.deliver import Delivered, deliver
from processors.delivery.lost_updates import Checked, find_clashes
from processors.delivery.sender.poll import Looked, look
from processors.delivery.sender.queue import look_into_folders
from processors.errors import ConfigurationError
from processors.gateway import Gateway
from processors.redcap import Redcap
from processors.routing.decide import Decided, decide_transfers
from processors.routing.sync import Observed, observe
from processors.source.discover import Discovery, discover

Step = Callable[[str], AbstractContextManager[Progress | None]]
"""Announces a piece of work and gives the callable that is told how far it has come, if anybody watches."""

Ending = Callable[[BaseException], tuple[int, str]]
"""Gives the exit code of an error, and the message with which the command ends."""

IDLE_RUNS_KEPT = timedelta(days=30)


@dataclass(kw_only=True, slots=True)
class Report:
    """What a run came to. Parts that it did not reach are None; `error` is what ended it before its time."""

    discovery: Discovery | None = None
    observed_changes: int | None = None
    looked: Looked | None = None
    decided: Decided | None = None
    delivered: Delivered | None = None
    checked: Checked = field(default_factory=Checked)
    assigned: Assigned | None = None
    withdrawn: int = 0
    attention: dict[str, int] = field(default_factory=dict)
    events: int = 0
    calls: int = 0
    error: str | None = None

    @property
    def needs_attention(self) -> bool:
        """Whether a person must look at something."""
        return bool(self.attention) or (self.discovery is not None and self.discovery.warning is not None)

    def as_data(self) -> dict[str, Any]:
        """As it is printed and kept."""
        return asdict(self) | {"needs_attention": self.needs_attention}


def run_incoming(gateway: Gateway, redcap: Redcap, configuration: Configuration, report: Report, step: Step) -> None:
    """The main job, its findings noted in `report` as they come, so that an error does not lose them."""
    decide_incoming(gateway, redcap, configuration, report, step)
    write_pending(gateway, redcap, configuration, report, step)


def decide_incoming(gateway: Gateway, redcap: Redcap, configuration: Configuration, report: Report, step: Step) -> None:
    """The main job up to where REDCap would be written to."""
    observed = discover_and_observe(gateway, redcap, configuration, report, step)
    with step("Looking at transfers") as progress:
        report.looked = look(gateway, redcap, progress)
    decide_observed(gateway, observed, configuration, report, step)


def discover_and_observe(
    gateway: Gateway, redcap: Redcap, configuration: Configuration, report: Report, step: Step
) -> Observed:
    """Records what has arrived and what REDCap directs now; gives the latter."""
    with step("Reading summaries") as progress:
        report.discovery = discover(
            gateway,
            raw=configuration.source.raw,
            settle_seconds=configuration.source.settle_seconds,
            progress=progress,
        )
    with step("Asking REDCap for rules and couplings"):
        observed = observe(gateway, redcap)
    report.observed_changes = observed.changes
    return observed


def decide_observed(
    gateway: Gateway, observed: Observed, configuration: Configuration, report: Report, step: Step
) -> None:
    """Decides about all that has happened since the last decision."""
    with step("Deciding") as progress:
        report.decided = decide_transfers(
            gateway,
            observed,
            mode=configuration.routing.match,
            time_limit=configuration.routing.time_limit_seconds,
            progress=progress,
        )


def write_pending(gateway: Gateway, redcap: Redcap, configuration: Configuration, report: Report, step: Step) -> None:
    """Writes what the ledger wants REDCap to hold and REDCap does not."""
    with step("Writing to REDCap") as progress:
        written = deliver(gateway, redcap, batch_rows=configuration.redcap.batch_rows, progress=progress)
    report.delivered = written if report.delivered is None else report.delivered + written
    if redcap.writes:
        report.checked += find_clashes(gateway, redcap)
        report.checked += Checked(warnings=look_into_folders(gateway))


def run_autoid(
    gateway: Gateway,
    redcap: Redcap,
    configuration: Configuration,
    report: Report,
    step: Step,
    *,
    all_of: str | None = None,
) -> None:
    """Gives IDs to the studies of projects that want them, and requests and writes their transfers."""
    if wants_autoid(redcap, all_of):
        decide_autoid(gateway, redcap, configuration, report, step, all_of=all_of)
        write_pending(gateway, redcap, configuration, report, step)


def wants_autoid(redcap: Redcap, all_of: str | None = None) -> bool:
    """Whether auto-ID is configured. Raises `ConfigurationError` where it is by half."""
    configured = [name for name in ("projects", "autoid") if redcap.has(name)]
    if not configured and all_of is None:
        return False
    if len(configured) < 2:
        raise ConfigurationError("redcap.tokens: expected tokens for both projects and autoid, as auto-ID needs both.")
    return True


def decide_autoid(
    gateway: Gateway,
    redcap: Redcap,
    configuration: Configuration,
    report: Report,
    step: Step,
    *,
    all_of: str | None = None,
) -> None:
    """Gives IDs, stores them and requests the transfers, which are still to be written then."""
    section = configuration.autoid
    with step("Giving IDs"):
        report.assigned = assign_ids(
            gateway,
            redcap,
            OwnGenerator(secrets.randbelow)
            if section.generator is None
            else SiteGenerator(section.generator, time_limit=section.generator_timeout_seconds),
            window=timedelta(days=section.window_days),
            all_of=all_of,
        )


@contextmanager
def recorded_run(gateway: Gateway, command: str, report: Report, *, ending: Ending | None = None) -> Iterator[None]:
    """Keeps a row of the run in gateway.run: that it began, and how it ended.

    Where an error ends it, `ending` tells with what code; without it, the row does not say.
    """
    with gateway.begin() as work:
        work.execute(
            text("insert into gateway.run (run, site, command, started_at) values (:run, :site, :command, :now)"),
            {"run": gateway.run, "site": gateway.site, "command": command, "now": gateway.clock()},
        )
        work.execute(
            text("delete from gateway.run where site = :site and not changed and started_at < :before"),
            {"site": gateway.site, "before": gateway.clock() - IDLE_RUNS_KEPT},
        )
        before = store.head(work.connection).position
    try:
        yield
    except BaseException as error:
        code, report.error = ending(error) if ending is not None else (None, None)
        # PostgreSQL may be what is away. The error to be told is the one that came first.
        with suppress(LedgerError):
            _finish(gateway, report, before, code)
        raise
    _finish(gateway, report, before, 1 if report.needs_attention else 0)


def attention(gateway: Gateway) -> dict[str, int]:
    """What a person must look at, counted by kind."""
    with gateway.begin() as work:
        rows = work.execute(text("select kind, count(*) as notices from audit.attention group by kind order by kind"))
        return {row.kind: row.notices for row in rows}


_WITHDRAWN = text("""
    select count(*) from ledger.event
     where position > :before and run = :run and type = 'RetractionDelivered'
""")


def _finish(gateway: Gateway, report: Report, before: int, exit_code: int | None) -> None:
    with gateway.begin() as work:
        report.events = store.head(work.connection).position - before
        report.withdrawn = work.execute(_WITHDRAWN, {"before": before, "run": gateway.run}).scalar_one()
        work.execute(
            text("""
                update gateway.run
                   set finished_at = :now, exit_code = :exit_code, changed = :changed, summary = :summary
                 where run = :run
            """),
            {
                "now": gateway.clock(),
                "exit_code": exit_code,
                "changed": report.events > 0,
                "summary": orjson.dumps(report.as_data()).decode(),
                "run": gateway.run,
            },
        )
