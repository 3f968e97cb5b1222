"""The periodic run, step by step: discover, observe, poll, decide, assign, deliver; one at a time for each site.

Replays, shadows, adoptions and dry runs take the same steps.
"""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from sqlalchemy import text

from ledger import store
from ledger.batching import Progress
from ledger.errors import LedgerError
from processors import run_codes
from processors.attention import Notice, by_kind, notices
from processors.clocks import ClockComparison
from processors.configuration.settings import Configuration
from processors.delivery.deliver import IsTimeUp, deliver
from processors.delivery.delivered import Delivered
from processors.delivery.lost_updates import Checked, find_clashes
from processors.delivery.put_back import bring_put_back
from processors.delivery.recognition import recognise
from processors.delivery.sender.poll import Looked, look
from processors.delivery.sender.queue import folder_notices, look_after_sender
from processors.errors import ConfigurationError, ServiceError, WrongClock
from processors.explain.expected import note_expected
from processors.gateway import Gateway, Work
from processors.observed_list import Before, before_exports
from processors.redcap import Redcap
from processors.routing.configured_checks import LASTING, checks_of
from processors.routing.decide import Decided, decide_transfers
from processors.routing.projects import closed_projects
from processors.routing.sync import Observed, observe
from processors.routing.unplaced import hold_unplaced
from processors.source.discover import Discovery, discover
from processors.stopwatch import Stopwatch

if TYPE_CHECKING:
    from processors.autoid.assign import Assigned

# What only some sites or commands need is imported where its step begins: cron starts this program every minute.

Step = Callable[[str], AbstractContextManager[Progress | None]]
"""Announces a piece of work and gives the callable that is told how far it has come, if anybody watches."""

Ending = Callable[[BaseException], tuple[int, str]]
"""Gives the exit code of an error, and the message with which the command ends."""

_WRITING = "Writing to REDCap"

IDLE_RUNS_KEPT = timedelta(days=30)
RUNS_KEPT = timedelta(days=366)
"""Of older ones, gateway.run_count tells how many there were each day; what they did stands in the ledger."""


class Rhythm(NamedTuple):
    """What a run does otherwise that others follow within seconds.

    It delivers for so long and leaves the rest to the next one, which sees what was asked for meanwhile; it looks at
    `transfers` so often only, as the sender does; and its row is kept for so long where nothing came of it, as there
    are more of them.
    """

    delivers_for: timedelta
    looks_every: timedelta
    idle_kept: timedelta


@dataclass(kw_only=True, slots=True)
class Report:
    """What a run came to. Parts that it did not reach are None; `error` is what ended it before its time.

    `seconds_ahead` is by how much our clock is, by whose; `step_seconds` how long the steps took, and `step_shares` how
    much of that went to REDCap, PostgreSQL, Python and the disk, where it was measured; `is_recorded`, whether the
    ledger tells how the run ended; `listed` is what a person must look at, which `attention` counts.
    """

    discovery: Discovery | None = None
    observed_changes: int | None = None
    looked: Looked | None = None
    decided: Decided | None = None
    delivered: Delivered | None = None
    checked: Checked = field(default_factory=Checked)
    assigned: "Assigned | None" = None
    withdrawn: int = 0
    attention: dict[str, int] = field(default_factory=dict)
    events: int = 0
    calls: int = 0
    warnings: list[str] = field(default_factory=list)
    seconds_ahead: dict[str, float] = field(default_factory=dict)
    certificate_ends: datetime | None = None
    step_seconds: dict[str, float] = field(default_factory=dict)
    step_shares: dict[str, dict[str, float]] = field(default_factory=dict)
    error: str | None = None
    error_kind: str | None = None

    is_recorded: bool = False
    listed: Sequence[Notice] = ()

    @property
    def needs_attention(self) -> bool:
        """Whether a person must look at something."""
        return bool(self.attention) or (self.discovery is not None and self.discovery.warning is not None)

    def as_data(self) -> dict[str, Any]:
        """As it is printed and kept, without what stands elsewhere in the ledger."""
        data = asdict(self) | {"needs_attention": self.needs_attention}
        return {name: value for name, value in data.items() if name not in ("is_recorded", "listed")}


def timed(step: Step, report: Report, stopwatch: Stopwatch | None = None) -> Step:
    """The step, which notes in the report how long it took, added up where it is taken several times.

    With a stopwatch, it notes where the time went, too.
    """

    @contextmanager
    def timed_step(name: str) -> Iterator[Progress | None]:
        began, before = time.monotonic(), None if stopwatch is None else stopwatch.read()
        try:
            with step(name) as progress:
                yield progress
        finally:
            report.step_seconds[name] = report.step_seconds.get(name, 0.0) + time.monotonic() - began
            if stopwatch is not None and before is not None:
                known = report.step_shares.get(name, {})
                shares = stopwatch.read().since(before)
                report.step_shares[name] = {where: known.get(where, 0.0) + took for where, took in shares.items()}

    return timed_step


@dataclass(frozen=True, slots=True)
class Run:
    """A run's steps, each announced by `step` and its findings noted in `report`: an error does not lose them."""

    gateway: Gateway
    redcap: Redcap
    configuration: Configuration
    report: Report
    step: Step
    rhythm: Rhythm | None = None

    def incoming(self) -> None:
        """The main job."""
        self.decide_incoming()
        self.deliver()

    def decide_incoming(self) -> None:
        """The main job up to where REDCap would be written to."""
        self.discover()
        observed = self.observe()
        self.poll()
        self.note_expected()
        self.decide(observed)

    def autoid(self, *, all_of: str | None = None) -> None:
        """Gives IDs to the studies of projects that want them, and requests and writes their transfers."""
        if self.wants_autoid(all_of):
            before = self.gateway.appended
            self.assign(all_of=all_of)
            # Once all has been delivered, only what was recorded since can be due.
            if self.report.delivered is None or self.gateway.appended != before:
                self.deliver()

    def discover(self) -> None:
        """Records what has arrived."""
        source = self.configuration.source
        with self.step("Reading summaries") as progress:
            self.report.discovery = discover(
                self.gateway, raw=source.raw, settle_seconds=source.settle_seconds, progress=progress
            )

    def observe(self) -> Observed:
        """Records what REDCap directs now, and gives it."""
        recognise(self.gateway, self.redcap)
        return self.observe_lists()

    def observe_lists(self) -> Observed:
        """The same of a REDCap that is known to be the right one."""
        with self.step("Asking REDCap for rules, couplings and projects"):
            with self.gateway.begin() as work:
                before = before_exports(work)
            observed = observe(self.gateway, self.redcap, before)
            self._observe_projects(before)
            if self.redcap.has("withdrawals"):
                from processors.routing.withdrawal_list import observe_withdrawals

                observe_withdrawals(self.gateway, self.redcap, before)
        self.report.observed_changes = observed.changes
        self.report.warnings += observed.warnings
        return observed

    def _observe_projects(self, before: Before) -> None:
        if self.redcap.has("projects"):
            from processors.autoid.sync import observe_projects

            own_generator = self.configuration.autoid.generator is None
            observe_projects(self.gateway, self.redcap, before, own_generator=own_generator)

    def poll(self) -> None:
        """Records what the sender and other people have made of transfers."""
        with self.step("Looking at transfers") as progress:
            every = timedelta(0) if self.rhythm is None else self.rhythm.looks_every
            self.report.looked = look(self.gateway, self.redcap, progress, at_most_every=every)

    def note_expected(self) -> None:
        """Records which coupling entries have met no study for days."""
        patience = timedelta(days=self.configuration.coupling.expected_days)
        with self.step("Looking for what is asked for and not here"):
            note_expected(self.gateway, patience)

    def decide(self, observed: Observed) -> None:
        """Decides about all that has happened since the last decision."""
        routing = self.configuration.routing
        with self.step("Deciding") as progress:
            hold_unplaced(self.gateway, LASTING)
            self.report.decided = decide_transfers(
                self.gateway,
                observed,
                mode=routing.match,
                time_limit=routing.time_limit_seconds,
                checks=checks_of(self.configuration),
                holds_split=self.configuration.identity.split == "hold",
                progress=progress,
            )

    def decide_again(
        self, observed: Observed, *, project: str, studies: Sequence[str], include_vanished: bool
    ) -> Collection[int]:
        """Decides about a project's studies whatever was decided before; gives the requests that still stand.

        Rows of a closed project are not written again.
        """
        from processors.routing.redecide import decide_again

        routing = self.configuration.routing
        with self.step("Deciding") as progress:
            hold_unplaced(self.gateway, LASTING)
            self.report.decided, confirmed = decide_again(
                self.gateway,
                observed,
                project=project,
                studies=studies,
                include_vanished=include_vanished,
                mode=routing.match,
                time_limit=routing.time_limit_seconds,
                checks=checks_of(self.configuration),
                holds_split=self.configuration.identity.split == "hold",
                progress=progress,
            )
        with self.gateway.begin() as work:
            return [] if project in closed_projects(work) else confirmed

    def wants_autoid(self, all_of: str | None = None) -> bool:
        """Whether auto-ID is configured. Raises `ConfigurationError` where it is by half."""
        if all_of is None and not self.redcap.has("autoid"):
            return False
        if not (self.redcap.has("projects") and self.redcap.has("autoid")):
            raise ConfigurationError(
                "redcap.tokens: expected tokens for both projects and autoid, as auto-ID needs both."
            )
        return True

    def assign(self, *, all_of: str | None = None) -> None:
        """Gives IDs, stores them and requests the transfers, which are still to be written then."""
        from processors.autoid.assign import assign_ids
        from processors.autoid.generators import generator_of

        section = self.configuration.autoid
        recognise(self.gateway, self.redcap)
        with self.step("Giving IDs"):
            if self.report.observed_changes is None:
                with self.gateway.begin() as work:
                    before = before_exports(work)
                self._observe_projects(before)
            self.report.assigned = assign_ids(
                self.gateway,
                self.redcap,
                generator_of(section),
                window=timedelta(days=section.window_days),
                all_of=all_of,
                holds_split=self.configuration.identity.split == "hold",
            )

    def deliver(self) -> None:
        """Writes what the ledger wants REDCap to hold and REDCap does not."""
        batch_rows = self.configuration.redcap.batch_rows
        recognise(self.gateway, self.redcap)
        is_time_up = self._time_is_up()
        with self.step(_WRITING) as progress:
            is_first = self.report.delivered is None
            written = bring_put_back(self.gateway, self.redcap, batch_rows=batch_rows) if is_first else Delivered()
            written += deliver(
                self.gateway, self.redcap, batch_rows=batch_rows, progress=progress, is_time_up=is_time_up
            )
        self.report.warnings = [each for each in self.report.warnings if each not in written.warnings]
        self.report.delivered = written if self.report.delivered is None else self.report.delivered + written
        if self.redcap.writes:
            # In the midst of a backlog, REDCap's log would be full of our own lines.
            if not written.rows_left:
                self.report.checked += find_clashes(self.gateway, self.redcap)
            self.report.checked += Checked(warnings=look_after_sender(self.gateway))

    def _time_is_up(self) -> IsTimeUp | None:
        """Tells whether all deliveries of this run have lasted long enough; None where they may last for ever."""
        if self.rhythm is None:
            return None
        left = self.rhythm.delivers_for.total_seconds() - self.report.step_seconds.get(_WRITING, 0.0)
        end = time.monotonic() + left
        return lambda: time.monotonic() >= end

    def count_attention(self) -> None:
        """Notes what a person must look at, counted by kind."""
        with self.gateway.begin() as work:
            self.report.listed = [*folder_notices(self.gateway.sender), *notices(work)]
        self.report.attention = by_kind(self.report.listed)


_CLOCKS = text("""
    select clock_timestamp() as now, (select clock_at from gateway.site where site = :site) as clock_at
""")
_CLOCK_IS_RIGHT = text("""
    insert into gateway.site (site, clock_at) values (:site, :now)
    on conflict (site) do update set clock_at = excluded.clock_at
""")


def hear_database(gateway: Gateway, clocks: ClockComparison) -> None:
    """Raises `WrongClock` where PostgreSQL's clock contradicts ours."""
    with gateway.begin() as work:
        _found_right(work, clocks)


def _found_right(work: Work, clocks: ClockComparison) -> datetime | None:
    """When the site's clock was last found right. Raises `WrongClock` where PostgreSQL's contradicts it now."""
    row = work.execute(_CLOCKS, {"site": work.site}).one()
    clocks.hear("PostgreSQL", row.now)
    last: datetime | None = row.clock_at
    return last


def require_right_clock(gateway: Gateway, redcap: Redcap, clocks: ClockComparison) -> None:
    """Raises `WrongClock` where our clock contradicts PostgreSQL's, or REDCap's, as far as REDCap has told.

    Where hours lie between this run and the last one, it may be our clock that has jumped, and PostgreSQL's with it,
    as both are one machine's mostly. REDCap is asked first then: arrivals are recorded before it is asked otherwise.
    Where it does not answer, hours that have passed may have passed, and hours that lie ahead cannot.
    """
    with gateway.begin() as work:
        last, now = _found_right(work, clocks), gateway.clock()
        right = {"site": gateway.site, "now": now}
        if last is None or abs(now - last) <= clocks.tolerance:
            work.execute(_CLOCK_IS_RIGHT, right)
            return
    try:
        redcap.metadata("incoming")
    except WrongClock:
        raise
    except ServiceError as exc:
        if now >= last:
            return
        raise WrongClock(
            f"This machine's clock says {now:%Y-%m-%d %H:%M}, and said {last.astimezone():%Y-%m-%d %H:%M} in an "
            "earlier run: one of the two is wrong, and REDCap cannot be asked which. The next run asks again."
        ) from exc
    with gateway.begin() as work:
        work.execute(_CLOCK_IS_RIGHT, right)


@contextmanager
def recorded_run(
    gateway: Gateway,
    command: str,
    report: Report,
    *,
    ending: Ending | None = None,
    machine: str = "",
    idle_kept: timedelta = IDLE_RUNS_KEPT,
) -> Iterator[None]:
    """Keeps a row of the run in gateway.run: that it began, on which machine, and how it ended.

    Where an error ends it, `ending` tells with what code; without it, the row does not say. Rows of runs of which
    nothing came are kept for `idle_kept`.
    """
    with gateway.begin() as work:
        begun = {"run": gateway.run, "site": gateway.site, "command": command, "now": gateway.clock()}
        work.execute(_BEGIN, begun | {"machine": machine})
        run_codes.sign(work)
        work.execute(_KNOW_SITE, {"site": gateway.site})
        before = store.head(work.connection).position
    try:
        yield
    except BaseException as error:
        code, report.error = ending(error) if ending is not None else (None, None)
        report.error_kind = type(error).__name__
        # PostgreSQL may be what is away. The error to be told is the one that came first.
        with suppress(LedgerError):
            _finish(gateway, report, before, code)
        raise
    _finish(gateway, report, before, 1 if report.needs_attention else 0)
    with gateway.begin() as work:
        now = gateway.clock()
        work.execute(_COUNT_OLD, {"site": gateway.site, "idle": now - idle_kept, "all": now - RUNS_KEPT})


_BEGIN = text("""
    insert into gateway.run (run, site, command, started_at, machine) values (:run, :site, :command, :now, :machine)
""")
_KNOW_SITE = text("insert into gateway.site (site) values (:site) on conflict do nothing")
# Each minute adds a row: in years they would be millions. Each arm of the condition is a range of the index run_age.
_COUNT_OLD = text("""
    with old as (
         delete from gateway.run
          where site = :site and ((not changed and started_at < :idle) or (changed and started_at < :all))
         returning (started_at at time zone 'utc')::date as day, command, exit_code,
                   coalesce((summary ->> 'events')::bigint, 0) as events,
                   coalesce((summary ->> 'calls')::bigint, 0) as calls)
    insert into gateway.run_count (site, day, command, exit_code, runs, events, calls)
    select :site, day, command, exit_code, count(*), sum(events), sum(calls) from old group by day, command, exit_code
    on conflict (site, day, command, exit_code) do update
       set runs = run_count.runs + excluded.runs, events = run_count.events + excluded.events,
           calls = run_count.calls + excluded.calls
""")
_DONE = text("""
    select position - :before as events,
           (select count(*) from ledger.event
             where position > :before and run = :run and type = 'TransferWithdrawn' and data ->> 'by' is null)
        as withdrawn
      from ledger.head
""")
_END = text("""
    update gateway.run
       set finished_at = :now, exit_code = :exit_code, changed = :changed, summary = :summary
     where run = :run
""")


def _finish(gateway: Gateway, report: Report, before: int, exit_code: int | None) -> None:
    with gateway.begin() as work:
        done = work.execute(_DONE, {"before": before, "run": gateway.run}).one()
        report.events, report.withdrawn = done.events, done.withdrawn
        work.execute(
            _END,
            {
                "now": gateway.clock(),
                "exit_code": exit_code,
                "changed": report.events > 0,
                "summary": orjson.dumps(report.as_data()).decode(),
                "run": gateway.run,
            },
        )
        run_codes.sign(work)
    report.is_recorded = True
