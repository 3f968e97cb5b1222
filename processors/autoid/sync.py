"""Noticing what administrators changed in REDCap's list of projects since the last run."""

from dataclasses import asdict

import orjson

from processors.autoid.projects import AutoidProject, problems_of, projects_from_rows
from processors.events.pseudonyms import AutoidProjectChanged, AutoidProjectRemoved
from processors.gateway import Gateway
from processors.observed_list import changed, known_records, removals
from processors.redcap import Project, Redcap


def observe_projects(gateway: Gateway, redcap: Redcap, *, own_generator: bool) -> None:
    """Records what administrators changed in the list of projects."""
    needed = ("record_id", "project_name", "project_use_autoid", "project_autoid_aetitle", "project_patient_naming")
    listed = Project(redcap, "projects", gateway.database, gateway.clock, needed=needed)
    projects = projects_from_rows(listed.export_list())
    by_record = {project.record_id: project for project in projects}
    fingerprints = {
        record: _fingerprint(gateway, project, own_generator=own_generator) for record, project in by_record.items()
    }
    with gateway.begin() as work:
        known = known_records(work, "gateway.autoid_project")
        changes = [
            _project_changed(by_record[record], fingerprints[record], own_generator=own_generator)
            for record in changed(fingerprints, known)
        ]
        removed = [AutoidProjectRemoved(record_id=record) for record in removals(by_record, known)]
        work.record([*changes, *removed])


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
    )
