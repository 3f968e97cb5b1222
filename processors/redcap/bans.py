"""REDCap's bans: what looks like one, and what an operator must know about it.

How a banned address is answered is not documented, and differs between versions; there is no status
429 and no Retry-After. What looks like a ban is taken for one: calling on would only prolong it.
"""

import re
from datetime import datetime
from typing import Final

_BAN = re.compile(
    r"\b(cannot|can not|can't|may not) use REDCap\b"
    r"|\bbanned\b"
    r"|\b(IP )?address\b.{0,120}\b(is|was|has been|have been) (temporarily )?blocked\b"
    r"|\btoo many requests\b",
    re.IGNORECASE | re.DOTALL,
)
_ADVICE: Final = (
    "REDCap bans an address that makes more web requests a minute than its limit (600 unless changed), "
    "counting all programs and people behind the address together, until an administrator lifts the ban. "
    "Look for this address under Banned IP Addresses in REDCap's Control Center, remove it there, and put it "
    "on the exception list of the rate limiter. Find out what else uses this address, or make "
    "redcap.calls_per_minute smaller."
)


def looks_like_ban(text: str) -> bool:
    """Whether a page or an error of REDCap speaks of a ban."""
    return _BAN.search(text) is not None


def advice(until: datetime | None) -> str:
    """What to do about a ban, and when this program tries again (None: nothing is known about that)."""
    if until is None:
        return _ADVICE
    local = until.astimezone()
    return f"{_ADVICE} No call is made before {local:%Y-%m-%d %H:%M} ({local:%Z})."
