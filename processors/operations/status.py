"""How the gateway is doing: whether it is healthy, what waits to be written, what needs a person."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from ledger import lease, store
from ledger.lease import Lease
from processors.attention import Notice, by_kind, notices
from processors.autoid.forecast import Forecast, forecasts
from processors.clocks import believed
from processors.delivery.due import PendingAge, pending_age
from processors.delivery.sender.queue import folder_notices
from processors.gateway import Gateway, Work
from processors.operations.health import Attempts, Facts, Finding, Severity, Unrecorded, findings, worst
from processors.operations.limits import Limits
from processors.routing.projects import Approval, ending_approvals
from processors.stored_requests import IS_MISSING


@dataclass(frozen=True, kw_only=True, slots=True)
class Sending:
    """What the sender has made of the requests that we placed; of what preceded the first look, nothing is known.

    `oldest` tells since when the oldest one waits that is to be sent, or sent again.
    """

    sent: int
    unsent: int
    failed: int
    oldest: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Totals:
    """How much there is of all that there has ever been: with many studies, counting it takes a while.

    `transfers` are requests by their state, and missing those whose rows people deleted or changed; `sent` are those of
    them that are reported sent.
    """

    studies: int
    studies_on_disk: int
    series: int
    transfers: Mapping[str, int]
    sent: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Doubts:
    """Records of a list that REDCap's latest export lacks, the first since then; so many studies of the site wait."""

    list: str
    records: Sequence[str]
    since: datetime
    studies: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """One screen of facts. `last_run` is None where none has been yet; `under_way` is who else works now.

    `silent_seconds`: how long ago the last run ended that got through. Whether summaries wait on disk since
    then is not known: `newest_event` tells when anything was last recorded. `health` is what is wrong with the
    gateway itself, `attention` what a person must look at, `held` how much is asked for and held, by reason.
    `approvals` are those that end within 90 days; `last_drill` is when a backup was last tried.
    """

    site: str
    at: datetime
    health: list[Finding]
    head: int
    newest_event: datetime | None
    totals: Totals
    last_run: dict[str, Any] | None
    under_way: Lease | None
    last_success: datetime | None
    silent_seconds: int | None
    pending: list[PendingAge]
    sending: Sending
    autoid: list[Forecast]
    approvals: list[Approval]
    doubts: list[Doubts]
    last_drill: datetime | None
    attention: list[Notice]
    held: dict[str, int]

    @property
    def severity(self) -> Severity:
        """How bad the gateway's health is."""
        return worst(self.health)

    @property
    def needs_attention(self) -> bool:
        """Whether a person must look at something."""
        return bool(self.attention) or self.severity > Severity.OK

    @property
    def kinds(self) -> dict[str, int]:
        """How much needs attention, by kind."""
        return by_kind(self.attention)


def status(
    gateway: Gateway,
    limits: Limits | None = None,
    unrecorded: Unrecorded | None = None,
    totals: Totals | None = None,
) -> Status:
    """The state of the gateway as the ledger has it; REDCap is not asked.

    `unrecorded` is what the ledger cannot know: a run that ended before it could be recorded. `totals` are counted
    where none are given; all else is found by what is unsettled, however much there has been.
    """
    now = gateway.clock()
    of_site = {"site": gateway.site, "now": now}
    with gateway.begin() as work:
        totals = totals or counted(work)
        pending = pending_age(work)
        sending = Sending(sent=totals.sent, **work.execute(_SENDING, of_site).mappings().one())
        under_way = lease.found(work.connection, lease.RUN, gateway.site, own=gateway.database.holders)
        facts = _facts(work, limits or Limits(), unrecorded, under_way, pending, sending)
        return Status(
            site=gateway.site,
            at=now,
            health=findings(facts),
            head=store.head(work.connection).position,
            newest_event=work.execute(_NEWEST_EVENT).scalar_one_or_none(),
            totals=totals,
            last_run=_last_run(work, now),
            under_way=under_way,
            last_success=facts.last_success,
            silent_seconds=None if facts.last_success is None else int((now - facts.last_success).total_seconds()),
            pending=pending,
            sending=sending,
            autoid=forecasts(work, now),
            approvals=ending_approvals(work),
            doubts=[Doubts(**row) for row in work.execute(_DOUBTS, of_site).mappings()],
            last_drill=work.execute(_LAST_DRILL, {"stream": f"backup/{gateway.site}"}).scalar_one_or_none(),
            attention=[*folder_notices(gateway.sender), *notices(work)],
            held={row.reason: row.requests for row in work.execute(_HELD, of_site)},
        )


def counted(work: Work) -> Totals:
    """How much there is of the site's."""
    counts = work.execute(_COUNTS, {"site": work.site}).one()
    requests = work.execute(_REQUESTS, {"site": work.site}).all()
    return Totals(
        studies=counts.studies,
        studies_on_disk=counts.on_disk,
        series=counts.series,
        transfers={row.state: row.requests for row in requests},
        sent=sum(row.sent for row in requests),
    )


def _facts(
    work: Work,
    limits: Limits,
    unrecorded: Unrecorded | None,
    under_way: Lease | None,
    pending: Sequence[PendingAge],
    sending: Sending,
) -> Facts:
    """What the judgement of the gateway's health rests on."""
    now = work.clock()
    of_site = {"site": work.site, "now": now}
    runs = work.execute(_RUNS, of_site).one()
    said = work.execute(_SAID, of_site).one_or_none()
    doubted = work.execute(_DOUBTED_LEDGER).one_or_none()
    server = work.execute(_SERVER, {"url": limits.redcap_url}).one()
    ahead = {"REDCap": said.redcap_ahead} if said is not None and said.redcap_ahead is not None else {}
    return Facts(
        now=now,
        silent_after=limits.silent_after,
        clock_tolerance=limits.clock_tolerance,
        sender_patience=timedelta(hours=work.gateway.sender.patience_hours),
        unrecorded=unrecorded,
        ledger_loss=work.gateway.loss or (doubted.reason if doubted is not None else ""),
        loss_since=None if doubted is None else doubted.since,
        last_success=runs.succeeded_at,
        last_start=runs.started_at,
        first_start=runs.first_started_at,
        under_way=None if under_way is None else under_way.since,
        attempts=[Attempts(**row) for row in work.execute(_ATTEMPTS, of_site).mappings()],
        disk_warning=(said.disk_warning or "") if said is not None else "",
        disk_since=work.execute(_DISK_SINCE, of_site).scalar_one_or_none() if said and said.disk_warning else None,
        banned_until=_ban_end(server.paused_until, now, limits.ban_pause),
        own_clock_ahead={
            "PostgreSQL": now - server.now,
            **{whose: timedelta(seconds=seconds) for whose, seconds in ahead.items()},
        },
        rows_wait_since=min((each.oldest for each in pending if each.oldest), default=None),
        unsent_since=sending.oldest,
        approvals=ending_approvals(work),
        silent_witnesses=() if limits.evidence is None else limits.evidence.silences(),
        certificate_ends=(
            datetime.fromisoformat(said.certificate_ends).astimezone(UTC) if said and said.certificate_ends else None
        ),
    )


def _ban_end(paused_until: datetime | None, now: datetime, pause: timedelta) -> datetime | None:
    """When the pause after a ban ends: one that ends later than one that began now was booked by a wrong clock."""
    return None if paused_until is None else believed(paused_until, now + pause)


_COUNTS = text("""
    select count(*) as studies, count(*) filter (where on_disk) as on_disk,
           (select count(*) from gateway.series join gateway.study using (study) where site = :site) as series
      from gateway.study where site = :site
""")
_NEWEST_EVENT = text("select recorded_at from ledger.event order by position desc limit 1")
_LAST_RUN = text("""
    select run, command, started_at, finished_at, exit_code, outcome from audit.run
     where site = :site and started_at <= :now order by started_at desc limit 1
""")
_RUNS = text("""
    select good.finished_at as succeeded_at,
           (select min(started_at) from gateway.run
             where site = :site and started_at <= :now
               and started_at > coalesce(good.started_at, '-infinity')) as first_started_at,
           (select max(started_at) from gateway.run where site = :site and started_at <= :now) as started_at
      from (values (:site)) as of_site (site)
      left join lateral (
           select started_at, finished_at from gateway.run
            where run.site = of_site.site and exit_code in (0, 1) and finished_at <= :now
            order by started_at desc limit 1) as good on true
""")
# Counted from the first run that failed: a gateway that was switched off for days has nothing to tell of its errors
# when its first run begins. What a person interrupted (130), or systemd ended in order (143), is no error.
_ATTEMPTS = text("""
    with recursive commands (command) as (
         (select command from gateway.run where site = :site order by command limit 1)
         union all
         select (select run.command from gateway.run
                  where site = :site and run.command > commands.command order by run.command limit 1)
           from commands where command is not null)
    select command, good.started_at as succeeded_at, bad.started_at as failed_at,
           coalesce(bad.exit_code, 0) as exit_code, coalesce(bad.summary ->> 'error_kind', '') as error_kind,
           coalesce(bad.summary ->> 'error', '') as error,
           (select min(began.started_at) from gateway.run as began
             where began.site = :site and began.command = commands.command and began.started_at <= :now
               and began.exit_code not in (0, 1, 130, 143)
               and began.started_at > coalesce(good.started_at, '-infinity')) as failing_since
      from commands
      left join lateral (
           select started_at from gateway.run
            where site = :site and run.command = commands.command and exit_code in (0, 1) and finished_at <= :now
            order by started_at desc limit 1) as good on true
      left join lateral (
           select started_at, exit_code, summary from gateway.run
            where site = :site and run.command = commands.command and exit_code not in (0, 1, 130, 143)
              and started_at <= :now and started_at > coalesce(good.started_at, '-infinity')
            order by started_at desc limit 1) as bad on true
     where command is not null order by command
""")
_SAID = text("""
    select summary -> 'discovery' ->> 'warning' as disk_warning, summary ->> 'certificate_ends' as certificate_ends,
           (summary -> 'seconds_ahead' ->> 'REDCap')::double precision as redcap_ahead
      from gateway.run
     where site = :site and finished_at <= :now and json_typeof(summary -> 'discovery') = 'object'
     order by started_at desc limit 1
""")
_DISK_SINCE = text("""
    select min(started_at) from gateway.run
     where site = :site and started_at <= :now and summary -> 'discovery' ->> 'warning' is not null
       and started_at > coalesce((
           select max(started_at) from gateway.run
            where site = :site and started_at <= :now and json_typeof(summary -> 'discovery') = 'object'
              and summary -> 'discovery' ->> 'warning' is null), '-infinity')
""")
_LAST_DRILL = text("select recorded_at from ledger.event where stream = :stream order by version desc limit 1")
_DOUBTED_LEDGER = text("select reason, since from gateway.doubted_ledger order by position limit 1")
_SERVER = text("""
    select clock_timestamp() as now,
           (select paused_until from gateway.call_budget where url = :url) as paused_until
""")
# Only of the few that are not sent it is asked whether their rows are missing.
_REQUESTS = text(f"""
    select case when transfer.state = 'placed' and coalesce(told.state, 'awaited') = 'awaited' and {IS_MISSING}
                then 'missing' else transfer.state end as state,
           count(*) as requests, count(*) filter (where told.sends > 0) as sent
      from gateway.transfer join gateway.study using (study)
      left join gateway.outcome as told on told.request = transfer.position and told.ours
     where site = :site group by 1 order by 1
""")
# By their keys each: joined, all requests there have ever been would be read for the few that are not sent.
_SENDING = text(f"""
    select count(*) filter (where outcome.state = 'failed' and transfer.state = 'placed') as failed,
           count(*) filter (where is_unsent and outcome.sends = 0) as unsent,
           min(outcome.at) filter (where is_unsent) as oldest
      from gateway.outcome
     cross join lateral (select * from gateway.transfer where position = outcome.request offset 0) as transfer
      left join gateway.look on look.site = :site
     cross join lateral (
           select outcome.state = 'awaited' and transfer.state = 'placed' and not transfer.found
                  and outcome.at >= look.since and not {IS_MISSING}) as what (is_unsent)
     where outcome.ours and outcome.state in ('awaited', 'failed')
       and :site = (select site from gateway.study where study.study = outcome.study)
""")


_HELD = text("""
    select kind as reason, count(*) as requests from gateway.held_request join gateway.study using (study)
     where site = :site group by kind
     union all
    select 'held study', count(*) from gateway.held_study join gateway.study using (study)
     where site = :site and reason not in ('two patients in one study', 'participant withdrew') having count(*) > 0
     union all
    select 'two patients in one study', count(*) from gateway.mixed_study join gateway.study using (study)
     where site = :site and over_position is null having count(*) > 0
""")
_DOUBTS = text("""
    with doubted (list, kind, record_id, position) as (
         select 'routing rules', 'rule', record_id, doubted_position from gateway.rule
          where doubted_position is not null
         union all
         select 'coupling list', 'coupling', record_id, doubted_position from gateway.coupling_entry
          where doubted_position is not null
         union all
         select 'projects', 'autoid', record_id, doubted_position from gateway.autoid_project
          where doubted_position is not null
         union all
         select 'withdrawals', 'withdrawal', record_id, doubted_position from gateway.withdrawal_entry
          where doubted_position is not null)
    select list, array_agg(record_id order by position) as records, min(recorded_at) as since,
           (select count(distinct study) from gateway.deferred_decision join gateway.study using (study)
             cross join lateral json_array_elements(details -> 'causes') as cause
             where site = :site and cause ->> 'kind' = kind) as studies
      from doubted join (select position, recorded_at from ledger.event) as told using (position)
     group by list, kind order by list
""")


def _last_run(work: Work, now: datetime) -> dict[str, Any] | None:
    row = work.execute(_LAST_RUN, {"site": work.site, "now": now}).mappings().one_or_none()
    return None if row is None else dict(row)
