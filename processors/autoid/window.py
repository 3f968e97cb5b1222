"""The auto-ID window (14 days): since when a study may have arrived to be given an ID.

While REDCap or the gateway is away, studies wait through no fault of their own: an outage within the window makes it
reach back by so much further.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import text

from processors.clocks import believed
from processors.gateway import Work

LONGEST_PAUSE: Final = timedelta(hours=1)
"""Between two runs that get through; a longer one is an outage."""


class Outage(NamedTuple):
    """From when to when no run got as far as to give IDs."""

    began: datetime
    ended: datetime


def reach(now: datetime, window: timedelta, outages: Iterable[Outage]) -> datetime:
    """The beginning of the window: so much time before now, the outages left out. Pure."""
    since = now - window
    for outage in sorted(outages, key=lambda outage: outage.ended, reverse=True):
        if outage.ended > since:
            since -= outage.ended - outage.began
    return since


_PASS = text("select at from gateway.assignment where site = :site")
_BEGIN = text("insert into gateway.assignment (site, at) values (:site, :now) on conflict do nothing")
_OUTAGES = text("select began, ended from gateway.assignment_outage where site = :site")
_REMEMBER = text("""
    insert into gateway.assignment (site, at) values (:site, :now) on conflict (site) do update set at = excluded.at
""")
_ADD = text("insert into gateway.assignment_outage (site, began, ended) values (:site, :began, :ended)")
_DROP = text("delete from gateway.assignment_outage where site = :site and ended <= :since")


def window_begins(work: Work, window: timedelta) -> datetime:
    """The beginning of the window, the outage included that ends with this run."""
    now = work.clock()
    current = _current_outage(work, now)
    outages = [Outage(*row) for row in work.execute(_OUTAGES, {"site": work.site})]
    return reach(now, window, outages if current is None else [*outages, current])


def note_begun(work: Work) -> None:
    """Notes that IDs are to be given, where that was never noted: from now on, time counts."""
    work.execute(_BEGIN, {"site": work.site, "now": work.clock()})


def note_completed(work: Work, since: datetime) -> None:
    """Notes that all that arrived `since` was looked at, and the outage that this ends."""
    now = work.clock()
    current = _current_outage(work, now)
    if current is not None:
        work.execute(_ADD, {"site": work.site, **current._asdict()})
    work.execute(_REMEMBER, {"site": work.site, "now": now})
    work.execute(_DROP, {"site": work.site, "since": since})


def _current_outage(work: Work, now: datetime) -> Outage | None:
    last = believed(work.execute(_PASS, {"site": work.site}).scalar_one_or_none(), now)
    return None if last is None or now - last <= LONGEST_PAUSE else Outage(last, now)
