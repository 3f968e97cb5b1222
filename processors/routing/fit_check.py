"""The check that a pseudonym fits: gathers the project's naming patterns and what the study says of its patient."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import text

from processors.configuration.settings import IdentitySection
from processors.gateway import Work
from processors.routing.checks import Check, IntendedRequest, Objection, Place
from processors.routing.decisions import Obstacle
from processors.routing.fit import Identity, breaks_pattern, readable, tells_whose
from processors.routing.statements import statement, told_at

if TYPE_CHECKING:
    from processors.naming import Pattern


def fit_check(section: IdentitySection) -> Check:
    """The check, as it is configured."""

    def check(work: Work, intended: Sequence[IntendedRequest]) -> Mapping[Place, Objection]:
        if section.naming == "off":
            return {}
        concerned = [each for each in intended if each.candidate.cause.kind in ("coupling", "rule")]
        return dict(_objections(work, concerned, section))

    return check


def _objections(
    work: Work, intended: Sequence[IntendedRequest], section: IdentitySection
) -> Iterator[tuple[Place, Objection]]:
    patterns = naming_patterns(work, {each.candidate.key.project for each in intended})
    typed = {each.study for each in intended if each.candidate.cause.kind == "coupling"}
    identities = identities_of(work, typed)
    for each in intended:
        pseudonym, of_project = each.candidate.pseudonym, patterns.get(each.candidate.key.project, ())
        wrong = breaks_pattern(pseudonym, of_project)
        if wrong is None and each.candidate.cause.kind == "coupling":
            wrong = tells_whose(pseudonym, of_project, identities[each.study], section.national_numbers)
        if wrong is not None:
            obstacle = Obstacle("pseudonym does not fit", wrong)
            yield each.place, Objection(obstacle, holds=section.naming == "hold")


_PATTERNS = text("""
    select project, pattern from gateway.autoid_project where project = any(:projects) and not removed
""")


def naming_patterns(work: Work, projects: Collection[str]) -> dict[str, list["Pattern"]]:
    """The naming patterns of these projects that can be read; the list may hold a project twice."""
    patterns: dict[str, list[Pattern]] = defaultdict(list)
    for row in work.execute(_PATTERNS, {"projects": list(projects)}) if projects else ():
        pattern = readable(row.pattern)
        if pattern is not None:
            patterns[row.project].append(pattern)
    return patterns


_SERIES = text("select study, position, stated from gateway.series where study = any(:studies) and present")


def identities_of(work: Work, studies: Collection[str]) -> dict[str, Identity]:
    """The PatientIDs and PatientNames that each study's series say now; nothing where they were forgotten."""
    rows = work.execute(_SERIES, {"studies": list(studies)}).all() if studies else []
    events = work.identities({position for row in rows for position in told_at(row)})
    said: dict[str, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
    for row in rows:
        values_of_series = statement(told_at(row), events, work.placeholders)
        for values, name in zip(said[row.study], ("PatientID", "PatientName"), strict=True):
            values.update([values_of_series[name]] if name in values_of_series else [])
    return {study: Identity(*said[study]) for study in studies}
