"""Projection of what REDCap held before: gateway.adopted_study, adopted_series, adopted_transfer, moved_in."""

from collections.abc import Sequence

from sqlalchemy import Connection, text

from ledger.events import Event
from processors.events.types import EventType
from processors.projections.rows import Change, Each, Parameters, Rules, apply_rules


class Adopted:
    """One row for each study, series and transfer request that was there before."""

    name = "adopted"
    code_version = 1
    tables: Sequence[str] = (
        "gateway.adopted_study",
        "gateway.adopted_series",
        "gateway.adopted_transfer",
        "gateway.moved_in",
    )

    def __init__(self) -> None:
        self._rules: Rules = {
            EventType.STUDY_ADOPTED: [Each(_UPSERT_STUDY, _study), Each(_UPSERT_SERIES, _series)],
            EventType.TRANSFER_ADOPTED: [Each(_UPSERT_TRANSFER, _transfer)],
            EventType.ADOPTED_TRANSFER_GONE: [Each(_DELETE_TRANSFER, _gone)],
            EventType.TRANSFER_OBSERVED: [Each(_DELETE_TRANSFER, _changed)],
            EventType.ADOPTION_COMPLETED: [Each(_MOVE_IN, lambda event: _moved_in(event, "adopted"))],
            EventType.STARTED_FRESH: [Each(_MOVE_IN, lambda event: _moved_in(event, "fresh"))],
        }
        self.types = frozenset(self._rules)

    def apply(self, connection: Connection, events: Sequence[Event]) -> None:
        """Applies the events in order."""
        apply_rules(connection, events, self._rules)


_UPSERT_STUDY = Change(
    "adopted_study",
    ("study",),
    text("""
        insert into gateway.adopted_study (study, site, position)
        select study, site, position
          from json_to_recordset(cast(:rows as json)) as r (study text, site text, position bigint)
        on conflict (study) do update set site = excluded.site, position = excluded.position
    """),
)
_UPSERT_SERIES = Change(
    "adopted_series",
    ("study", "series"),
    text("""
        insert into gateway.adopted_series (study, series, instance)
        select study, series, instance
          from json_to_recordset(cast(:rows as json)) as r (study text, series text, instance integer)
        on conflict (study, series) do update set instance = excluded.instance
    """),
)
_UPSERT_TRANSFER = Change(
    "adopted_transfer",
    ("study", "instance"),
    text("""
        insert into gateway.adopted_transfer (study, instance, project, event_name, sent, requested, position)
        select study, instance, project, event_name, sent, requested, position
          from json_to_recordset(cast(:rows as json)) as r (
               study text, instance integer, project text, event_name text, sent boolean, requested text,
               position bigint)
        on conflict (study, instance) do update
           set project = excluded.project, event_name = excluded.event_name, sent = excluded.sent,
               requested = excluded.requested, position = excluded.position
    """),
)
_DELETE_TRANSFER = Change(
    "adopted_transfer",
    ("study", "instance"),
    text("""
        delete from gateway.adopted_transfer as t
         using json_to_recordset(cast(:rows as json)) as r (study text, instance integer)
         where t.study = r.study and t.instance = r.instance
    """),
)
_MOVE_IN = Change(
    "moved_in",
    ("site",),
    text("""
        insert into gateway.moved_in (site, how, position)
        select site, how, position
          from json_to_recordset(cast(:rows as json)) as r (site text, how text, position bigint)
        on conflict (site) do update set how = excluded.how, position = excluded.position
    """),
)


def _study(event: Event) -> list[Parameters]:
    return [{"study": event.data["study"], "site": event.site, "position": event.position}]


def _series(event: Event) -> list[Parameters]:
    study = event.data["study"]
    return [{"study": study, "series": series, "instance": placed} for series, placed in event.data["series"].items()]


def _transfer(event: Event) -> list[Parameters]:
    keys = ("study", "instance", "project", "event_name", "sent", "requested")
    return [{key: event.data[key] for key in keys} | {"position": event.position}]


def _gone(event: Event) -> list[Parameters]:
    return [{"study": event.data["study"], "instance": event.data["instance"]}]


def _changed(event: Event) -> list[Parameters]:
    """Where a row is told to ask for something, it asks no longer for what was adopted."""
    return _gone(event) if "instance" in event.data else []


def _moved_in(event: Event, how: str) -> list[Parameters]:
    return [{"site": event.data["site"], "how": how, "position": event.position}]
