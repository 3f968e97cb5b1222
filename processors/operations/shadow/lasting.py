"""What differed when a shadow last looked: it is looked at again, and is told once it has lasted."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import text

from ledger import store
from processors.clocks import believed
from processors.gateway import Gateway, Work
from processors.operations.shadow.compare import ShadowDifference


class LastingDifference(NamedTuple):
    """A difference, and since when it has been seen."""

    difference: ShadowDifference
    since: datetime


_LOOKED = text("select position from gateway.shadow_look where site = :site")
_LOOK = text("""
    insert into gateway.shadow_look (site, position) values (:site, :position)
    on conflict (site) do update set position = excluded.position
""")
# A study that has left the disk is nobody's business any more: neither would transfer it.
_TO_COMPARE = text("""
    select study from (
           select study from gateway.series where routed_position > :after
            union
           select substr(stream, length('study/') + 1) from ledger.event
            where position > :after
              and type in ('TransferRequested', 'TransferRetracted', 'ConflictFound', 'ConflictResolved')
            union
           select study from gateway.shadow_difference where site = :site) as changed
      join gateway.study using (study)
     where site = :site and on_disk
     order by study
""")
_KNOWN = text("""
    select study, project, event_name, kind, since from gateway.shadow_difference
     where site = :site and study = any(:studies)
""")
_DROP = text("delete from gateway.shadow_difference where site = :site and study = any(:studies)")
_DROP_GONE = text("""
    delete from gateway.shadow_difference as old
     where site = :site and exists (select from gateway.study where study.study = old.study and not on_disk)
""")
_INSERT = text("""
    insert into gateway.shadow_difference (site, study, project, event_name, kind, since)
    values (:site, :study, :project, :event_name, :kind, :since)
""")


class Worklist(NamedTuple):
    """The studies to compare, and up to which event they are known."""

    studies: list[str]
    until: int


def worklist(gateway: Gateway) -> Worklist:
    """The studies about which something was decided since the last look, and those that differed then."""
    with gateway.begin() as work:
        after = work.execute(_LOOKED, {"site": gateway.site}).scalar_one_or_none() or 0
        until = store.head(work.connection).position
        work.execute(_DROP_GONE, {"site": gateway.site})
        studies = work.execute(_TO_COMPARE, {"site": gateway.site, "after": after}).scalars()
        return Worklist(list(studies), until)


def keep(work: Work, studies: Collection[str], differing: Sequence[ShadowDifference]) -> list[LastingDifference]:
    """The differences of these studies, each with the time since when it has been seen."""
    chosen = {"site": work.site, "studies": list(studies)}
    known = {tuple(row)[:4]: row.since for row in work.execute(_KNOWN, chosen)}
    now = work.clock()
    lasting = [
        LastingDifference(each, believed(known.get((each.study, *each.key, each.kind)), now) or now)
        for each in differing
    ]
    work.execute(_DROP, chosen)
    rows = [
        {"site": work.site, "study": each.study, **each.key._asdict(), "kind": each.kind, "since": since}
        for each, since in lasting
    ]
    if rows:
        work.execute(_INSERT, rows)
    return lasting


def note_compared(gateway: Gateway, until: int) -> None:
    """Notes that all that was decided up to this event has been compared."""
    with gateway.begin() as work:
        work.execute(_LOOK, {"site": gateway.site, "position": until})
