"""Which research projects take part in auto-ID, and why others that want to cannot. Pure.

A project takes part if it asks for generated IDs and names an AE title and a naming pattern. Two
that name the same AE title would both claim its studies: neither takes part until that is mended.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date

from processors import bounds


@dataclass(frozen=True, kw_only=True, slots=True)
class AutoidProject:
    """A project's entry as REDCap holds it. `shared_aetitle`: another one that takes part has the same.

    `overlong` says of which of its fields not all is kept. `closed_by` says what closes it, whatever the day; its
    approval is good from `starts` to `ends`, which are blank where the list does not tell.
    """

    record_id: str
    project: str
    pattern: str
    aetitle: str
    wanted: bool
    closed_by: str = ""
    starts: str = ""
    ends: str = ""
    shared_aetitle: bool = False
    overlong: tuple[str, ...] = ()


def projects_from_rows(rows: Iterable[Mapping[str, str]]) -> list[AutoidProject]:
    """The projects in REDCap's rows, in the order of the rows."""
    projects = [_project(row) for row in rows]
    titles = Counter(project.aetitle for project in projects if project.wanted)
    return [replace(project, shared_aetitle=project.wanted and titles[project.aetitle] > 1) for project in projects]


def problems_of(project: AutoidProject, *, own_generator: bool) -> list[str]:
    """Why a project that wants generated IDs cannot have them.

    `own_generator`: ours draws them, which must understand the pattern; a site's tool may know other ones.
    """
    problems: list[str] = []
    if not project.wanted:
        return problems
    if project.overlong:
        return list(project.overlong)
    if not project.project:
        problems.append("project_name is blank.")
    if project.shared_aetitle:
        problems.append(f"Another auto-ID project has the AE title {project.aetitle} too.")
    if own_generator:
        problems.extend(_pattern_problems(project.pattern))
    return problems


def _pattern_problems(pattern: str) -> list[str]:
    # Imported here: the engine of patterns is large, and most runs meet no new one.
    from processors.naming import PatternError, parse

    try:
        longest = parse(pattern).longest
    except PatternError as exc:
        # What is listed stands on pages, too, where no pattern may: somebody may have typed a name into it.
        return [f"project_patient_naming cannot be used: {exc.problem} (at character {exc.place + 1})"]
    if longest > bounds.PSEUDONYM:
        expected = f"expected IDs of at most {bounds.PSEUDONYM} characters, found a pattern that gives longer ones"
        return [f"project_patient_naming cannot be used: {expected}"]
    return []


_BOUNDS = {
    "project_name": bounds.NAME,
    "project_autoid_aetitle": bounds.NAME,
    "project_patient_naming": bounds.PATTERN,
}


def _project(row: Mapping[str, str]) -> AutoidProject:
    pattern = row.get("project_patient_naming", "")
    aetitle = bounds.name(row.get("project_autoid_aetitle", ""))
    wants_ids = row.get("project_use_autoid", "") == "1"
    return AutoidProject(
        record_id=bounds.name(row["record_id"]),
        project=bounds.name(row.get("project_name", "")),
        pattern=bounds.cut(pattern.strip(), bounds.PATTERN),
        aetitle=aetitle,
        wanted=wants_ids and bool(aetitle) and bool(pattern.strip()),
        closed_by=_closed_by(row),
        starts=_day(row.get(_STARTS, "")) or "",
        ends=_day(row.get(_ENDS, "")) or "",
        overlong=bounds.overlong(row, _BOUNDS),
    )


_STARTS, _ENDS = "project_rec_start_date", "project_rec_end_date"


def _closed_by(row: Mapping[str, str]) -> str:
    """What closes the project on every day. Of a date that nobody can read, nobody knows whether it has passed."""
    if row.get("project_active", "").strip() == "0":
        return "project_active is 0"
    return next((f"{field} is no date" for field in (_STARTS, _ENDS) if _day(row.get(field, "")) is None), "")


def _day(text: str) -> str | None:
    """The day as ISO 8601, "" where there is none; None where it cannot be read."""
    try:
        return date.fromisoformat(text.strip()).isoformat() if text.strip() else ""
    except ValueError:
        return None
