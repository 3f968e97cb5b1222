"""REDCap's limit on calls: an address above so many a minute is banned until a person lifts the ban."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

_MINUTE: Final = timedelta(minutes=1)


class Limiter:
    """Counts calls by address. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._times: defaultdict[str, deque[datetime]] = defaultdict(deque)
        self._banned: set[str] = set()

    def admits(self, address: str, now: datetime, per_minute: int) -> bool:
        """Count one call of the address; False if it is banned, now or before. 0 a minute means no limit."""
        with self._lock:
            if address in self._banned:
                return False
            if not per_minute:
                return True
            times = self._times[address]
            times.append(now)
            while times[0] <= now - _MINUTE:
                times.popleft()
            if len(times) > per_minute:
                self._banned.add(address)
            return address not in self._banned

    def lift_bans(self) -> None:
        """What an administrator does: forget all bans and counts."""
        with self._lock:
            self._banned.clear()
            self._times.clear()
