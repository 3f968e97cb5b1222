"""IDs that are reserved because transfer requests in REDCap carry them, whoever made those."""

from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import text

from processors import bounds
from processors.autoid.used_ids import requested_names, used_ids
from processors.clocks import believed
from processors.delivery.actual import transfers_project
from processors.events.pseudonyms import IdReserved
from processors.gateway import Gateway
from processors.redcap import Project, Redcap

OVERLAP = timedelta(hours=26)
"""How far back a look at REDCap's log reaches beyond the last one: its clock and zone may differ by a day."""

_LOOKED = text("select looked_at, pattern from gateway.reservation_look where project = :project")
_LOOK = text("""
    insert into gateway.reservation_look (project, pattern, looked_at) values (:project, :pattern, :looked_at)
    on conflict (project) do update set pattern = excluded.pattern, looked_at = excluded.looked_at
""")
_OUR_ROWS = text("""
    select study, instance from gateway.transfer
     where project = :project and cause_kind <> 'autoid' and instance is not null
""")
_REQUEST_FIELDS = ("study_instance_uid", "transfer_project_name", "transfer_name")


def reserve(gateway: Gateway, redcap: Redcap, project: str, pattern: str, matches: Callable[[str], bool]) -> None:
    """Reserves the IDs that transfer requests of the project carry in REDCap, whoever made them.

    The first look reads all requests; later ones only those of records changed since. Only names that
    match the pattern are recorded: others can never be drawn, and may be patients' names. Nor are those
    that rules and couplings gave: a rule takes them from patients' IDs, and `requested_names` knows them.
    """
    now = gateway.clock()
    with gateway.begin() as work:
        last = work.execute(_LOOKED, {"project": project}).one_or_none()
    known = believed(last.looked_at, now) if last is not None and last.pattern == pattern else None
    since = None if known is None else known - OVERLAP
    transfers = Project(redcap, transfers_project(redcap), gateway.looked_up, gateway.clock)
    rows = transfers.export(
        _REQUEST_FIELDS, changed_since=None if since is None else gateway.local(since), look_up=False
    )
    with gateway.begin() as work:
        ours = {(row.study, str(row.instance)) for row in work.execute(_OUR_ROWS, {"project": project})}
        names = {
            name
            for row in rows
            if bounds.name(row.get("transfer_project_name", "")) == project
            and (name := bounds.cut(row.get("transfer_name", "").strip(), bounds.PSEUDONYM))
            and (row["study_instance_uid"], row["redcap_repeat_instance"]) not in ours
        } - requested_names(work, project)
        in_use = used_ids(work, [project])
        work.record(
            IdReserved(
                project=project,
                fingerprint=fingerprint,
                name_fingerprint=work.name_fingerprint(project, name),
                pattern=pattern,
            )
            for fingerprint, name in sorted((work.id_fingerprint(project, name), name) for name in names)
            if not in_use.holds(project, fingerprint) and matches(name)
        )
        work.execute(_LOOK, {"project": project, "pattern": pattern, "looked_at": now})
