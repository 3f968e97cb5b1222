"""Giving every waiting study its patient's ID: found, or drawn, stored, and requested, in that order.

The ID is an event before anybody else sees it, then a row of AutoID, then a transfer request. Killed
between any two of these, the next run finds the first ones done and goes on with the same ID.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import text

from ledger.batching import batches
from processors.autoid.adoption import adopt
from processors.autoid.candidates import (
    Candidate,
    Waiting,
    WantingProject,
    candidates,
    settled_otherwise,
    wanting_projects,
)
from processors.autoid.draw import draw_ids
from processors.autoid.entries import AutoidEntry
from processors.autoid.generators import Generator
from processors.autoid.holds import (
    CLOSED,
    GONE,
    LASTING,
    NO_PATIENT_ID,
    PROJECT_UNUSABLE,
    TWO_PATIENTS,
    held_studies,
    hold,
)
from processors.autoid.request import request_transfers
from processors.autoid.store import store_ids, undelivered_ids
from processors.autoid.window import note_begun, note_completed, window_begins
from processors.autoid.withdrawn import withdrawn_studies
from processors.clocks import due
from processors.delivery.actual import transfers_project
from processors.errors import ConfigurationError
from processors.events.holds import WITHDREW
from processors.events.pseudonyms import StudyReleased
from processors.events.series import StudyRequestedByOthers
from processors.gateway import Gateway
from processors.locks import in_turn
from processors.redcap import Project, Redcap, Row
from processors.redcap.readable import Readable, read_apart
from processors.redcap.transfers import RECORD_ID
from processors.routing.projects import closed_projects

RETRY_AFTER = timedelta(minutes=10)
BATCH = 500


@dataclass(kw_only=True, slots=True)
class Assigned:
    """What assigning IDs came to, counted."""

    drawn: int = 0
    requested: int = 0


def assign_ids(
    gateway: Gateway,
    redcap: Redcap,
    generator: Generator,
    *,
    window: timedelta,
    all_of: str | None = None,
    holds_split: bool = False,
) -> Assigned:
    """Gives IDs to the studies that wait for one and requests their transfers.

    `window` is how long ago a study may have arrived, outages not counted; for the project `all_of` it is no matter.
    Raises `ServiceError` where REDCap fails; what was drawn by then is kept and used by the next run.
    Raises `ConfigurationError` where `all_of` names no project that takes part.
    """
    assigned = Assigned()
    if all_of is not None:
        _require_taking_part(gateway, all_of)
    _release_settled(gateway)
    retry = _retry_is_due(gateway)
    with gateway.begin() as work:
        note_begun(work)
        since = window_begins(work, window)
    waiting = _waiting(gateway, since, all_of, retry=retry)
    _drop_requested_by_others(gateway, redcap, waiting, retry=retry)
    # What REDCap refused stays undelivered: tried every minute, it would cost calls for ever.
    if waiting or (retry and (undelivered_ids(gateway) or _is_contradicted(gateway))):
        # Between reading AutoID and recording what was written to it there are calls that no transaction
        # covers: two sites on this ledger in there at once would both write the same IDs.
        with in_turn(gateway, "autoid"):
            entries = adopt(gateway, redcap, waiting)
            _keep_padded_keys(waiting, entries)
            assigned.drawn = draw_ids(gateway, redcap, generator, waiting)
            store_ids(gateway, redcap, entries, waiting)
        assigned.requested = request_transfers(gateway, waiting, holds_split=holds_split)
    with gateway.begin() as work:
        note_completed(work, since)
    return assigned


def _keep_padded_keys(waiting: Sequence[Waiting], entries: Iterable[AutoidEntry]) -> None:
    """Has patients keep the IDs that the scripts gave them under padded PatientIDs, where they have no other."""
    keys = {(entry.project, entry.key) for entry in entries}
    for group in waiting:
        project = group.project.project
        group.studies = [
            replace(study, key=study.padded_key)
            if (project, study.padded_key) in keys and (project, study.key) not in keys
            else study
            for study in group.studies
        ]


_IS_CONTRADICTED = text("select exists (select from gateway.contradiction)")


def _is_contradicted(gateway: Gateway) -> bool:
    with gateway.begin() as work:
        is_contradicted: bool = work.execute(_IS_CONTRADICTED).scalar_one()
        return is_contradicted


def _require_taking_part(gateway: Gateway, name: str) -> None:
    with gateway.begin() as work:
        wanting = wanting_projects(work)
    if any(project.doubted for project in wanting if project.project == name):
        raise ConfigurationError(
            f"Project {name!r} is missing from REDCap's latest export of projects: no ID is drawn for it before the "
            "next run sees the same. Start this again."
        )
    names = sorted({project.project for project in wanting} - {""})
    if name not in names:
        known = ", ".join(names) or "none"
        raise ConfigurationError(f"Expected a project that takes part in auto-ID ({known}), found {name!r}.")


def _release_settled(gateway: Gateway) -> None:
    with gateway.begin() as work:
        work.record(
            StudyReleased(study=study, project=project, reason=reason)
            for study, project, reason in settled_otherwise(work)
        )


def _waiting(gateway: Gateway, since: datetime, all_of: str | None, *, retry: bool) -> list[Waiting]:
    """The studies that may get an ID, by project; those that cannot are held."""
    waiting = []
    with gateway.begin() as work:
        closed = closed_projects(work)
        for project in wanting_projects(work):
            if project.doubted:
                continue
            reach = None if project.project == all_of else since
            studies = candidates(work, project, since=reach, lasting=LASTING, retry=retry)
            withdrawn = withdrawn_studies(work, project.project, studies)
            obstacles = {study.study: _obstacle(project, study, closed, withdrawn) for study in studies}
            for reason in (WITHDREW, PROJECT_UNUSABLE, CLOSED, GONE, TWO_PATIENTS, NO_PATIENT_ID):
                held = [study for study in studies if obstacles[study.study] == reason]
                hold(work, project.project, held, reason)
            usable = [study for study in studies if obstacles[study.study] is None]
            if usable:
                waiting.append(Waiting(project=project, studies=usable))
    return waiting


def _obstacle(
    project: WantingProject, study: Candidate, closed: Collection[str], withdrawn: Collection[str]
) -> str | None:
    """Why the study must be held, whatever IDs there are."""
    if study.study in withdrawn:
        return WITHDREW
    if project.problems:
        return PROJECT_UNUSABLE
    if project.project in closed:
        return CLOSED
    if not study.on_disk:
        return GONE
    if study.of_two_patients:
        return TWO_PATIENTS
    return NO_PATIENT_ID if study.key is None else None


_RETRIED = text(f"""
    insert into gateway.held_retry (site, at) values (:site, :now)
    on conflict (site) do update set at = excluded.at where {due("held_retry.at")}
    returning at
""")


def _retry_is_due(gateway: Gateway) -> bool:
    """Whether what is held or contradictory is to be looked at again, which is thereby noted."""
    now = gateway.clock()
    parameters = {"site": gateway.site, "now": now, "before": now - RETRY_AFTER}
    with gateway.begin() as work:
        return work.execute(_RETRIED, parameters).one_or_none() is not None


def _drop_requested_by_others(gateway: Gateway, redcap: Redcap, waiting: list[Waiting], *, retry: bool) -> None:
    """Takes out studies for which REDCap already holds a transfer request: a person has decided about them.

    With `retry`, all held studies are looked up as well: their patients may have no ID for ever, and
    the person who was told so has requested the transfer by hand.
    """
    studies = {study.study for group in waiting for study in group.studies}
    if retry:
        with gateway.begin() as work:
            studies.update(held_studies(work))
    requested, unreadable = _requested_in_redcap(gateway, redcap, sorted(studies))
    for group in waiting:
        group.studies = [study for study in group.studies if study.study not in unreadable]
    if not requested:
        waiting[:] = [group for group in waiting if group.studies]
        return
    with gateway.begin() as work:
        work.record(StudyRequestedByOthers(study=study) for study in sorted(requested))
    _release_settled(gateway)
    for group in waiting:
        group.studies = [study for study in group.studies if study.study not in requested]
    waiting[:] = [group for group in waiting if group.studies]


def _is_request(row: Mapping[str, str]) -> bool:
    return all(row.get(field, "").strip() for field in ("transfer_project_name", "transfer_name"))


def _requested_in_redcap(gateway: Gateway, redcap: Redcap, studies: Sequence[str]) -> tuple[set[str], Collection[str]]:
    """The studies that are requested in REDCap, and those that REDCap cannot answer for."""
    transfers = Project(redcap, transfers_project(redcap), gateway.looked_up, gateway.clock)
    requested: set[str] = set()
    unreadable: dict[str, str] = {}
    for batch in batches(studies, BATCH):
        rows_read = _read_requests(transfers, batch)
        # A row without a name is none: closing leaves it so.
        requested.update(row[RECORD_ID] for row in rows_read.rows if _is_request(row))
        unreadable |= rows_read.unreadable
    return requested, unreadable


def _read_requests(transfers: Project, studies: Sequence[str]) -> Readable:
    def export(records: Sequence[str] = studies) -> list[Row]:
        fields = (RECORD_ID, "transfer_project_name", "transfer_name")
        return transfers.export(fields, records=records, look_up=False)

    return read_apart(export, lambda: studies, export)
