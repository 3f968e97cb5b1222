"""The check that a project is open: nothing new goes to one that is closed, or to one whose name is misspelt."""

from collections.abc import Iterator, Sequence

from processors.gateway import Work
from processors.routing.checks import Asked, Objection, Objections, Place
from processors.routing.decisions import Obstacle
from processors.routing.projects import closed_projects, listed_projects, misspelt


def open_check(work: Work, asked: Sequence[Asked]) -> Objections:
    """What is in the way of requests for projects that are closed, or resemble a known one."""
    return dict(_objections(work, asked))


def _objections(work: Work, asked: Sequence[Asked]) -> Iterator[tuple[Place, Objection]]:
    closed, known = closed_projects(work), listed_projects(work)
    for each in asked:
        project = each.candidate.key.project
        if project in closed:
            yield each.place, Objection(Obstacle("project is closed", closed[project]))
        elif (meant := misspelt(project, known)) is not None:
            words = f"the list of projects has {meant!r}, which differs by case or blanks only"
            yield each.place, Objection(Obstacle("unknown project", words))
