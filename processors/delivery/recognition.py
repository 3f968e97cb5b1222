"""Whether REDCap is the one that the ledger knows, asked before anything is decided by what is there, or is not.

A configuration can come to point at another REDCap (the test server's address, another project's token), and REDCap
can be restored from a backup: what we wrote since is gone. Either looks as if people had deleted everything. So where a
project's address or token is new, REDCap tells which project that is; and, now and then and whenever a run has failed,
the rows that were written last are looked for. What people do to records is in REDCap's log, and what a backup lacks is
not. One or two that are gone are no reason to stop: a record may have been renamed.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import text

from processors.delivery.restored import ask_redcap, wholeness
from processors.errors import ConfigurationError, Refused, ServiceError
from processors.events.fact import Fact
from processors.events.operations import RedcapAccepted, RedcapDoubted, RedcapReturned
from processors.events.pseudonyms import IdMissing
from processors.gateway import Gateway, Work
from processors.redcap import Banned, Blocked, NotPermitted, Redcap
from processors.redcap.dictionary import field_names
from processors.redcap.needed import needed
from processors.redcap.rows import refuse_longitudinal
from processors.redcap.transfers import RECORD_ID

PROJECTS: Final = ("incoming", "transfers", "coupling", "routing", "projects", "autoid")
NEWEST: Final = 5
"""So many of the rows written last are looked for."""
LOOK_AFTER: Final = timedelta(minutes=10)
_MANY: Final = 3
"""If so many of them are gone, or all, the log is asked whether people did that."""
_BEFORE: Final = timedelta(days=2)
"""REDCap's log is asked from so long before a study arrived: its zone and clock are not ours."""


class _Project(NamedTuple):
    """What a project of REDCap's was, as it told."""

    name: str
    address: str
    identity: str


class _Known(NamedTuple):
    """What the ledger knows of REDCap: its projects by name, why it is doubted, and whether to ask what it holds."""

    projects: Mapping[str, _Project]
    doubted: str | None
    is_to_be_asked: bool


def recognise(gateway: Gateway, redcap: Redcap) -> None:
    """Raises `ConfigurationError` where REDCap is not as the ledger knows it, or knows more, and records that, once.

    An idle run makes one call for it every ten minutes.
    """
    with gateway.begin() as work:
        whole, known = wholeness(work), _known(work)
    whole.require()
    _recognise(gateway, redcap, known)
    if whole.pause is not None:
        ask_redcap(gateway, redcap, whole.pause)


def recognise_redcap(gateway: Gateway, redcap: Redcap) -> None:
    """Raises `ConfigurationError` where REDCap is another one, or has lost something, and records that, once."""
    with gateway.begin() as work:
        known = _known(work)
    _recognise(gateway, redcap, known)


def _recognise(gateway: Gateway, redcap: Redcap, known: _Known) -> None:
    reason = _other_project(gateway, redcap, known.projects)
    if reason is None and not known.is_to_be_asked:
        return
    reason = reason or _what_is_gone(gateway, redcap)
    with gateway.begin() as work:
        work.record(_news(work.site, reason, known.doubted))
        work.execute(_LOOKED, {"site": work.site, "now": work.clock()})
    if reason is not None:
        raise ConfigurationError(
            f"{reason} Nothing is decided, placed or drawn until this is settled. If redcap.url or a token is wrong, "
            "mend it. If REDCap was restored from a backup, or is to be this one from now on: `fiona-ledger recognise "
            "--reason TEXT`; then `fiona-ledger reconcile` tells what it lacks, and `reconcile --restore` writes it."
        )


def _news(site: str, reason: str | None, doubted: str | None) -> Iterator[Fact]:
    if reason is None and doubted is not None:
        yield RedcapReturned(site=site)
    elif reason is not None and reason != doubted:
        yield RedcapDoubted(site=site, reason=reason)


def accept(gateway: Gateway, redcap: Redcap, *, by: str, reason: str) -> int:
    """Takes REDCap as it is now for the ledger's; gives how many drawn IDs AutoID lacks, which are stored there again.

    What else it lacks is for `reconcile` to tell.
    """
    identities = [_project(redcap, name) for name in PROJECTS if redcap.has(name)]
    lost = _lost_ids(gateway, redcap) if redcap.has("autoid") else []
    with gateway.begin() as work:
        _remember(work, identities)
        work.record([RedcapAccepted(site=work.site, by=by, reason=reason), *lost])
        work.execute(_LOOKED, {"site": work.site, "now": work.clock()})
    return len(lost)


_KNOWN = text("""
    select (select json_agg(json_build_array(project, address, identity)) from gateway.redcap_project
             where site = :site) as projects,
           (select reason from gateway.doubted_redcap where site = :site) as doubted,
           coalesce((select looked_at from gateway.redcap_look where site = :site), '-infinity') <= :before
        or coalesce((select looked_at from gateway.redcap_look where site = :site), '-infinity') > :now
        or coalesce((select exit_code not in (0, 1) and started_at > looked_at
                       from gateway.run left join gateway.redcap_look as look using (site)
                      where site = :site and run <> :run order by started_at desc limit 1), false) as is_due
""")
_LOOKED = text("""
    insert into gateway.redcap_look (site, looked_at) values (:site, :now)
    on conflict (site) do update set looked_at = excluded.looked_at
""")
_REMEMBER = text("""
    insert into gateway.redcap_project (site, project, address, identity)
    values (:site, :name, :address, :identity)
    on conflict (site, project) do update set address = excluded.address, identity = excluded.identity
""")


def _known(work: Work) -> _Known:
    now = work.clock()
    parameters = {"site": work.site, "now": now, "before": now - LOOK_AFTER, "run": work.gateway.run}
    row = work.execute(_KNOWN, parameters).one()
    projects = {project.name: project for project in map(_Project._make, row.projects or ())}
    return _Known(projects, row.doubted, row.doubted is not None or row.is_due)


def _other_project(gateway: Gateway, redcap: Redcap, known: Mapping[str, _Project]) -> str | None:
    """Which project is another one than before; what is new of all others is remembered.

    Not so one that was never met and lacks fields: whoever reads it refuses it, as its token may be another project's.
    """
    seen = []
    for name in PROJECTS:
        before = known.get(name)
        if not redcap.has(name) or (before is not None and before.address == redcap.address(name)):
            continue
        project = _project(redcap, name)
        if before is not None and before.identity and project.identity and before.identity != project.identity:
            return (
                f"redcap.tokens.{name}: expected REDCap's {before.identity}, as before, found {project.identity} at "
                "the address that is configured now."
            )
        if before is not None or _has_fields(redcap, name):
            seen.append(project)
    if seen:
        with gateway.begin() as work:
            _remember(work, seen)
    return None


def _has_fields(redcap: Redcap, name: str) -> bool:
    """Looked up now: that an empty list is another project's is told by what is looked up when it is read."""
    fields = field_names(redcap.metadata(name))
    return fields.issuperset(needed(name, separate_transfers=redcap.has("transfers")))


def _remember(work: Work, projects: Collection[_Project]) -> None:
    parameters = [{"site": work.site, **each._asdict()} for each in projects]
    if parameters:
        work.execute(_REMEMBER, parameters)


def _project(redcap: Redcap, name: str) -> _Project:
    """What REDCap tells of the project. Raises `Refused` for one that the ledger cannot work with."""
    info = project_info(redcap, name)
    if name in ("incoming", "transfers") and info.get("is_longitudinal") == "1":
        raise refuse_longitudinal(name)
    if name == "incoming":
        with suppress(NotPermitted):  # a right that is missing tells nothing of groups
            require_no_group(name, redcap.next_record_name(name))
    identity = f"project {info['project_id']}, made {info['creation_time']}" if _is_told(info) else ""
    return _Project(name, redcap.address(name), identity)


def project_info(redcap: Redcap, name: str) -> dict[str, str]:
    """What REDCap tells of the project itself; nothing where its server is too old to tell."""
    try:
        return redcap.project_info(name)
    except (Banned, Blocked, NotPermitted):
        raise
    except Refused:
        return {}


def require_no_group(project: str, next_record_name: str) -> None:
    """Raises `Refused` where the user is in a data access group: the next record name begins with its number then.

    Who is in one sees that group's records alone, and would take all others for missing.
    """
    if "-" in next_record_name:
        raise Refused(
            f"{project}: expected a user who sees all records, found one in a data access group, who sees that group's "
            f"alone. Take the user of redcap.tokens.{project} out of the group."
        )


def _is_told(info: Collection[str]) -> bool:
    return "project_id" in info and "creation_time" in info


# What was written before an acceptance may be gone for good.
_NEWEST_STUDIES = text("""
    select study, arrived_at from gateway.study
     where site = :site and delivered_position > 0 and delivered_position > :after
       and not exists (select from gateway.missing_row as missing
                        where missing.study = study.study and missing.kind = 'study')
     order by delivered_position desc limit :most
""")
_NEWEST_IDS = text("""
    select record_id, project, fingerprint from gateway.used_id join ledger.subject using (subject)
     where used_id.kind = 'generated' and record_id is not null and position > :after and wrapped_key is not null
     order by position desc limit :most
""")
_ACCEPTED = text("""
    select coalesce(max(position), 0) from ledger.event where stream = :stream and type = 'RedcapAccepted'
""")


def _what_is_gone(gateway: Gateway, redcap: Redcap) -> str | None:
    """What REDCap has forgotten of what was written last."""
    with gateway.begin() as work:
        stream = RedcapReturned(site=work.site).stream
        after = work.execute(_ACCEPTED, {"stream": stream}).scalar_one()
        parameters = {"site": work.site, "after": after, "most": NEWEST}
        studies = {row.study: row.arrived_at for row in work.execute(_NEWEST_STUDIES, parameters)}
        ids = {row.record_id: (row.project, row.fingerprint) for row in work.execute(_NEWEST_IDS, parameters)}
    stored = {row[RECORD_ID] for row in redcap.export_records("incoming", records=list(studies), fields=(RECORD_ID,))}
    since = min(studies.values(), default=gateway.clock()) - _BEFORE
    if _is_forgotten(gateway, redcap, "incoming", list(studies), stored, since):
        return _lacking("Incoming", "studies", studies.keys() - stored)
    if ids and redcap.has("autoid"):
        stored = _stored(gateway, redcap, ids)
        if _is_forgotten(gateway, redcap, "autoid", list(ids), stored, gateway.clock() - _BEFORE):
            return _lacking("AutoID", "entries", ids.keys() - stored)
    return None


def _lacking(project: str, what: str, gone: Collection[str]) -> str:
    return (
        f"REDCap's {project} lacks {what} that were written to it last, such as {min(gone)}, and its log does not tell "
        "of anybody who deleted them."
    )


def _stored(gateway: Gateway, redcap: Redcap, ids: Mapping[str, tuple[str, str]]) -> set[str]:
    """Those of the records that hold the ID that was written to them, told by project and fingerprint."""
    rows = redcap.export_records("autoid", records=list(ids), fields=("record_id", "autoid_value"))
    there = {row["record_id"]: row["autoid_value"].strip() for row in rows}
    return {
        record
        for record, (project, fingerprint) in ids.items()
        if record in there and gateway.id_fingerprint(project, there[record]) == fingerprint
    }


def _is_forgotten(
    gateway: Gateway, redcap: Redcap, project: str, written: Sequence[str], stored: Collection[str], since: datetime
) -> bool:
    """Whether many of the records written, or all, are gone, and REDCap's log knows nothing of them either."""
    gone = [record for record in written if record not in stored]
    enough = min(_MANY, len(written))
    if not written or len(gone) < enough:
        return False
    try:
        unknown = [record for record in gone if not _is_in_log(redcap, project, record, gateway.local(since))]
    except (Banned, Blocked):
        raise
    except ServiceError:
        return len(gone) >= _MANY
    return len(unknown) >= enough


def _is_in_log(redcap: Redcap, project: str, record: str, since: datetime) -> bool:
    return bool(redcap.export_log(project, since=since, record=record))


_STORED_IDS = text("""
    select project, fingerprint, record_id from gateway.used_id join ledger.subject using (subject)
     where used_id.kind = 'generated' and record_id is not null and wrapped_key is not null order by position
""")


def _lost_ids(gateway: Gateway, redcap: Redcap) -> list[IdMissing]:
    """The drawn IDs that AutoID held and does not hold any more."""
    rows = redcap.export_records("autoid", fields=("record_id", "autoid_value"))
    there = {row["record_id"]: row["autoid_value"].strip() for row in rows}
    with gateway.begin() as work:
        stored = work.execute(_STORED_IDS).all()
    return [
        IdMissing(project=row.project, fingerprint=row.fingerprint)
        for row in stored
        if row.record_id not in there or gateway.id_fingerprint(row.project, there[row.record_id]) != row.fingerprint
    ]
