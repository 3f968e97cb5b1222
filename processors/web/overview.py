"""What the first page shows: whether the gateway is well, what needs a person, what waits, and how much there is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import text

from processors.clocks import believed
from processors.gateway import Gateway, Work
from processors.operations.groups import Group, grouped
from processors.operations.status import Status, Totals, counted
from processors.stored_requests import IS_MISSING
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


class Delivered(NamedTuple):
    """How many studies a project got, whoever requested them (to be sent once more, too).

    `typical` and `slowest` are how long it took from arrival until the sending of ours was noticed, of late.
    """

    studies: int
    typical: timedelta | None
    slowest: timedelta | None


class ProjectLine(NamedTuple):
    """What a project got; and its requests, ours and others', by how far they have come, as `find` names that.

    `missing` are those whose rows people deleted or changed, until somebody acknowledges it.
    """

    project: str
    delivered: Delivered
    waiting: int
    held: int
    conflict: int
    missing: int
    failed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Volume:
    """What is counted over all studies that there have ever been, as it was `at` that moment.

    `delivered` are those of each project for which anything was ever requested.
    """

    at: datetime
    totals: Totals
    days: Sequence[Day]
    delivered: Mapping[str, Delivered]

    @property
    def plots(self) -> list[Plot]:
        """The days, drawn."""
        return [
            plot("Studies arrived", [(day.day, day.arrived) for day in self.days]),
            plot("Transfers requested", [(day.day, day.requested) for day in self.days]),
            plot("Sent", [(day.day, day.sent) for day in self.days]),
        ]


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """All of it. `status` is what the command of that name shows; `volume` may have been counted a while before."""

    status: Status
    groups: Sequence[Group]
    waiting: Sequence[Waiting]
    projects: Sequence[ProjectLine]
    volume: Volume


def volume(gateway: Gateway, totals: Totals | None = None) -> Volume:
    """What there is of the gateway's site, counted, but for the totals where they are given.

    With 100,000 studies, that takes PostgreSQL a second.
    """
    with gateway.begin() as work:
        return Volume(at=gateway.clock(), totals=totals or counted(work), days=_days(work), delivered=_delivered(work))


def overview(gateway: Gateway, told: Status, volume: Volume) -> Overview:
    """The overview of the gateway's site as the ledger has it, with the status told of it and what was counted."""
    with gateway.begin() as work:
        rows = _unsettled(work)
    return Overview(
        status=told,
        groups=grouped(told.attention),
        waiting=_waiting(rows),
        projects=_projects(rows, volume.delivered),
        volume=volume,
    )


class _Unsettled(NamedTuple):
    """Requests of one project in one state, or held: how many, and how long."""

    rank: int
    project: str
    waiting: Waiting


def _unsettled(work: Work) -> list[_Unsettled]:
    now = work.clock()
    ages = {
        "hour": now - timedelta(hours=1),
        "day": now - timedelta(days=1),
        "week": now - timedelta(weeks=1),
    }
    return [
        _Unsettled(row.rank, row.project, Waiting(*row[2:])._replace(oldest=believed(row.oldest, now)))
        for row in work.execute(_UNSETTLED, {"site": work.site, **ages})
    ]


# What is sent and done waits for nothing: only what the few rows of the others say is read, by their keys, each.
_UNSETTLED = text(f"""
    with unsettled (rank, state, project, study, at) as (
         select 1, 'to be written to REDCap', transfer.project, transfer.study, event.recorded_at
           from gateway.transfer join ledger.event on event.position = transfer.position
          where state = 'requested'
         union all
         select 2, 'in REDCap, to be sent', transfer.project, transfer.study, told.at
           from gateway.outcome as told
          cross join lateral (select * from gateway.transfer where position = told.request offset 0) as transfer
          where told.ours and told.state = 'awaited' and transfer.state = 'placed' and not {IS_MISSING}
         union all
         select 3, 'failed', transfer.project, transfer.study, told.at
           from gateway.outcome as told
          cross join lateral (select * from gateway.transfer where position = told.request offset 0) as transfer
          where told.ours and told.state = 'failed' and transfer.state = 'placed'
         union all
         select case when theirs.failed then 3 else 2 end,
                'requested by others, ' || case when theirs.failed then 'failed' else 'to be sent' end,
                theirs.project, theirs.study, coalesce(theirs.reported_at, theirs.noticed_at)
           from (select study from gateway.outcome where not ours and state <> 'sent' union
                 select study from gateway.adopted_transfer where not sent union
                 select study from gateway.transfer where found and state = 'withdrawn') as of_others
          cross join lateral (select * from audit.request_of_others as told
                               where told.study = of_others.study offset 0) as theirs
          where theirs.failed or theirs.sends = 0
         union all
         select 4, 'held', held.project, held.study, event.recorded_at
           from gateway.held_request as held join ledger.event on event.position = held.since_position
         union all
         select 5, 'held for want of an ID', held.project, held.study, event.recorded_at
           from gateway.held_study as held join ledger.event using (position)
         union all
         select 5, 'held, of two patients', '', mixed.study, event.recorded_at
           from gateway.mixed_study as mixed join ledger.event using (position)
          where over_position is null
            and not exists (select from gateway.held_study as held
                             where held.study = mixed.study and held.reason = 'two patients in one study')
         union all
         select 6, 'in conflict', conflict.project, conflict.study, event.recorded_at
           from gateway.conflict join ledger.event using (position)
          where not exists (select from gateway.transfer as contested
                             where contested.state = 'contested'
                               and (contested.study, contested.project, contested.event_name)
                                 = (conflict.study, conflict.project, conflict.event_name))
         union all
         select 7, 'contested by a person', transfer.project, transfer.study, event.recorded_at
           from gateway.transfer join ledger.event on event.position = transfer.position
          where state = 'contested'
         union all
         (select distinct on (transfer.position)
                 8, 'deleted or changed in REDCap', transfer.project, transfer.study, event.recorded_at
            from gateway.missing_row as missing join ledger.event using (position)
            join gateway.transfer on transfer.study = missing.study and transfer.state = 'placed'
             and (missing.kind = 'study' or (missing.kind, missing.key) = ('transfer', transfer.position::text))
            left join gateway.outcome as told on told.request = transfer.position and told.ours
           where not missing.acknowledged and coalesce(told.state, 'awaited') = 'awaited')
         union all
         select 9, 'to be withdrawn', transfer.project, transfer.study, event.recorded_at
           from gateway.transfer join ledger.event on event.position = transfer.position
          where state = 'ending')
    select rank, project, state, count(*), count(*) filter (where at > :hour),
           count(*) filter (where at <= :hour and at > :day), count(*) filter (where at <= :day and at > :week),
           count(*) filter (where at <= :week), min(at) as oldest
      from unsettled where :site = (select site from gateway.study where study.study = unsettled.study)
     group by rank, project, state order by rank
""")
_COLUMNS: Final = {3: "failed", 4: "held", 5: "held", 6: "conflict", 7: "conflict", 8: "missing"}
"""Where those are counted that wait for a person, by rank; the others wait for the next run, or for the sender."""


def _waiting(unsettled: Iterable[_Unsettled]) -> list[Waiting]:
    """The states that any is in, whatever the project."""
    by_state: dict[str, Waiting] = {}
    for _, _, waiting in unsettled:
        known = by_state.get(waiting.state)
        by_state[waiting.state] = waiting if known is None else _together(known, waiting)
    return list(by_state.values())


def _together(one: Waiting, other: Waiting) -> Waiting:
    return Waiting(
        one.state,
        total=one.total + other.total,
        hour=one.hour + other.hour,
        day=one.day + other.day,
        week=one.week + other.week,
        longer=one.longer + other.longer,
        oldest=min((each.oldest for each in (one, other) if each.oldest), default=None),
    )


def _projects(unsettled: Iterable[_Unsettled], delivered: Mapping[str, Delivered]) -> list[ProjectLine]:
    """A line for each project, by name. What is held whatever the project is none of its."""
    lines = {project: ProjectLine(project, told, 0, 0, 0, 0, 0) for project, told in delivered.items()}
    for rank, project, waiting in unsettled:
        if not project:
            continue
        line = lines.get(project) or ProjectLine(project, Delivered(0, None, None), 0, 0, 0, 0, 0)
        kind = _COLUMNS.get(rank, "waiting")
        lines[project] = line._replace(**{kind: getattr(line, kind) + waiting.total})
    return sorted(lines.values())


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


def _delivered(work: Work) -> dict[str, Delivered]:
    since = work.clock() - timedelta(days=DAYS)
    rows = work.execute(_DELIVERED, {"site": work.site, "since": since})
    return {project: Delivered(*told) for project, *told in rows}


# A study is one, though it was requested for several events, or again after a correction.
_DELIVERED = text("""
    select project, count(distinct study) filter (where sends > 0),
           percentile_cont(0.5) within group (order by took), max(took)
      from (select transfer.project, transfer.study, told.sends,
                   case when told.state = 'sent' and told.sends = 1 and told.at >= :since
                        then told.at - study.arrived_at end as took
              from gateway.transfer join gateway.study using (study)
              left join gateway.outcome as told on told.request = transfer.position and told.ours
             where study.site = :site
             union all
            select theirs.project, theirs.study, theirs.sends, null
              from audit.request_of_others as theirs join gateway.study using (study)
             where study.site = :site) as asked
     group by project
""")
