"""Deleted records that somebody puts back: whoever does wants the study, and gets all of its rows.

Only a look tells: where transfers are kept apart, no poll sees Incoming, and what was taken for deleted by mistake
leaves no line in REDCap's log when it is seen again. So the deleted records are asked for once an hour.
"""

from typing import Final

from sqlalchemy import text

from ledger.batching import batches
from processors.clocks import due
from processors.delivery.actual import BATCH
from processors.delivery.deliver import Delivered, deliver_again
from processors.delivery.retries import RETRY_AFTER
from processors.gateway import Gateway
from processors.redcap import Project, Redcap, incoming, transfers

LARGEST: Final = 5_000
"""So many are asked for, those first that were missed last."""

_IS_DUE = text(f"""
    insert into gateway.deleted_look (site, at)
    select :site, :now where exists (select from gateway.missing_row where kind = 'study')
    on conflict (site) do update set at = excluded.at where {due("deleted_look.at")}
    returning at
""")
# What was received again comes back anyway.
_DELETED = text("""
    select study from gateway.missing_row join gateway.study using (study)
     where kind = 'study' and site = :site and missing_row.position > returned_position
     order by missing_row.position desc limit :most
""")


def bring_put_back(gateway: Gateway, redcap: Redcap, *, batch_rows: int) -> Delivered:
    """Writes all rows of the studies whose deleted records stand in REDCap again; looks for them once an hour.

    Of requests whose rows are gone, none is placed again by that: it is reported.
    """
    deleted = _deleted(gateway)
    project = Project(redcap, "incoming", gateway.looked_up, gateway.clock)
    there: set[str] = set()
    for portion in batches(deleted, BATCH):
        rows = project.export((transfers.RECORD_ID, incoming.ARRIVAL), records=portion)
        there |= {row[transfers.RECORD_ID] for row in rows}
    if not there:
        return Delivered()
    return deliver_again(gateway, redcap, studies=sorted(there), batch_rows=batch_rows, everything=True)


def _deleted(gateway: Gateway) -> list[str]:
    """The studies whose records are known to be deleted, if it is time to look for them."""
    now = gateway.clock()
    with gateway.begin() as work:
        times = {"site": work.site, "now": now, "before": now - RETRY_AFTER}
        if work.execute(_IS_DUE, times).one_or_none() is None:
            return []
        return list(work.execute(_DELETED, {"site": work.site, "most": LARGEST}).scalars())
