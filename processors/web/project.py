"""A project, for its researchers: what was delivered, what waits, is held or failed and why, and what has not come."""

import csv
import io
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import text

from processors.attention import notices
from processors.errors import ConfigurationError
from processors.explain.find import Stage, asked
from processors.gateway import Work
from processors.operations.groups import Group, grouped
from processors.text import uncalculated

SHOWN: Final = 100
"""So many studies of each stage stand on the page; the CSV has all."""

_ORDER: Final[Sequence[Stage]] = (
    "failed", "conflict", "missing", "held", "waiting", "placed", "possibly sent", "sent", "closed", "withdrawn",
)  # fmt: skip


class Asked(NamedTuple):
    """A study that was asked for, with the reason: `cause` is a rule's or entry's, `details` what keeps it."""

    study: str
    arrived_at: datetime
    event_name: str
    stage: Stage
    cause_kind: str
    cause_record: str
    details: str
    sends: int
    sent_at: str
    series: int
    images: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Project:
    """All of it; `listed` is what REDCap's list of projects says of it, None where it says nothing.

    `not_here` counts what others requested of studies that never arrived here, `of_two_patients` the studies of which
    nobody knows whether they are for it.
    """

    name: str
    asked: Mapping[Stage, Sequence[Asked]]
    not_here: int
    of_two_patients: int
    expected: Sequence[Any]
    groups: Sequence[Group]
    listed: Any | None

    @property
    def delivered(self) -> Collection[Asked]:
        """Each study that has been sent, once, whatever became of the requests since."""
        sent = {each.study: each for of_stage in self.asked.values() for each in of_stage if each.sends}
        return sent.values()


def project(work: Work, name: str) -> Project:
    """The project of that name. Raises `ConfigurationError` where the ledger knows none."""
    studies: dict[Stage, list[Asked]] = defaultdict(list)
    for each in _asked(work, name):
        studies[each.stage].append(each)
    found = Project(
        name=name,
        asked={stage: studies[stage] for stage in _ORDER if stage in studies},
        not_here=work.execute(_NOT_HERE, {"project": name}).scalar_one(),
        of_two_patients=work.execute(_OF_TWO_PATIENTS).scalar_one(),
        expected=work.execute(_EXPECTED, {"project": name}).all(),
        groups=grouped(notice for notice in notices(work) if notice.project == name),
        listed=work.execute(_LISTED, {"project": name}).first(),
    )
    if not (found.asked or found.not_here or found.expected or found.groups or found.listed):
        raise ConfigurationError("The ledger knows no project of this name.")
    return found


def as_csv(work: Work, name: str) -> str:
    """Each study that was asked for, a row each, for a spreadsheet (RFC 4180). Raises as `project` does."""
    listed = _asked(work, name)
    if not listed:
        project(work, name)
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(Asked._fields)
    for each in listed:
        row = each._replace(arrived_at=work.local(each.arrived_at))
        table.writerow([uncalculated(cell) if isinstance(cell, str) else cell for cell in row])
    return out.getvalue()


def _asked(work: Work, name: str) -> list[Asked]:
    """What was asked for, the studies that arrived last first."""
    rows = work.execute(_ASKED, {"project": name}).all()
    of_study = {row.study: row for row in work.execute(_STUDIES, {"studies": list({row.study for row in rows})})}
    found = []
    for row in rows:
        study = of_study[row.study]
        found.append(
            Asked(
                study=row.study,
                arrived_at=study.arrived_at,
                event_name=row.event_name,
                stage=row.stage,
                cause_kind=row.cause_kind,
                cause_record=row.cause_record,
                details=row.details,
                sends=row.sends,
                sent_at=row.sent_at,
                series=study.series,
                images=study.images,
            )
        )
    return sorted(found, key=lambda each: each.arrived_at, reverse=True)


_ASKED = asked("project = :project")
_STUDIES = text("""
    select study, arrived_at, count(*) as series,
           coalesce(sum((event.data ->> 'NumFiles')::bigint), 0)::bigint as images
      from gateway.study join gateway.series using (study) join ledger.event on event.position = series.position
     where study = any(:studies) group by study, arrived_at
""")
_NOT_HERE = text("""
    select count(*) from audit.request_of_others as theirs
     where project = :project and not exists (select from gateway.study where study.study = theirs.study)
""")
_OF_TWO_PATIENTS = text("select count(*) from gateway.mixed_study where over_position is null")
_EXPECTED = text("""
    select record_id, study, asked_at, near from audit.expected where project = :project and open order by asked_at
""")
_LISTED = text("""
    select closed_by, approved_from, approved_to, wants_ids, aetitle, problems
      from audit.project where project = :project and in_force order by position desc limit 1
""")
