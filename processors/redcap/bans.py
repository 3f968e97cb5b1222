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
_ADDRESS = re.compile(r"\bIP\b|\b\d{1,3}(?:\.\d{1,3}){3}\b|\b[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){4,7}\b", re.IGNORECASE)
# Beside an address, in the languages that REDCap is used in most.
_BLOCKED = re.compile(
    r"block|blok|bloq|blocc|gesperrt|sperret|spärra|verbannt|ausgeschlossen|utestengt|udelukket|avstängd|banni|baneado"
    r"|banid|bandit|prohib|proib|interdit|estetty|zabloko|封|禁止|拒否|ブロック|차단|заблок",
    re.IGNORECASE,
)
_ADVICE: Final = (
    "REDCap bans an address that makes more web requests a minute than its limit (600 unless changed), "
    "counting all programs and people behind the address together, until an administrator lifts the ban. "
    "Look for this address under Banned IP Addresses in REDCap's Control Center, remove it there, and put it "
    "on the exception list of the rate limiter. Find out what else uses this address, or make "
    "redcap.calls_per_minute smaller."
)


def looks_like_ban(text: str, *, is_page: bool) -> bool:
    """Whether a page or an error of REDCap speaks of a ban; `is_page`: it is a page in place of an answer.

    Firewalls speak of addresses, too, when they refuse a call: but not with HTTP 200.
    """
    return _BAN.search(text) is not None or (
        is_page and _ADDRESS.search(text) is not None and _BLOCKED.search(text) is not None
    )


def advice(until: datetime | None) -> str:
    """What to do about a ban, and when this program tries again (None: nothing is known about that)."""
    if until is None:
        return _ADVICE
    local = until.astimezone()
    return f"{_ADVICE} No call is made before {local:%Y-%m-%d %H:%M} ({local:%Z})."
