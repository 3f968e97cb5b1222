"""Rows of others that ours were written over, found in REDCap's log.

REDCap has no transactions: a person's row that is saved between our export and our import can get the
very instance that we take, and is overwritten. That cannot be prevented, but it leaves a trace: the log
shows what stood there before ours. So after a delivery that placed rows in new instances the log is
asked, once for each project of REDCap's that they went to, and what it shows is an event.

What is asked for is bounded, because the log of a busy project is long: a quarter of an hour before
the first of these rows, and nothing at all for more rows than `LARGEST`, as a first run brings them:
our own lines would fill the log, and nobody works on records that did not exist a minute ago. Details
of the log hold pseudonyms: they are compared here, and neither kept nor shown.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, Literal

from sqlalchemy import text

from processors.alterations import is_saved_as
from processors.clocks import believed, due, is_due
from processors.errors import Refused, ServiceError
from processors.events.deliveries import LostUpdateFound, RowKind
from processors.gateway import Gateway, Work
from processors.redcap import Banned, LogLine, Redcap, incoming

LARGEST: Final = 5_000
WINDOW: Final = timedelta(minutes=15)
"""How long before our record of a row REDCap's log is read: its clock may be behind, and a run may have
been killed between import and record."""
OLDEST: Final = timedelta(days=1)
"""What was placed before is not looked up any more."""
FARTHEST: Final = timedelta(hours=26)
"""No two zones are farther apart."""
_STEP: Final = timedelta(minutes=30)
ASK_AGAIN: Final = timedelta(hours=1)
TELL_AGAIN: Final = timedelta(days=1)

_UNSEEN: Final = "rows of others that were written over at the same moment cannot be seen"
_PROJECT, _NAME, _EVENT = "transfer_project_name", "transfer_name", "transfer_event_name"
_SERIES: Final = "series_instance_uid"

Fate = Literal["not in the log", "alone", "clash"]


@dataclass(kw_only=True, slots=True)
class Checked:
    """What looking into REDCap's log came to. `warnings` say where it does not tell, once a day."""

    clashes: int = 0
    warnings: list[str] = field(default_factory=list)

    def __add__(self, other: "Checked") -> "Checked":
        """Both together."""
        return Checked(clashes=self.clashes + other.clashes, warnings=[*self.warnings, *other.warnings])


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """A row that was placed in a new instance: what the ledger says of it, and what was written there.

    `key` is the series, or the position of the request. `found`: when it was recorded, it stood there
    already; it is ours only if a run was killed after its import. `requested` is the minute that tells.
    """

    study: str
    kind: RowKind
    key: str
    instance: int
    found: bool
    placed_at: datetime
    project: str = ""
    requested: str = ""
    wrote: Mapping[str, str] = field(default_factory=dict, repr=False)


def find_clashes(gateway: Gateway, redcap: Redcap, *, largest: int = LARGEST) -> Checked:
    """What REDCap's log shows of the rows placed since it was last looked at. Raises nothing but `Banned`.

    Where it may not be read, or does not answer, the run goes on. More than `largest` rows are not
    looked up.
    """
    projects: dict[str, tuple[str, ...]] = {"incoming": ("series", "transfer")}
    if redcap.has("transfers"):
        projects = {"incoming": ("series",), "transfers": ("transfer",)}
    checks = [_Check(gateway, redcap, project, kinds, largest) for project, kinds in projects.items()]
    return sum((check.result() for check in checks), Checked())


class _Check:
    """The check of what was placed in one REDCap project."""

    def __init__(self, gateway: Gateway, redcap: Redcap, project: str, kinds: Sequence[str], largest: int) -> None:
        self._gateway = gateway
        self._redcap = redcap
        self._project = project
        self._kinds = list(kinds)
        self._largest = largest
        self._row = {"site": gateway.site, "project": project}
        self._head = 0
        self._behind = timedelta(0)

    def result(self) -> Checked:
        placements = self._unchecked()
        if not placements:
            return Checked()
        if len(placements) > self._largest:
            return self._done([], f"more than {self._largest} rows are new, too many to be looked up in REDCap's log")
        try:
            fates = self._fates(placements)
            if _is_hidden(fates) and self._behind < FARTHEST:
                # A server that lies west of here took the time for one to come.
                fates = self._fates(placements, behind=FARTHEST)
        except Banned:
            raise
        except Refused:
            return self._done(
                [], f"REDCap's log may not be read (give the user of redcap.tokens.{self._project} the right Logging)"
            )
        except ServiceError:
            return self._put_off()
        clashes = [placement for placement, fate in fates if fate == "clash"]
        unseen = "REDCap's log does not show what was just written (is its clock right?)"
        return self._done(clashes, unseen if _is_hidden(fates) else "")

    def _unchecked(self) -> list[Placement]:
        """The rows placed since the last check; too many are not read to their end."""
        now = self._gateway.clock()
        with self._gateway.begin() as work:
            known = work.execute(_MEMORY, self._row).one()
            self._head, self._behind = known.head, known.behind or timedelta(0)
            is_put_off = known.put_off_at is not None and not is_due(known.put_off_at, now, ASK_AGAIN)
            if known.position == self._head or is_put_off:
                return []
            window = {"after": known.position or 0, "until": self._head, "oldest": now - OLDEST}
            chosen = {"site": self._gateway.site, "kinds": self._kinds, "most": self._largest + 1}
            rows = work.execute(_PLACED, window | chosen)
            placements = [Placement(**row) for row in rows.mappings()]
            if not placements:
                work.execute(_REMEMBER, {**self._row, "position": self._head, "behind": self._behind})
            return placements if len(placements) > self._largest else self._with_contents(work, placements)

    def _with_contents(self, work: Work, placements: Sequence[Placement]) -> list[Placement]:
        """The rows with what was written; without those of pseudonyms that were forgotten meanwhile."""
        positions = {int(placement.key) for placement in placements if placement.kind == "transfer"}
        requests = work.identities(positions) if positions else {}
        with_contents = []
        for placement in placements:
            if placement.kind == "series":
                with_contents.append(replace(placement, wrote={_SERIES: placement.key}))
                continue
            event, payload = requests[int(placement.key)]
            if payload:
                content = {
                    _PROJECT: event.data["project"],
                    _NAME: payload["pseudonym"],
                    _EVENT: event.data["event_name"],
                }
                requested = incoming.minute(self._gateway.local(event.recorded_at))
                with_contents.append(replace(placement, project=content[_PROJECT], requested=requested, wrote=content))
        return with_contents

    def _fates(self, placements: Sequence[Placement], behind: timedelta | None = None) -> list[tuple[Placement, Fate]]:
        """What REDCap's log tells. Its time is taken to be so far `behind` ours, or as far as was found before."""
        studies = {placement.study for placement in placements}
        now = self._gateway.clock()
        placed = [believed(placement.placed_at, now) or now for placement in placements]
        lines = self._redcap.export_log(
            self._project,
            since=self._gateway.local(min(placed) - WINDOW - (self._behind if behind is None else behind)),
            record=next(iter(studies)) if len(studies) == 1 else None,
        )
        if behind is not None and lines:
            self._behind = _behind(self._gateway.local(max(placed)), lines[-1].minute)
        by_study: dict[str, list[LogLine]] = {study: [] for study in studies}
        for line in lines:
            if line.record in by_study:
                by_study[line.record].append(line)
        return [(placement, fate(placement, by_study[placement.study])) for placement in placements]

    def _done(self, clashes: Sequence[Placement], blind: str) -> Checked:
        """Records the clashes and that all up to here is checked, both or neither."""
        with self._gateway.begin() as work:
            work.record([_fact(placement) for placement in clashes])
            work.execute(_REMEMBER, {**self._row, "position": self._head, "behind": self._behind})
        return Checked(clashes=len(clashes), warnings=self._warnings(blind))

    def _put_off(self) -> Checked:
        """Has the next runs wait before they ask a log again that is slow to answer, or does not."""
        with self._gateway.begin() as work:
            work.execute(_PUT_OFF, {**self._row, "now": self._gateway.clock()})
        return Checked(warnings=self._warnings("REDCap's log was not to be had, and is asked again in an hour"))

    def _warnings(self, blind: str) -> list[str]:
        """What is to be said, unless it was said in the last day."""
        if not blind:
            return []
        now = self._gateway.clock()
        with self._gateway.begin() as work:
            warning = work.execute(_TELL, {**self._row, "now": now, "before": now - TELL_AGAIN}).one_or_none()
        return [] if warning is None else [f"{self._project}: {blind}: {_UNSEEN}."]


def _is_hidden(fates: Sequence[tuple[Placement, Fate]]) -> bool:
    """Whether the log shows nothing of what we have just written."""
    ours = [fate for placement, fate in fates if not placement.found]
    return bool(ours) and all(fate == "not in the log" for fate in ours)


def _behind(placed_at: datetime, minute: str) -> timedelta:
    """How far REDCap's time is behind ours, by its newest line, rounded up to half an hour."""
    logged_at = datetime.strptime(minute[:16], "%Y-%m-%d %H:%M")  # noqa: DTZ007 - REDCap's times have no zone
    behind = placed_at.replace(tzinfo=None) - logged_at
    return max(timedelta(0), -(-behind // _STEP) * _STEP)


def fate(placement: Placement, lines: Iterable[LogLine]) -> Fate:
    """What happened to a row in its instance, by the lines of its record, oldest first. Pure.

    Which line is ours is told by what it leaves there, not by the user: people may work under the same
    one. Only what stood there right before counts: later changes are corrections of our row.
    """
    before: dict[str, str] = {}
    for line in lines:
        if line.instance not in (placement.instance, None):
            continue
        changed = {name: line.values[name].strip() for name in placement.wrote if name in line.values}
        after = {} if line.deleted else before | changed
        if changed and _is_ours(placement, line, after):
            return "clash" if _is_clash(placement, before, after) else "alone"
        before = after
    return "not in the log"


def _is_ours(placement: Placement, line: LogLine, after: Mapping[str, str]) -> bool:
    if placement.found and line.values.get("transfer_requested_date") != placement.requested:
        return False
    return all(is_saved_as(value, after.get(name, "")) for name, value in placement.wrote.items() if name != _EVENT)


def _is_clash(placement: Placement, before: Mapping[str, str], after: Mapping[str, str]) -> bool:
    """Whether something else was said there, or is still: a blank event name is not written."""
    if not is_saved_as(placement.wrote.get(_EVENT, ""), after.get(_EVENT, "")):
        return True
    return any(value and not is_saved_as(placement.wrote[name], value) for name, value in before.items())


def _fact(placement: Placement) -> LostUpdateFound:
    """The lost update, without a word of what either said."""
    is_transfer = placement.kind == "transfer"
    return LostUpdateFound(
        study=placement.study,
        project=placement.project,
        kind=placement.kind,
        request=int(placement.key) if is_transfer else None,
        series=None if is_transfer else placement.key,
        instance=placement.instance,
    )


_MEMORY = text("""
    select head.position as head, clash_check.position, put_off_at, behind
      from ledger.head left join gateway.clash_check on site = :site and project = :project
""")
# What stood in an instance of ours before is ours: a request that took over another one's row, in a run
# killed before it could record that, is found there by the next. And a series that was delivered or
# adopted before is not placed anew: its row is brought up to date.
_PLACED = text("""
    select placed.data ->> 'study' as study, 'transfer' as kind, placed.data ->> 'request' as key,
           (placed.data ->> 'instance')::integer as instance, (placed.data ->> 'found')::boolean as found,
           placed.recorded_at as placed_at
      from ledger.event as placed
     where placed.type = 'TransferPlaced' and 'transfer' = any(:kinds) and placed.site = :site
       and placed.position > :after and placed.position <= :until and placed.recorded_at > :oldest
       and not exists (select from ledger.event as earlier
                        where earlier.stream = placed.stream and earlier.version < placed.version
                          and earlier.type in ('TransferPlaced', 'TransferAmended')
                          and earlier.data ->> 'instance' = placed.data ->> 'instance')
    union all
    select placed.data ->> 'study', 'series', series.key, (series.value ->> 'instance')::integer, false,
           placed.recorded_at
      from ledger.event as placed cross join lateral json_each(placed.data -> 'series') as series
     where placed.type = 'StudyDelivered' and 'series' = any(:kinds) and placed.site = :site
       and placed.position > :after and placed.position <= :until and placed.recorded_at > :oldest
       and not exists (select from ledger.event as earlier
                        where earlier.stream = placed.stream and earlier.version < placed.version
                          and earlier.type in ('StudyDelivered', 'StudyAdopted')
                          and earlier.data -> 'series' -> series.key is not null)
     limit :most
""")
_REMEMBER = text("""
    insert into gateway.clash_check (site, project, position, behind) values (:site, :project, :position, :behind)
    on conflict (site, project) do update
       set position = excluded.position, behind = excluded.behind, put_off_at = null
""")
_PUT_OFF = text("""
    insert into gateway.clash_check (site, project, put_off_at) values (:site, :project, :now)
    on conflict (site, project) do update set put_off_at = excluded.put_off_at
""")
_TELL = text(f"""
    update gateway.clash_check set told_at = :now
     where site = :site and project = :project and {due("told_at")}
    returning told_at
""")
