"""When rows and projects that REDCap refused are tried again (hourly), and how they were refused before."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import text

from processors.clocks import is_due
from processors.events.deliveries import RowKind
from processors.gateway import Work

RETRY_AFTER = timedelta(hours=1)
"""What was refused is tried again when it changes, and once in this time: a record may have been unlocked or
a project been set up, which nothing tells us. So is a request that a person's request contests: theirs may be gone."""


class Remembered(NamedTuple):
    """Of one project: whether the last import `failed` without a word about rows; when refused rows were tried again
    last; and the kinds of rows that it refuses as a whole, with its words.
    """

    failed: bool
    retried_at: datetime | None
    closed: Mapping[RowKind, str]

    def is_retry_due(self, now: datetime) -> bool:
        """Whether what was refused is to be tried again."""
        return is_due(self.retried_at, now, RETRY_AFTER)


class KnownRefusal(NamedTuple):
    """How a row was refused the last time, and from which event it was made."""

    row_position: int
    field: str
    message: str


_RECALL = text("""
    select failed, retried_at, kind, message
      from (values (cast(:site as text), cast(:project as text))) as asked (site, project)
      left join gateway.import_retry using (site, project)
      left join gateway.refused_kind using (site, project)
""")
_REFUSED = text("""
    select study, kind, key, row_position, field, message from gateway.refused_row where study = any(:studies)
""")
_REMEMBER = text("""
    insert into gateway.import_retry (site, project, failed, retried_at) values (:site, :project, :failed, :retried_at)
    on conflict (site, project) do update
       set failed = excluded.failed, retried_at = coalesce(excluded.retried_at, import_retry.retried_at)
""")


def recall(work: Work, project: str) -> Remembered:
    """What is remembered of the project."""
    chosen = {"site": work.site, "project": project}
    rows = work.execute(_RECALL, chosen).all()
    closed = {row.kind: row.message for row in rows if row.kind is not None}
    return Remembered(bool(rows[0].failed), rows[0].retried_at, closed)


def remember(work: Work, project: str, *, failed: bool, retried_at: datetime | None = None) -> None:
    """Notes how the last import of the project went, and when refused rows were tried again, if they were."""
    parameters = {"site": work.site, "project": project, "failed": failed, "retried_at": retried_at}
    work.execute(_REMEMBER, parameters)


def known_refusals(work: Work, studies: Sequence[str]) -> dict[tuple[str, str, str], KnownRefusal]:
    """How the studies' refused rows were refused, by study, kind and key."""
    rows = work.execute(_REFUSED, {"studies": list(studies)})
    return {(row.study, row.kind, row.key): KnownRefusal(row.row_position, row.field, row.message) for row in rows}
