"""Noticing what administrators changed in REDCap's list of projects since the last run."""

from collections.abc import Collection
from dataclasses import asdict

import orjson
from sqlalchemy import text

from processors.autoid.projects import AutoidProject, problems_of, projects_from_rows
from processors.events.pseudonyms import (
    AutoidProjectChanged,
    AutoidProjectDoubted,
    AutoidProjectRemoved,
    AutoidProjectReturned,
)
from processors.gateway import Gateway, Work
from processors.observed_list import Before, compared, listed_project, tell_unreadable
from processors.redcap import Redcap
from processors.redcap.needed import LISTS


def observe_projects(gateway: Gateway, redcap: Redcap, before: Before, *, own_generator: bool) -> None:
    """Records what administrators changed in the list of projects, and what is missing from it."""
    listed = listed_project(gateway, redcap, "projects", LISTS["projects"], before)
    projects = projects_from_rows(listed.export_list())
    by_record = {project.record_id: project for project in projects}
    fingerprints = {
        record: _fingerprint(gateway, project, own_generator=own_generator) for record, project in by_record.items()
    }
    with gateway.begin() as work:
        tell_unreadable(work, listed)
        comparison = compared(
            work, "gateway.autoid_project", fingerprints, asked_at=before.head, unreadable=listed.unreadable
        )
        claimed = _titles(work, comparison.doubted)
        changes = [
            _project_changed(by_record[record], fingerprints[record], own_generator=own_generator)
            for record in comparison.changed
            # Whether it shares its AE title is not known before it is known whether the other one is gone.
            if by_record[record].aetitle not in claimed
        ]
        settled = comparison.facts(
            doubted=AutoidProjectDoubted, returned=AutoidProjectReturned, removed=AutoidProjectRemoved
        )
        work.record([*changes, *settled])


_TITLES = text("select aetitle from gateway.autoid_project where wanted and record_id = any(:records)")


def _titles(work: Work, records: Collection[str]) -> set[str]:
    """The AE titles that these records claim."""
    return set(work.execute(_TITLES, {"records": list(records)}).scalars()) if records else set()


def _fingerprint(gateway: Gateway, project: AutoidProject, *, own_generator: bool) -> str:
    content = asdict(project) | {"own_generator": own_generator}
    return gateway.vault.fingerprint(orjson.dumps(content, option=orjson.OPT_SORT_KEYS))


def _project_changed(project: AutoidProject, fingerprint: str, *, own_generator: bool) -> AutoidProjectChanged:
    return AutoidProjectChanged(
        record_id=project.record_id,
        project=project.project,
        pattern=project.pattern,
        aetitle=project.aetitle,
        wanted=project.wanted,
        problems=tuple(problems_of(project, own_generator=own_generator)),
        fingerprint=fingerprint,
        closed_by=project.closed_by,
        starts=project.starts,
        ends=project.ends,
    )
