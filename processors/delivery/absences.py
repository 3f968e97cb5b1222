"""Records that an export lacks although rows of ours stood in them: deleted, or left out without a word.

REDCap can leave records out of an export. Taken for deleted, a study's series would be written a second time, and
its requests be settled without the rows that can still be sent. So where neither the ledger nor REDCap's log tells
that somebody deleted the record, it is doubted and the study waits. What another run's export lacks as well is gone.
A doubt lasts a day: nothing need have looked at the record since, after a replay say, and two slips do not add up.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import text

from processors.clocks import due
from processors.delivery.plan import DesiredStudy
from processors.errors import ServiceError
from processors.gateway import Gateway
from processors.redcap import Banned, Redcap
from processors.redcap.incoming import ABSENT, ActualRecord

MOST_LOOKED_UP: Final = 10
"""For so many records REDCap's log is asked in one delivery: a call each. The others are doubted without."""

BEFORE_REDCAP: Final = datetime(2004, 1, 1, tzinfo=UTC)
"""No log goes back so far."""

DOUBT_LASTS: Final = timedelta(days=1)

_DOUBTED = text(f"""
    select study, run from gateway.doubted_record
     where site = :site and project = :project and not {due("doubted_record.at")}
""")
_DOUBT = text("""
    insert into gateway.doubted_record (site, project, study, run, at)
    select :site, :project, study, :run, :now from unnest(cast(:studies as text[])) as lacking (study)
    on conflict (site, project, study) do update set run = excluded.run, at = excluded.at
""")
_SEEN = text("""
    delete from gateway.doubted_record where site = :site and project = :project and study = any(:studies)
""")


class Absences:
    """What one delivery's exports of a REDCap project lack, and what those of earlier runs did."""

    def __init__(self, gateway: Gateway, redcap: Redcap, project: str) -> None:
        self._gateway = gateway
        self._redcap = redcap
        self._project = project
        self._row = {"site": gateway.site, "project": project}
        self._doubts: dict[str, UUID] | None = None
        self._lookups_left = MOST_LOOKED_UP

    def doubted(self, studies: Sequence[DesiredStudy], actual: Mapping[str, ActualRecord]) -> set[str]:
        """Those of the studies of which nobody knows whether their records are gone: they are to wait.

        Raises `Banned`; where REDCap's log cannot be had, it tells nothing.
        """
        doubts = self._remembered()
        there = {study.study for study in studies if actual.get(study.study, ABSENT).exists}
        lacking = {study.study for study in studies if study.study not in there and self._stood(study)}
        unknown = sorted(lacking - doubts.keys())
        self._remember([study for study in unknown if not self._is_deleted(study)], seen=there & doubts.keys())
        return {study for study in lacking if doubts.get(study) == self._gateway.run}

    def warnings(self) -> list[str]:
        """That studies wait because this delivery doubted their records."""
        doubted = [study for study, run in (self._doubts or {}).items() if run == self._gateway.run]
        if not doubted:
            return []
        are = "1 study is" if len(doubted) == 1 else f"{len(doubted)} studies are"
        message = (
            f"{self._project}: {are} missing from REDCap's export, and its log does not tell that anybody deleted what"
            " was written: nothing is written or ended there before the next run, which takes for deleted what it also"
            " misses."
        )
        return [message]

    def _stood(self, study: DesiredStudy) -> bool:
        """Whether rows of ours stood in the study's record when we last knew."""
        if self._project == "transfers":
            known = {int(key) for kind, key in study.missing if kind == "transfer"}
            return any(request.instance is not None and request.position not in known for request in study.requests)
        return study.delivered and ("study", "") not in study.missing

    def _is_deleted(self, study: str) -> bool:
        """Whether the last that REDCap's log tells of the record is that somebody deleted it."""
        if self._lookups_left == 0:
            return False
        self._lookups_left -= 1
        try:
            lines = self._redcap.export_log(self._project, since=BEFORE_REDCAP, record=study)
        except Banned:
            raise
        except ServiceError:
            self._lookups_left = 0
            return False
        return bool(lines) and lines[-1].of_record and lines[-1].deleted

    def _remembered(self) -> dict[str, UUID]:
        """The run that first doubted each record that is doubted."""
        if self._doubts is None:
            now = self._gateway.clock()
            with self._gateway.begin() as work:
                doubted = work.execute(_DOUBTED, {**self._row, "now": now, "before": now - DOUBT_LASTS})
                self._doubts = {row.study: row.run for row in doubted}
        return self._doubts

    def _remember(self, doubted: Sequence[str], *, seen: Collection[str]) -> None:
        doubts = self._remembered()
        if seen:
            with self._gateway.begin() as work:
                work.execute(_SEEN, {**self._row, "studies": list(seen)})
        if doubted:
            with self._gateway.begin() as work:
                told = {"studies": list(doubted), "run": self._gateway.run, "now": self._gateway.clock()}
                work.execute(_DOUBT, {**self._row, **told})
        for study in seen:
            del doubts[study]
        doubts |= dict.fromkeys(doubted, self._gateway.run)
