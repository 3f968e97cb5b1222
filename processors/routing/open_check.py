"""The check that a project is open: nothing new goes to one that is closed, or to one whose name is misspelt."""

from collections.abc import Iterator, Sequence

from processors.gateway import Work
from processors.routing.checks import IntendedRequest, Objection, Objections, Place
from processors.routing.decisions import Obstacle
from processors.routing.projects import closed_projects, listed_projects, misspelt


def open_check(work: Work, intended: Sequence[IntendedRequest]) -> Objections:
    """What is in the way of requests for projects that are closed, or resemble a known one."""
    return dict(_objections(work, intended))


def _objections(work: Work, intended: Sequence[IntendedRequest]) -> Iterator[tuple[Place, Objection]]:
    closed, known = closed_projects(work), listed_projects(work)
    for each in intended:
        project = each.candidate.key.project
        if project in closed:
            yield each.place, Objection(Obstacle("project is closed", closed[project]))
        elif (meant := misspelt(project, known)) is not None:
            words = f"the list of projects has {meant!r}, which differs by case or blanks only"
            yield each.place, Objection(Obstacle("unknown project", words))
