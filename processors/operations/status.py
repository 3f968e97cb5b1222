"""How the gateway is doing: last run, what waits to be written, what needs a person."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text

from ledger import lease, store
from ledger.lease import Lease
from processors.autoid.forecast import Forecast, forecasts
from processors.delivery.due import PendingAge, pending_age
from processors.delivery.sender.queue import unusable_folders
from processors.gateway import Gateway, Work
from processors.routing.projects import Approval, ending_approvals

LONGEST_SILENCE = timedelta(hours=1)
"""For so long REDCap may be down, or a row refused, before somebody should know. It is the time after
which a refused row is tried again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sending:
    """What the sender has made of the requests that we placed; of what preceded the first look, nothing is known.

    `oldest` tells since when the oldest one waits that has not been sent.
    """

    sent: int
    unsent: int
    failed: int
    oldest: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Doubts:
    """Records of a list that REDCap's latest export lacks, the first since then; so many studies of the site wait."""

    list: str
    records: Sequence[str]
    since: datetime
    studies: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """One screen of facts. `last_run` is None where none has been yet; `under_way` is who works now.

    `silent_seconds`: how long ago the last run ended that got through. Whether summaries wait on disk since
    then is not known: `newest_event` tells when anything was last recorded.
    `stalled_since`: since when runs are started and do not get through, if for too long;
    `overdue_since`: since when the oldest row waits to be written, if for too long. `approvals` are those that end
    within 90 days.
    """

    head: int
    newest_event: datetime | None
    studies: int
    series: int
    studies_on_disk: int
    last_run: dict[str, Any] | None
    under_way: Lease | None
    last_success: datetime | None
    silent_seconds: int | None
    stalled_since: datetime | None
    pending: list[PendingAge]
    overdue_since: datetime | None
    transfers: dict[str, int]
    sending: Sending
    autoid: list[Forecast]
    approvals: list[Approval]
    doubts: list[Doubts]
    attention: list[dict[str, Any]]

    @property
    def needs_attention(self) -> bool:
        """Whether a person must look at something."""
        return bool(self.attention) or self.stalled_since is not None or self.overdue_since is not None

    @property
    def kinds(self) -> dict[str, int]:
        """How much needs attention, by kind."""
        return dict(Counter(row["kind"] for row in self.attention))


def status(gateway: Gateway) -> Status:
    """The state of the gateway as the ledger has it; REDCap is not asked."""
    now = gateway.clock()
    of_site = {"site": gateway.site, "now": now}
    before = now - LONGEST_SILENCE
    with gateway.begin() as work:
        counts = work.execute(_COUNTS, of_site).one()
        pending = pending_age(work)
        last_success = work.execute(_LAST_SUCCESS, of_site).scalar_one_or_none()
        return Status(
            head=store.head(work.connection).position,
            newest_event=work.execute(_NEWEST_EVENT).scalar_one_or_none(),
            studies=counts.studies,
            series=counts.series,
            studies_on_disk=counts.on_disk,
            last_run=_last_run(work, now),
            under_way=lease.found(work.connection, lease.RUN, gateway.site),
            last_success=last_success,
            silent_seconds=None if last_success is None else int((now - last_success).total_seconds()),
            stalled_since=work.execute(_STALLED, of_site | {"before": before}).scalar_one_or_none(),
            pending=pending,
            overdue_since=min((each.oldest for each in pending if each.oldest and each.oldest < before), default=None),
            transfers={row.state: row.requests for row in work.execute(_TRANSFERS, of_site)},
            sending=Sending(**work.execute(_SENDING, of_site).mappings().one()),
            autoid=forecasts(work, now),
            approvals=ending_approvals(work),
            doubts=[Doubts(**row) for row in work.execute(_DOUBTS, of_site).mappings()],
            attention=[*_folders(gateway), *(dict(row) for row in work.execute(_ATTENTION).mappings())],
        )


def _folders(gateway: Gateway) -> list[dict[str, Any]]:
    """The sender's folders that cannot be used: what is in its hands is only guessed meanwhile."""
    advice = "Have the folder made, or its rights mended, or take it out of the configuration."
    return [
        {
            "kind": "unusable folder of the sender",
            "position": None,
            "study": None,
            "project": None,
            "subject": key,
            "details": details,
            "advice": advice,
        }
        for key, details in unusable_folders(gateway.sender).items()
    ]


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
_LAST_SUCCESS = text("""
    select finished_at from gateway.run where site = :site and exit_code in (0, 1) and finished_at <= :now
     order by started_at desc limit 1
""")
# Counted from the first run that failed: a gateway that was switched off for days has nothing to tell
# when its first run begins.
_STALLED = text("""
    select min(started_at) as since from gateway.run
     where site = :site and started_at <= :now
       and started_at > coalesce((select finished_at from gateway.run
                                   where site = :site and exit_code in (0, 1) and finished_at <= :now
                                   order by started_at desc limit 1), '-infinity')
    having min(started_at) < :before
""")
_TRANSFERS = text("""
    select state, count(*) as requests from gateway.transfer join gateway.study using (study)
     where site = :site group by state order by state
""")
_SENDING = text("""
    select count(*) filter (where outcome.state = 'sent') as sent,
           count(*) filter (where outcome.state = 'failed' and transfer.state = 'placed') as failed,
           count(*) filter (where is_unsent) as unsent, min(outcome.at) filter (where is_unsent) as oldest
      from gateway.outcome
      join gateway.transfer on transfer.position = outcome.request
      join gateway.study on study.study = outcome.study
      left join gateway.look on look.site = study.site
     cross join lateral (
           select outcome.state = 'awaited' and transfer.state = 'placed' and not transfer.found
                  and outcome.at >= look.since) as what (is_unsent)
     where outcome.ours and study.site = :site
""")
_ATTENTION = text("""
    select kind, position, study, project, subject, details, advice from audit.attention
     order by kind, position
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
