"""What a person of one site must look at: the site's part of `audit.attention`."""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final, NamedTuple

from sqlalchemy import text

from processors.gateway import Work


class Notice(NamedTuple):
    """One thing to look at, as the view has it. `position` is None where no event says so."""

    kind: str
    position: int | None
    study: str | None
    project: str | None
    subject: str | None
    details: str | None
    advice: str


# Rules, entries and projects are everybody's; files, and what REDCap says to a site's token, are the site's.
_OF_SITE = text("""
    select attention.kind, attention.position, attention.study, attention.project, attention.subject,
           attention.details, attention.advice
      from audit.attention
     where :site = case
           when attention.kind in ('rejected file', 'rows refused by the project', 'unreadable record')
           then (select event.site from ledger.event where event.position = attention.position)
           when attention.kind in ('two gateways with one name', 'another REDCap') then attention.subject
           -- By its key each: joined, all studies there have ever been could be read for a handful of notices.
           else coalesce((select site from gateway.study where study.study = attention.study), :site) end
     order by attention.kind, attention.position
""")


_MINUTE: Final = "%Y-%m-%d %H:%M"
_IN_UTC: Final = re.compile(r"\b(\d{4}-\d\d-\d\d \d\d:\d\d) UTC\b")


def notices(work: Work) -> list[Notice]:
    """All that a person of the site must look at, by kind; with moments in the hospital's zone."""
    found = [Notice(*row) for row in work.execute(_OF_SITE, {"site": work.site})]
    return [notice._replace(details=_there(notice.details, work.local)) for notice in found]


def _there(details: str | None, local: Callable[[datetime], datetime]) -> str | None:
    """The details with moments in the hospital's zone: the view tells them in UTC, whoever asks."""

    def moment(found: re.Match[str]) -> str:
        return f"{local(datetime.strptime(found[1], _MINUTE).replace(tzinfo=UTC)):{_MINUTE}}"

    return None if details is None else _IN_UTC.sub(moment, details)


def by_kind(listed: Iterable[Notice]) -> dict[str, int]:
    """How many there are of each kind."""
    return dict(Counter(notice.kind for notice in listed))
