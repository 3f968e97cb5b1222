"""Noticing what administrators changed in REDCap's list of projects since the last run."""

from dataclasses import asdict

import orjson

from ledger.events import NewEvent
from processors.autoid.projects import AutoidProject, problems_of, projects_from_rows
from processors.events.pseudonyms import AutoidProjectRemoved
from processors.events.types import EventType, autoid_project_stream
from processors.gateway import Gateway
from processors.observed_list import changed, known_records, removals
from processors.redcap import Project, Redcap


def observe_projects(gateway: Gateway, redcap: Redcap, *, own_generator: bool) -> None:
    """Records what administrators changed in the list of projects."""
    needed = ("record_id", "project_name", "project_use_autoid", "project_autoid_aetitle", "project_patient_naming")
    listed = Project(redcap, "projects", gateway.database, gateway.clock, needed=needed)
    projects = projects_from_rows(listed.export_list())
    by_record = {project.record_id: project for project in projects}
    prints = {
        record: _fingerprint(gateway, project, own_generator=own_generator) for record, project in by_record.items()
    }
    with gateway.begin() as work:
        known = known_records(work, "gateway.autoid_project")
        events = [
            _project_changed(by_record[record], prints[record], own_generator=own_generator)
            for record in changed(prints, known)
        ]
        gone = [AutoidProjectRemoved(record_id=record) for record in removals(by_record, known)]
        work.record([*events, *gone])


def _fingerprint(gateway: Gateway, project: AutoidProject, *, own_generator: bool) -> str:
    content = asdict(project) | {"own_generator": own_generator}
    return gateway.vault.fingerprint(orjson.dumps(content, option=orjson.OPT_SORT_KEYS))


def _project_changed(project: AutoidProject, fingerprint: str, *, own_generator: bool) -> NewEvent:
    data = asdict(project)
    del data["shared_aetitle"]
    problems = problems_of(project, own_generator=own_generator)
    return NewEvent(
        stream=autoid_project_stream(project.record_id),
        type=EventType.AUTOID_PROJECT_CHANGED,
        data=data | {"problems": problems, "fingerprint": fingerprint},
    )
