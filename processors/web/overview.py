"""What the first page shows: whether the gateway is well, what needs a person, what waits, and how much there is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import text

from processors.clocks import believed
from processors.gateway import Gateway, Work
from processors.operations.groups import Group, grouped
from processors.operations.status import Status
from processors.web.days import beginning
from processors.web.plots import Plot, plot

DAYS: Final = 30
"""So many days are drawn, and times taken are those of so many."""


class Waiting(NamedTuple):
    """What is in one state, by how long it has been: at most an hour, a day, a week, or longer."""

    state: str
    total: int
    hour: int
    day: int
    week: int
    longer: int
    oldest: datetime | None


class Day(NamedTuple):
    """How much was recorded on a day: studies that arrived, requests, and sendings that were noticed."""

    day: str
    arrived: int
    requested: int
    sent: int


class ProjectLine(NamedTuple):
    """A project's requests: delivered (to be sent once more, too), underway, held, and in need of a person.

    `typical` and `slowest` are how long it took from arrival until the sending was noticed, of late.
    """

    project: str
    delivered: int
    waiting: int
    held: int
    failed: int
    typical: timedelta | None
    slowest: timedelta | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """All of it. `status` is what the command of that name shows."""

    status: Status
    groups: Sequence[Group]
    waiting: Sequence[Waiting]
    days: Sequence[Day]
    projects: Sequence[ProjectLine]

    @property
    def plots(self) -> list[Plot]:
        """The days, drawn."""
        return [
            plot("Studies arrived", [(day.day, day.arrived) for day in self.days]),
            plot("Transfers requested", [(day.day, day.requested) for day in self.days]),
            plot("Sent", [(day.day, day.sent) for day in self.days]),
        ]


def overview(gateway: Gateway, told: Status) -> Overview:
    """The overview of the gateway's site as the ledger has it, with the status told of it."""
    with gateway.begin() as work:
        return Overview(
            status=told,
            groups=grouped(told.attention),
            waiting=_waiting(work),
            days=_days(work),
            projects=_projects(work),
        )


def _waiting(work: Work) -> list[Waiting]:
    now = work.clock()
    ages = {
        "hour": now - timedelta(hours=1),
        "day": now - timedelta(days=1),
        "week": now - timedelta(weeks=1),
    }
    rows = [Waiting(*row) for row in work.execute(_WAITING, {"site": work.site, **ages})]
    return [row._replace(oldest=believed(row.oldest, now)) for row in rows]


# What is sent and done waits for nothing: only what the few rows of the others say is read.
_WAITING = text("""
    with waiting (rank, state, study, at) as (
         select 1, 'to be written to REDCap', transfer.study, event.recorded_at
           from gateway.transfer join ledger.event on event.position = transfer.position
          where state = 'requested'
         union all
         select 2, 'in REDCap, to be sent', transfer.study, told.at
           from gateway.outcome as told join gateway.transfer on transfer.position = told.request
          where told.ours and told.state = 'awaited' and transfer.state = 'placed'
         union all
         select 3, 'failed', transfer.study, told.at
           from gateway.outcome as told join gateway.transfer on transfer.position = told.request
          where told.ours and told.state = 'failed' and transfer.state = 'placed'
         union all
         select 4, 'held', held.study, event.recorded_at
           from gateway.held_request as held join ledger.event on event.position = held.since_position
         union all
         select 5, 'held for want of an ID', held.study, event.recorded_at
           from gateway.held_study as held join ledger.event using (position)
         union all
         select 6, 'in conflict', conflict.study, event.recorded_at
           from gateway.conflict join ledger.event using (position)
         union all
         select 7, 'contested by a person', transfer.study, event.recorded_at
           from gateway.transfer join ledger.event on event.position = transfer.position
          where state = 'contested'
         union all
         select 8, 'to be withdrawn', transfer.study, event.recorded_at
           from gateway.transfer join ledger.event on event.position = transfer.position
          where state = 'ending')
    select state, count(*), count(*) filter (where at > :hour), count(*) filter (where at <= :hour and at > :day),
           count(*) filter (where at <= :day and at > :week), count(*) filter (where at <= :week), min(at)
      from waiting join gateway.study using (study) where site = :site
     group by rank, state order by rank
""")


def _days(work: Work) -> list[Day]:
    today = work.local(work.clock()).date()
    days = [today - timedelta(days=ago) for ago in reversed(range(DAYS))]
    begins = [beginning(work, day) for day in days]
    counted = {
        row.number: row for row in work.execute(_VOLUME, {"site": work.site, "begins": begins, "first": begins[0]})
    }
    none = (0, 0, 0)
    return [
        Day(day.isoformat(), *(counted[number][1:] if number in counted else none))
        for number, day in enumerate(days, start=1)
    ]


# A day begins where the hospital has midnight.
_VOLUME = text("""
    select width_bucket(recorded_at, cast(:begins as timestamptz[])) as number,
           count(*) filter (where type = 'SeriesDiscovered' and version = 1) as arrived,
           count(*) filter (where type = 'TransferRequested') as requested,
           count(*) filter (where type = 'TransferSent') as sent
      from ledger.event
     where recorded_at >= :first and site = :site and type in ('SeriesDiscovered', 'TransferRequested', 'TransferSent')
     group by number
""")


def _projects(work: Work) -> list[ProjectLine]:
    since = work.clock() - timedelta(days=DAYS)
    return [ProjectLine(*row) for row in work.execute(_PROJECTS, {"site": work.site, "since": since})]


_PROJECTS = text("""
    with asked as (
         select transfer.project,
                count(*) filter (where told.sends > 0) as delivered,
                count(*) filter (where transfer.state in ('requested', 'contested', 'ending')
                                    or (transfer.state = 'placed' and told.state = 'awaited')) as waiting,
                count(*) filter (where told.state = 'failed' and transfer.state = 'placed') as failed,
                percentile_cont(0.5) within group (order by told.at - study.arrived_at)
                    filter (where told.state = 'sent' and told.sends = 1 and told.at >= :since) as typical,
                max(told.at - study.arrived_at)
                    filter (where told.state = 'sent' and told.sends = 1 and told.at >= :since) as slowest
           from gateway.transfer join gateway.study using (study)
           left join gateway.outcome as told on told.request = transfer.position and told.ours
          where study.site = :site group by transfer.project),
         held as (
         select project, count(*) as held
           from (select project, study from gateway.held_request
                 union all select project, study from gateway.held_study
                 union all select project, study from gateway.conflict) as not_asked
           join gateway.study using (study) where site = :site group by project)
    select project, coalesce(delivered, 0), coalesce(waiting, 0), coalesce(held, 0), coalesce(failed, 0),
           typical, slowest
      from asked full join held using (project) order by project
""")
