"""The rows that are due: what the ledger wants REDCap to hold and REDCap does not, in portions."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Final, NamedTuple

from sqlalchemy import TextClause, text

from processors.clocks import due
from processors.delivery.retries import RETRY_AFTER
from processors.events.deliveries import RowKind
from processors.gateway import Gateway, Work
from processors.requests import State

FULL_ENOUGH: Final = 0.9
"""A portion of so much of its size may end with a study: more calls than that costs are not worth it."""
MOST_ENDS_TRIED: Final = 20
"""Of so many studies each run tries again to end what REDCap has refused to; of others once an hour."""


class DueRow(NamedTuple):
    """A row to be written: the study's own, a series', or a transfer's, and the event that says so.

    `refused`: REDCap did not take it the last time.
    """

    study: str
    kind: RowKind
    key: str
    position: int
    refused: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Again:
    """What is to be written although REDCap has held it: all study and series rows of these studies, and the
    rows of these placed requests (positions) where they are gone.

    Rows whose absence was acknowledged are left out, unless `everything` is to come back, or the study is asked for:
    one of these requests is of it, or one that was made since.
    """

    studies: Collection[str]
    requests: Collection[int] = ()
    everything: bool = False


_UNSETTLED: tuple[State, ...] = ("requested", "ending")
"""The states of requests that wait for a row to be written."""

_ROW = """
    select item.study, item.kind, item.key, item.position, refused.position is not null as refused
"""
_REFUSED = """
    left join gateway.refused_row as refused
           on (refused.study, refused.kind, refused.key) = (item.study, item.kind, item.key)
          and refused.row_position = item.position
"""
# What contradicts the ledger's own tables is not written: of two patients who share a pseudonym, one would be sent.
_IS_WRITABLE = """
    (state = 'ending'
     or not exists (select from ledger.set_apart as apart
                     where apart.position = transfer.position and mended_position is null))
"""
# A study that was received again after its record was deleted is wanted again, with all of its rows.
_RECEIVED_ANEW = """
    select received.study, received.kind, received.key, received.position
      from (select study, 'study' as kind, '' as key, row_position as position from gateway.study
            union all
            select study, 'series', series, position from gateway.series) as received
      join gateway.missing_row as deleted using (study)
      join gateway.study as back using (study)
     where deleted.kind = 'study' and back.returned_position > deleted.position
"""
# Each by its key ("offset 0" keeps it so): PostgreSQL cannot know how few wait, took them for a third of all there are,
# and went through all studies, in each run in which nothing waited.
_STUDY = """
    cross join lateral (select site, returned_position from gateway.study where study = item.study offset 0) as study
"""
# A row that is not wanted any more and can still be sent does not wait for its hour, nor what takes its place: records
# are locked for minutes. No more than a few studies, as each may cost a call.
_ENDS_REFUSED = f"""
    item.kind = 'transfer' and item.study in (
        select transfer.study from gateway.transfer
          join gateway.refused_row as row on (row.kind, row.row_position) = ('transfer', transfer.position)
         where state = 'ending' or exists (select from gateway.double_row where request = transfer.position)
         order by refused_at, transfer.position limit {MOST_ENDS_TRIED})
"""
# Rows of records that somebody deleted are left alone, and refused rows until they are due again. A request that
# was made since the deletion brings the record back; one that has ended, or is doubled, is settled whatever there is.
_PENDING = f"""
    {_ROW}
      from (select study, 'study' as kind, '' as key, row_position as position from gateway.study
             where row_position > delivered_position
            union all
            select study, 'series', series, position from gateway.series
             where position > delivered_position
            union
            {_RECEIVED_ANEW}
            union all
            select study, 'transfer', position::text, position from gateway.transfer
             where state = any(:states) and {_IS_WRITABLE}
            union all
            select transfer.study, 'transfer', request::text, request
              from gateway.double_row join gateway.transfer on transfer.position = request
             where state = 'placed' and 'ending' = any(:states)) as item
      {_STUDY}
      {_REFUSED}
     where study.site = :site and item.kind = any(:kinds)
       and (refused.position is null or (:retry and {due("refused.refused_at")}) or ({_ENDS_REFUSED}))
       and not exists (select from gateway.missing_row as missing
                        where missing.study = item.study and missing.position > study.returned_position
                          and (missing.kind = 'study' or (missing.kind, missing.key) = (item.kind, item.key))
                          and (item.kind <> 'transfer' or item.position < missing.position)
                          and not exists (select from gateway.transfer as ended
                                           where item.kind = 'transfer' and ended.position = item.position
                                             and ended.state in ('ending', 'placed')))
"""
# What somebody deleted comes back, unless somebody has said that it was meant to go and nobody has asked for it since.
_AGAIN = f"""
    {_ROW}
      from (select study, 'study' as kind, '' as key, row_position as position from gateway.study
            union all
            select study, 'series', series, position from gateway.series
            union all
            select study, 'transfer', position::text, position from gateway.transfer
             where (state in ('requested', 'ending') or (state = 'placed' and position = any(:requests)))
               and {_IS_WRITABLE}) as item
      join gateway.study on study.study = item.study
      {_REFUSED}
     where study.site = :site and item.kind = any(:kinds) and item.study = any(:studies)
       and not exists (select from gateway.missing_row as missing
                        where missing.study = item.study and acknowledged and not :everything
                          and (missing.kind = 'study'
                               or (missing.kind, missing.key) = (item.kind, item.key))
                          and not exists (select from gateway.transfer as asks
                                           where asks.study = missing.study
                                             and (asks.position = any(:requests)
                                                  or (asks.state = 'requested' and asks.position > missing.position))))
"""
# Studies that something is requested of come first, the newest request first of all, then the newest of the others: who
# waits for a transfer does not wait for a backlog.
# The kinds' order within a study is that of the alphabet backwards: study before series would be
# nicer, but REDCap does not mind, and a study's own row may come with a later portion anyway.
# Rows that were refused come last, in portions of their own: they may make whatever portion they are in fail.
_IN_ORDER = text(f"""
    select study, kind, key, position, refused
      from (select pending.*, max(position) over study as newest,
                   max(position) filter (where kind = 'transfer' and not refused) over study as newest_request
              from ({_PENDING}) as pending
            window study as (partition by study)) as ranked
     order by refused, newest_request desc nulls last, newest desc, study, kind desc, position
""")
_COUNTED = text(f"select count(*) from ({_PENDING}) as pending")
_AGAIN_IN_ORDER = text(f"{_AGAIN} order by refused, item.study, item.kind desc, item.position")
_AGAIN_COUNTED = text(f"select count(*) from ({_AGAIN}) as again")


# The transaction waits for REDCap between portions; a server's patience with idle ones is no help. And all rows will be
# fetched: planned for the first few, as cursors are, the query looked through all studies for every row, 110 s more for
# 100,000 series.
_PATIENT = text("""
    select set_config('idle_in_transaction_session_timeout', '0', true), set_config('cursor_tuple_fraction', '1', true)
""")


@contextmanager
def due_rows(
    work: Work,
    kinds: Collection[RowKind],
    size: int,
    again: Again | None = None,
    *,
    retry: bool = True,
    ends: bool = True,
) -> Iterator[tuple[int, Iterator[list[DueRow]]]]:
    """How many rows are to be written, and the rows in portions of `size`; `again` those it names.

    What is requested for a study is in one portion, which may be larger then. So are all of its rows where the portion
    before is `FULL_ENOUGH` without them: a study in two portions is not read ahead.

    Refused rows are among them with `retry`, if they have waited for their time, and always a few that end.
    Without `ends`, of transfers only those that have never been placed are.
    The list is as it was on entering: what the deliveries record meanwhile does not change it. A
    cursor on the server holds it, so that memory does not grow with it.
    """
    in_order, counted, parameters = _asked_for(work, kinds, retry=retry, ends=ends) if again is None else _named(again)
    parameters |= {"site": work.site, "kinds": list(kinds)}
    count: int = work.execute(counted, parameters).scalar_one()
    if count == 0:
        yield 0, iter(())
        return
    work.execute(_PATIENT)
    rows = work.execute(in_order, parameters, execution_options={"yield_per": size})
    try:
        yield count, _apart((DueRow(*row) for row in rows), size)
    finally:
        rows.close()


def _apart(rows: Iterator[DueRow], size: int) -> Iterator[list[DueRow]]:
    for _, alike in groupby(rows, key=lambda row: row.refused):
        yield from _portions(alike, size)


def _portions(rows: Iterator[DueRow], size: int) -> Iterator[list[DueRow]]:
    """The rows in portions, of whole studies where that fills them; what is requested of one stays together."""
    portion: list[DueRow] = []
    for _, of_study in groupby(rows, key=lambda row: row.study):
        study = list(of_study)
        if len(portion) >= FULL_ENOUGH * size and len(portion) + len(study) > size:
            yield portion
            portion = []
        together = len(portion) + sum(row.kind == "transfer" for row in study)
        portion += study
        while len(portion) > max(size, together):
            first = max(size, together)
            yield portion[:first]
            portion, together = portion[first:], 0
    if portion:
        yield portion


def _asked_for(
    work: Work, kinds: Collection[RowKind], *, retry: bool, ends: bool
) -> tuple[TextClause, TextClause, dict[str, Any]]:
    states: list[State] = list(_UNSETTLED) if ends else ["requested"]
    if ends and "transfer" in kinds and _contests_are_due(work):
        states.append("contested")
    return _IN_ORDER, _COUNTED, {"retry": retry, "states": states, **_times(work.gateway)}


def _times(gateway: Gateway) -> dict[str, datetime]:
    """What `due` goes by."""
    now = gateway.clock()
    return {"now": now, "before": now - RETRY_AFTER}


def _named(again: Again) -> tuple[TextClause, TextClause, dict[str, Any]]:
    return (
        _AGAIN_IN_ORDER,
        _AGAIN_COUNTED,
        {"studies": list(again.studies), "requests": list(again.requests), "everything": again.everything},
    )


def rows_again(work: Work, kinds: Collection[RowKind], again: Again) -> list[DueRow]:
    """The rows that `again` names, all at once."""
    in_order, _, parameters = _named(again)
    return [DueRow(*row) for row in work.execute(in_order, parameters | {"site": work.site, "kinds": list(kinds)})]


def is_anything_due(gateway: Gateway, kinds: Collection[RowKind]) -> bool:
    """Whether rows of these kinds are to be written, but for contested requests, which may be due again."""
    parameters = {
        "site": gateway.site,
        "kinds": list(kinds),
        "retry": True,
        "states": list(_UNSETTLED),
        **_times(gateway),
    }
    with gateway.begin() as work:
        count: int = work.execute(_COUNTED, parameters).scalar_one()
    return count > 0


_CONTESTS_DUE = text(f"""
    insert into gateway.contest_retry (site, at)
    select :site, :now where exists (select from gateway.transfer where state = 'contested')
    on conflict (site) do update set at = excluded.at where {due("contest_retry.at")}
    returning at
""")


def _contests_are_due(work: Work) -> bool:
    """Whether contested requests are to be tried again, which is noted with the end of the delivery."""
    return work.execute(_CONTESTS_DUE, {"site": work.site, **_times(work.gateway)}).one_or_none() is not None


class PendingAge(NamedTuple):
    """How many rows of a kind wait to be written, and since when the oldest does, where the clock was right then."""

    kind: RowKind
    rows: int
    oldest: datetime | None


# What is to be ended waits since nobody wants it any more, not since it was requested; what was received again after
# its record was deleted, since then.
_DUE_SINCE = """
    select max(recorded_at) as since
      from (select recorded_at from ledger.event where event.position = pending.position
            union all
            select ended.recorded_at
              from gateway.transfer join ledger.event as ended on ended.stream = 'study/' || transfer.study
             where pending.kind = 'transfer' and transfer.position = pending.position and transfer.state = 'ending'
               and ((ended.type in ('TransferRetracted', 'TransferStrayed')
                     and ended.data ->> 'request' = transfer.position::text)
                    or (ended.type = 'TransferRequested'
                        and (ended.data -> 'replaces')::jsonb @> to_jsonb(transfer.position)))
            union all
            select recorded_at from gateway.double_row join ledger.event using (position)
             where pending.kind = 'transfer' and double_row.request = pending.position
            union all
            select recorded_at
              from gateway.missing_row as deleted join gateway.study using (study)
              join ledger.event on event.position = study.returned_position
             where deleted.study = pending.study and deleted.kind = 'study'
               and study.returned_position > deleted.position) as told
"""
_AGES = text(f"""
    select kind, count(*), min(since) filter (where since <= :now) as oldest
      from ({_PENDING}) as pending
     cross join lateral ({_DUE_SINCE}) as due
     group by kind order by kind
""")


def pending_age(work: Work) -> list[PendingAge]:
    """What waits to be written now; refused rows count."""
    return [PendingAge(*row) for row in work.execute(_AGES, _waiting(work))]


_WAITING_OF = text(f"select count(*) from ({_PENDING}) as pending where study = any(:studies)")


def waiting_rows(work: Work, studies: Sequence[str]) -> int:
    """How many of the rows that `pending_age` counts are of these studies."""
    count: int = work.execute(_WAITING_OF, _waiting(work) | {"studies": list(studies)}).scalar_one()
    return count


def _waiting(work: Work) -> dict[str, Any]:
    now = work.clock()
    return {
        "site": work.site,
        "kinds": ["study", "series", "transfer"],
        "retry": True,
        "states": list(_UNSETTLED),
        "now": now,
        "before": now,
    }
