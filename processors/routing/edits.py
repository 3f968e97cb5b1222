"""Who changed a rule or coupling entry in REDCap, as far as its log tells.

The log is asked where an export differs from the ledger, once for each list: an idle run makes no call more. It is
asked for what was done since the last run, and of that, the newest line counts that leads to what was exported. A first
run asks nothing: what it finds may be years old. What REDCap does not tell is unknown, and nothing waits for it.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import text

from processors import bounds
from processors.alterations import is_saved_as
from processors.clocks import believed, is_due
from processors.errors import ServiceError, WrongClock
from processors.gateway import Gateway, Work
from processors.observed_list import Comparison
from processors.redcap import Banned, Blocked, LogLine, Project, Redcap, Row
from processors.redcap.project import record_id

OLDEST: Final = timedelta(days=31)
"""What was done longer ago is not looked up: the log of a busy project is long."""
WINDOW: Final = timedelta(minutes=15)
"""How long before the last run REDCap's log is read: its clock may be behind."""
ASK_AGAIN: Final = timedelta(hours=1)


class Edit(NamedTuple):
    """A change in REDCap: by which of its users, and when by its own clock; None where it does not tell."""

    changed_by: str | None = None
    changed_at: str | None = None

    @property
    def is_known(self) -> bool:
        """Whether REDCap tells anything of it."""
        return bool(self.changed_by or self.changed_at)

    @property
    def words(self) -> str:
        """Who changed it, and when, for a person."""
        when = f", {self.changed_at}" if self.changed_at else ""
        return f"last changed in REDCap by {self.changed_by or 'unknown'}{when}"


UNKNOWN: Final = Edit()


class LogWindow(NamedTuple):
    """From when on a list's log is to be read, in the hospital's zone; None where it is not to be asked."""

    since: datetime | None


def log_window(work: Work, project: str, table: str, comparison: Comparison) -> LogWindow:
    """From when on the changes that an export shows can have been made. `table` is the gateway's own of the list.

    What is removed is missing since before the run that doubted it.
    """
    if not (comparison.changed or comparison.removed):
        return LogWindow(None)
    now = work.clock()
    doubted = work.execute(
        text(f"""
            select min(recorded_at) from {table} join ledger.event on event.position = doubted_position
             where record_id = any(:removed)
        """),
        {"removed": list(comparison.removed)},
    ).scalar_one()
    asked = work.execute(
        _ASKED,
        {"site": work.site, "project": project, "run": work.gateway.run, "before": believed(doubted, now) or now},
    ).one()
    last = believed(asked.last_run, now)
    if last is None or not is_due(asked.put_off_at, now, ASK_AGAIN):
        return LogWindow(None)
    return LogWindow(work.gateway.local(max(last, now - OLDEST) - WINDOW - asked.behind))


_ASKED = text("""
    select (select max(started_at) from gateway.run
             where site = :site and run <> :run and exit_code in (0, 1) and started_at < :before) as last_run,
           (select put_off_at from gateway.clash_check where site = :site and project = :project) as put_off_at,
           coalesce((select max(behind) from gateway.clash_check where site = :site), '0') as behind
""")


def edits(
    gateway: Gateway, redcap: Redcap, project: Project, window: LogWindow, rows: Sequence[Row], comparison: Comparison
) -> dict[str, Edit]:
    """Who made each change that an export of the list shows, by record id, as far as the log tells.

    Raises nothing but `Banned`, `Blocked` and `WrongClock`: a log that may not be read, or does not answer, is asked
    again in an hour, and the changes until then are of unknown users.
    """
    if window.since is None or not redcap.writes:
        return {}
    try:
        lines = redcap.export_log(project.name, since=window.since)
    except (Banned, Blocked, WrongClock):
        raise
    except ServiceError:
        with gateway.begin() as work:
            work.execute(_PUT_OFF, {"site": gateway.site, "project": project.name, "now": gateway.clock()})
        return {}
    exported = {bounds.name(row[record_id(project.name)]): row for row in rows}
    return who(lines, {record: exported[record] for record in comparison.changed}, comparison.removed)


_PUT_OFF = text("""
    insert into gateway.clash_check (site, project, put_off_at) values (:site, :project, :now)
    on conflict (site, project) do update set put_off_at = excluded.put_off_at
""")


def who(lines: Iterable[LogLine], changed: Mapping[str, Mapping[str, str]], removed: Iterable[str]) -> dict[str, Edit]:
    """Who brought records to read as in `changed`, and who deleted those `removed`; of lines, oldest first. Pure."""
    gone = set(removed)
    found = {}
    for line in lines:
        record = bounds.name(line.record)
        row = changed.get(record)
        if (line.deleted and record in gone) or (row is not None and _leads_to(line, row)):
            found[record] = Edit(bounds.name(line.user) or None, line.minute or None)
    return found


def _leads_to(line: LogLine, row: Mapping[str, str]) -> bool:
    """Whether the line is of fields that were exported, and each reads as it left them: a later change does not."""
    said = {field: value for field, value in line.values.items() if field in row}
    return bool(said) and all(is_saved_as(value, row[field]) for field, value in said.items())
