"""The state file: all projects with their dictionaries, records, rights and logs as one JSON document."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import orjson

from .dictionary import Dictionary
from .log import LogEntry, as_json
from .project import Project, Rights
from .record_store import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


def write_state(path: Path, projects: Iterable[Project]) -> None:
    """Write the file so that a reader, or a crash, meets either the old one or the new one."""
    body = orjson.dumps({project.name: _project_as_json(project) for project in projects})
    unfinished = path.with_name(f".{path.name}.new")
    unfinished.write_bytes(body)
    unfinished.replace(path)


def read_state(path: Path, projects: Mapping[str, Project]) -> None:
    """Bring the projects to the state in the file; projects that it does not name stay as they are."""
    stored = orjson.loads(path.read_bytes())
    for name, project in projects.items():
        if name in stored:
            _restore(project, stored[name])


def _project_as_json(project: Project) -> dict[str, object]:
    with project.lock_state:
        return {
            "token": project.token,
            "dictionary": project.dictionary.metadata(),
            "missing_data_codes": project.dictionary.missing_data_codes,
            "repeating": project.repeating,
            "autonumbering": project.autonumbering,
            "rights": asdict(project.rights),
            "records": {name: _record_as_json(record) for name, record in project.records.items()},
            "log": as_json(project.log),
        }


def _record_as_json(record: Record) -> dict[str, object]:
    instances = {
        instrument: {str(number): dict(values) for number, values in numbered.items()}
        for instrument, numbered in record.instances.items()
    }
    return {"base": dict(record.base), "instances": instances, "locked": record.locked, "group": record.group}


def _restore(project: Project, stored: Mapping[str, Any]) -> None:
    project.token = stored["token"]
    project.dictionary = Dictionary.from_metadata(stored["dictionary"], missing_data_codes=stored["missing_data_codes"])
    project.repeating = tuple(stored["repeating"])
    project.autonumbering = stored["autonumbering"]
    project.rights = Rights(**stored["rights"])
    project.records = {name: _record(values) for name, values in stored["records"].items()}
    project.log = [LogEntry(**entry) for entry in stored["log"]]


def _record(stored: Mapping[str, Any]) -> Record:
    instances = {
        instrument: {int(number): values for number, values in numbered.items()}
        for instrument, numbered in stored["instances"].items()
    }
    return Record(base=stored["base"], instances=instances, locked=stored["locked"], group=stored["group"])
