"""The research projects of REDCap's list: which of them are open, and whose approval ends soon.

A project that the list does not know is open. Of one that stands there twice, each record can close it.
"""

from collections.abc import Iterable
from datetime import date, timedelta
from typing import NamedTuple

from sqlalchemy import text

from processors.gateway import Work

NOTICE = timedelta(days=90)
"""So long before an approval ends, people are told."""


class Approval(NamedTuple):
    """The ethics approval of a project, and its last day."""

    project: str
    ends: date


_LISTED = text("""
    select project, closed_by, starts, ends from gateway.autoid_project where not removed and project <> ''
     order by project, record_id
""")


def today(work: Work) -> date:
    """The day at the hospital."""
    return work.local(work.clock()).date()


def closed_projects(work: Work) -> dict[str, str]:
    """What closes each project that is not open, in words."""
    day = today(work).isoformat()
    rows = work.execute(_LISTED)
    return {row.project: why for row in rows if (why := _why_closed(row.closed_by, row.starts, row.ends, day))}


def listed_projects(work: Work) -> frozenset[str]:
    """The names of all projects of the list."""
    return frozenset(row.project for row in work.execute(_LISTED))


def ending_approvals(work: Work) -> list[Approval]:
    """The approvals that end within `NOTICE`, the first to end first."""
    first = today(work)
    last = (first + NOTICE).isoformat()
    ending = {
        Approval(row.project, date.fromisoformat(row.ends))
        for row in work.execute(_LISTED)
        if not row.closed_by and row.ends and first.isoformat() <= row.ends <= last
    }
    return sorted(ending, key=lambda approval: (approval.ends, approval.project))


def misspelt(name: str, known: Iterable[str]) -> str | None:
    """The known project whose name differs by case or blanks only; None for one that is known, or unlike all."""
    known = sorted(known)
    if name in known:
        return None
    return next((other for other in known if _folded(other) == _folded(name)), None)


def _folded(name: str) -> str:
    return "".join(name.split()).casefold()


def _why_closed(closed_by: str, starts: str, ends: str, day: str) -> str:
    """Why the project is closed on that day, "" where it is open. Days are compared as ISO 8601 writes them."""
    if closed_by:
        return closed_by
    if starts and day < starts:
        return f"its approval begins on {starts} (project_rec_start_date)"
    if ends and day > ends:
        return f"its approval ended on {ends} (project_rec_end_date)"
    return ""
