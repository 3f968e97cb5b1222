"""How far an adoption has come, so that one that was interrupted goes on there."""

from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import text

from ledger import store
from processors.clocks import is_due
from processors.gateway import Gateway, Work

GOOD_FOR = timedelta(days=1)
"""An adoption that was left for longer begins anew: what it had read may have changed meanwhile."""


class Checkpoint(NamedTuple):
    """The last study that was read, blank for none, and the ledger's last event when the adoption began."""

    study: str
    began: int


_LEFT = text("select study, began, at from gateway.adoption_progress where site = :site")
_KEEP = text("""
    insert into gateway.adoption_progress (site, study, began, at) values (:site, :study, :began, :now)
    on conflict (site) do update set study = excluded.study, began = excluded.began, at = excluded.at
""")
_END = text("delete from gateway.adoption_progress where site = :site")


def begin_or_resume(gateway: Gateway) -> Checkpoint:
    """Where an interrupted adoption goes on, or a new one begins."""
    with gateway.begin() as work:
        left = work.execute(_LEFT, {"site": gateway.site}).one_or_none()
        is_over = left is None or is_due(left.at, gateway.clock(), GOOD_FOR)
        began = store.head(work.connection).position
        checkpoint = Checkpoint("", began) if left is None or is_over else Checkpoint(left.study, left.began)
        keep(work, checkpoint)
    return checkpoint


def keep(work: Work, reached: Checkpoint) -> None:
    """Notes how far it has come, in the transaction that records what was read."""
    work.execute(_KEEP, {"site": work.site, **reached._asdict(), "now": work.clock()})


def end(work: Work) -> None:
    """Notes that it has ended."""
    work.execute(_END, {"site": work.site})
