"""IDs that were drawn, or that AutoID gives: each is a patient's pseudonym, whether it was requested already or not.

AutoID knows patients by keys made from their PatientIDs, in each project by another one (the link of both).
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text

from processors.gateway import Work
from processors.routing.patient_keys import link_subject, padded_key, patient_key


class GivenId(NamedTuple):
    """An ID of a project by the mark that pseudonyms are compared by, and the link of its patient, not a forgotten one.

    `mark` is the fingerprint of its name, blank where that shows nothing.
    """

    project: str
    mark: str
    link: UUID


_GIVING = text("""
    select project from unnest(cast(:projects as text[])) as project
     where exists (select from gateway.used_id where used_id.project = project.project and subject is not null)
""")
_GIVEN = text("""
    select project, coalesce(name_fingerprint, '') as mark, subject
      from gateway.used_id join ledger.subject using (subject)
     where project = any(:projects) and (name_fingerprint = any(:marks) or subject = any(:links))
       and wrapped_key is not null
     order by project, position
""")
_ALL_GIVEN = text("""
    select project, name_fingerprint as mark, subject from gateway.used_id join ledger.subject using (subject)
     where project = :project and wrapped_key is not null and name_fingerprint is not null
     order by position
""")
_PROJECTS = text("select distinct project from gateway.used_id where subject is not null")


def giving_projects(work: Work, projects: Collection[str]) -> list[str]:
    """Those of the projects that have given IDs to patients."""
    return list(work.execute(_GIVING, {"projects": list(projects)}).scalars())


def given_ids(
    work: Work, projects: Collection[str], *, names: Iterable[str] = (), links: Collection[UUID] = ()
) -> list[GivenId]:
    """The IDs of these projects that people take for one of the names, or that are a link's."""
    marks = [work.name_fingerprint(project, name) for name in names for project in projects]
    about = {"projects": list(projects), "marks": marks, "links": list(links)}
    return [GivenId(*row) for row in work.execute(_GIVEN, about)]


def all_given_ids(work: Work, project: str) -> list[GivenId]:
    """All IDs of the project that patients were given."""
    return [GivenId(*row) for row in work.execute(_ALL_GIVEN, {"project": project})]


def links_of(work: Work, patient_ids: Collection[str], projects: Collection[str]) -> dict[UUID, str]:
    """The links of these patients to these projects, each with the PatientID; padded ones have two keys."""
    names = {
        link_subject(project, key): patient_id
        for patient_id in patient_ids
        for key in (patient_key(patient_id, work.placeholders), padded_key(patient_id, work.placeholders))
        if key is not None
        for project in projects
    }
    found = work.vault.found(work.connection, names) if names else {}
    return {link: names[name] for name, link in found.items()}


def ids_of_patients(work: Work, patient_ids: Collection[str], project: str | None) -> Iterator[tuple[str, GivenId]]:
    """The IDs that these patients were given in the project (None: in any), each with the PatientID."""
    projects = list(work.execute(_PROJECTS).scalars()) if project is None else giving_projects(work, [project])
    links: Mapping[UUID, str] = links_of(work, patient_ids, projects)
    for given in given_ids(work, projects, links=links.keys()) if links else ():
        yield links[given.link], given
