"""The rate limit of calls that all processes on one ledger share, kept in PostgreSQL, and the pause after a ban.

A call's time is reserved in a short transaction of its own and then waited for without any lock. The
database's clock counts, so that several machines agree. What is bounded are the reserved times: a
process that is held up between its slot and its call makes that one call late. A ban works as a
circuit breaker: no process calls before its pause is over.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol

from sqlalchemy import Connection, text

from ledger.database import Database

from . import bans, cell_rate
from .errors import Banned

Sleep = Callable[[float], object]
Clock = Callable[[], datetime]

_LOOK = text("""
    select next_call_at, paused_until, clock_timestamp() as now
      from gateway.call_budget
     where url = :url
       for update
""")
_BEGIN = text("""
    insert into gateway.call_budget (url, next_call_at)
    values (:url, :next_call_at)
        on conflict (url) do nothing
""")
_RESERVE = text("update gateway.call_budget set next_call_at = :next_call_at where url = :url")
_PAUSE = text("update gateway.call_budget set paused_until = :until where url = :url")
_NOW = text("select clock_timestamp()")


class Reservation(NamedTuple):
    """When a call may be made, by the database's clock, and how long that is from the reservation."""

    due: datetime
    wait: timedelta


class RateLimit(Protocol):
    """What the client needs of a rate limit."""

    def take(self) -> None:
        """Waits until one call may be made. Raises `Banned` during a ban."""

    def pause(self) -> datetime | None:
        """Records a ban; gives the end of the pause, if there is one."""


class NoRateLimit:
    """Never waits: for tests, and for tools that make a handful of calls."""

    def take(self) -> None:
        """Gives every call at once."""

    def pause(self) -> None:
        """Remembers nothing."""


class SharedRateLimit:
    """At most `calls_per_minute` calls to one REDCap in any minute, whoever makes them.

    `clock` None is the database's own, which is right for everything but tests.
    """

    def __init__(
        self,
        database: Database,
        *,
        url: str,
        calls_per_minute: int,
        ban_pause_minutes: float,
        clock: Clock | None = None,
        sleep: Sleep = time.sleep,
    ) -> None:
        self._database = database
        self._url = url
        self._rate = cell_rate.rate(calls_per_minute)
        self._pause = timedelta(minutes=ban_pause_minutes)
        self._clock = clock
        self._sleep = sleep

    def take(self) -> None:
        """Waits until one call may be made. Raises `Banned` while a ban is in force."""
        wait = self.reserve().wait
        if wait > timedelta(0):
            self._sleep(wait.total_seconds())

    def reserve(self) -> Reservation:
        """Books the next free slot, without waiting for it. Raises `Banned` while a ban is in force."""
        with self._database.begin() as connection:
            next_call_at, paused_until, now = self._look(connection)
            # A pause that ends later than one that began now was booked by a clock that has been set back.
            if paused_until is not None and now < paused_until <= now + self._pause:
                raise Banned(
                    f"No call to REDCap was made: it keeps this address out, as an earlier call has shown. "
                    f"{bans.advice(paused_until)}"
                )
            slot = cell_rate.reserve(next_call_at, now, self._rate)
            connection.execute(_RESERVE, {"url": self._url, "next_call_at": slot.next_call_at})
        return Reservation(slot.due, slot.due - now)

    def pause(self) -> datetime:
        """Records a ban for all processes; the time before which nobody calls again."""
        with self._database.begin() as connection:
            _next_call_at, _paused_until, now = self._look(connection)
            until = now + self._pause
            connection.execute(_PAUSE, {"url": self._url, "until": until})
        return until

    def _look(self, connection: Connection) -> tuple[datetime, datetime | None, datetime]:
        """The row of this server, locked and made if there is none: next call, end of a pause, now."""
        row = connection.execute(_LOOK, {"url": self._url}).one_or_none()
        if row is None:
            first = self._now(connection) - self._rate.allowance
            connection.execute(_BEGIN, {"url": self._url, "next_call_at": first})
            row = connection.execute(_LOOK, {"url": self._url}).one()
        return row.next_call_at, row.paused_until, self._clock().astimezone(UTC) if self._clock else row.now

    def _now(self, connection: Connection) -> datetime:
        if self._clock is not None:
            return self._clock().astimezone(UTC)
        now: datetime = connection.execute(_NOW).scalar_one()
        return now
