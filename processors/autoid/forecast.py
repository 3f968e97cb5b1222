"""How many IDs each project has left, and how long they last."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Row, text

from ledger.errors import KeyProblem
from processors.autoid.candidates import WantingProject, wanting_projects
from processors.autoid.used_ids import Taken, requested_names
from processors.clocks import believed
from processors.gateway import Work
from processors.naming import PatternError, parse

PACE_WINDOW = timedelta(days=90)

_MOST_TRIED = 10_000
"""Names of a pattern: as many take a twentieth of a second."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """The IDs of one project, as the `record` of REDCap's list has it: it may stand there twice.

    `left` is None where a tool of the site's own reads the pattern.

    `runs_out` is the day on which none is left if they are drawn as fast as in the last 90 days;
    None where none was drawn, or the day is beyond the calendar.
    """

    project: str
    record: str
    pattern: str
    in_use: int
    left: int | None
    runs_out: date | None


_IN_USE = text("""
    select position, pattern, kind, recorded_at from gateway.used_id where project = :project
""")


def forecasts(work: Work, now: datetime) -> list[Forecast]:
    """The forecast of every project that wants generated IDs."""
    made = []
    for project in wanting_projects(work):
        rows = work.execute(_IN_USE, {"project": project.project}).all()
        left = _left(work, project, rows)
        drawn = [row.recorded_at for row in rows if row.kind == "generated"]
        made.append(
            Forecast(
                project=project.project,
                record=project.record_id,
                pattern=project.pattern,
                in_use=len(rows),
                left=left,
                runs_out=None if left is None else runs_out(drawn, left, now),
            )
        )
    return made


def runs_out(drawn: list[datetime], left: int, now: datetime) -> date | None:
    """The day on which `left` IDs are used up, at the pace of those drawn in the last 90 days. Pure."""
    recent = [moment for moment in drawn if believed(moment, now) and now - moment <= PACE_WINDOW]
    if not recent:
        return None
    # A project that started yesterday has a pace too: its first day counts as a whole one.
    days = max((now - min(recent)) / timedelta(days=1), 1.0)
    try:
        return (now + timedelta(days=left * days / len(recent))).date()
    except OverflowError:
        return None


def _left(work: Work, project: WantingProject, rows: Sequence[Row[Any]]) -> int | None:
    """How many can still be drawn: all that drawing would find free, where trying each does not take long.

    Of more than that, those are left out that are in use or asked for. Nor is anything else known without the key.
    """
    pattern = project.pattern
    try:
        parsed = parse(pattern)
    except PatternError:
        return None
    asked_for = 0
    try:
        names = requested_names(work, project.project)
        taken = Taken(work, project.project, names, parsed.matches)
        if parsed.count <= _MOST_TRIED:
            return len(taken.free([parsed.unrank(number) for number in range(parsed.count)]))
        asked_for = _asked_for(work, project.project, filter(parsed.matches, names))
    except KeyProblem:
        pass
    known = [row for row in rows if row.pattern == pattern]
    told = _values(work, [row.position for row in rows if row.pattern != pattern])
    # A blank is never given, even where a pattern allows it.
    in_use = len(known) + sum(value is None or parsed.matches(value) for value in told if value != "")
    return max(parsed.count - in_use - asked_for - parsed.matches(""), 0)


_OF_THESE_IN_USE = text("""
    select distinct name_fingerprint from gateway.used_id
     where project = :project and name_fingerprint = any(:prints)
""")


def _asked_for(work: Work, project: str, names: Iterable[str]) -> int:
    """How many of these names are not in use as IDs, those that people take for one counted once."""
    prints = {print_ for name in names if (print_ := work.name_fingerprint(project, name)) is not None}
    about = {"project": project, "prints": list(prints)}
    return len(prints.difference(work.execute(_OF_THESE_IN_USE, about).scalars()))


def _values(work: Work, positions: Sequence[int]) -> list[str | None]:
    """The IDs that these events tell, None for those that cannot be read: they count as in use, to be on the safe side.

    They were forgotten, or reserved for whoever has them; or nobody here may read any: this needs no key otherwise.
    """
    if not positions:
        return []
    try:
        return [payload.get("value") for _, payload in work.identities(positions).values()]
    except KeyProblem:
        return [None] * len(positions)
