"""Projection of what has arrived and how much of it REDCap holds: gateway.study, gateway.series."""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import orjson
from sqlalchemy import Connection, text

from ledger.events import Event
from processors.events.types import EventType
from processors.projections.rows import Parameters, execute

ROUTING_KEYS = ("identity_fingerprint", "AETitleCaller", "AETitleCalled", "AccessionNumber")
"""What rules and couplings look at: where it changes, the study is decided upon again."""

ROW_KEYS = (*ROUTING_KEYS, "InstitutionName", "StudyDescription", "StudyDate", "StudyTime")
"""What the study's row is made of: where it changes, the row is written again."""


class Studies:
    """One row a study, one row a series."""

    name = "studies"
    code_version = 2
    tables: Sequence[str] = ("gateway.study", "gateway.series")

    def __init__(self) -> None:
        self.types = frozenset(_TAKE)

    def apply(self, connection: Connection, events: Sequence[Event]) -> None:
        """Applies the events as if one after the other.

        What a study was delivered as is first taken up with what its series say, since in a rebuild both come
        together mostly: writing a row of many indexes twice takes twice as long. And every row that is sent to a
        statement is one that may have to be written: leaving the choice to the database took 28 µs a series,
        instead of 12.
        """
        told = _told(events)
        execute(connection, _UPDATE_STUDIES, list(told.other_studies.values()))
        execute(connection, _DELIVER_SERIES, list(told.other_series.values()))
        if told.series:
            _write(connection, told)
        execute(connection, _SET_PRESENCE, list(told.presence.values()))


@dataclass(kw_only=True, slots=True)
class _Series:
    """What some events say of a series: its first and its newest content, and where what matters changed.

    `row_moved` says that its row changed within these events, whatever it was before. `stated` are the first of
    them and each that changed what routing looks at.
    """

    first: Event
    newest: Event
    row: tuple[Any, ...]
    row_position: int
    row_moved: bool = False
    first_routing: tuple[Any, ...]
    routing: tuple[Any, ...]
    stated: list[int]
    accession: str
    called: str
    instance: int | None = None
    delivered_position: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Told:
    """What some events say, by study and by series.

    `studies` and `series` are those whose content they tell, with what befell them afterwards; `other_studies`
    and `other_series` hold what befell those of whose content they had not told by then; `presence` which series
    vanished and came back by themselves.
    """

    studies: dict[str, Parameters] = field(default_factory=dict)
    series: dict[tuple[str, str], _Series] = field(default_factory=dict)
    other_studies: dict[str, Parameters] = field(default_factory=dict)
    other_series: dict[tuple[str, str], Parameters] = field(default_factory=dict)
    presence: dict[tuple[str, str], Parameters] = field(default_factory=dict)


def _told(events: Sequence[Event]) -> _Told:
    told = _Told()
    for event in events:
        _TAKE[event.type](told, event)
    return told


def _take_content(told: _Told, event: Event) -> None:
    data = event.data
    study, series = data["StudyInstanceUID"], data["SeriesInstanceUID"]
    row, routing = _ROW_VALUES(data), _ROUTING_VALUES(data)
    known = told.series.get((study, series))
    if known is None:
        told.studies.setdefault(study, {"study": study})
        told.series[study, series] = _Series(
            first=event,
            newest=event,
            row=row,
            row_position=event.position,
            first_routing=routing,
            routing=routing,
            stated=[event.position],
            accession=data["AccessionNumber"].strip(),
            called=data["AETitleCalled"],
        )
        return
    known.newest = event
    # A blank where there was a value says nothing new.
    known.accession = data["AccessionNumber"].strip() or known.accession
    known.called = data["AETitleCalled"] or known.called
    if known.row != row:
        known.row, known.row_position, known.row_moved = row, event.position, True
    if known.routing != routing:
        known.routing = routing
        known.stated.append(event.position)


def _take_delivery(told: _Told, event: Event) -> None:
    study = event.data["study"]
    if event.data["row"] is not None:
        _befallen(told, study)["delivered_position"] = event.data["row"]
    for series, placed in event.data["series"].items():
        known = told.series.get((study, series))
        if known is None:
            told.other_series[study, series] = {"study": study, "series": series, **placed}
        else:
            known.instance, known.delivered_position = placed["instance"], placed["position"]


def _take_vanishing(told: _Told, event: Event) -> None:
    _befallen(told, event.data["StudyInstanceUID"])["on_disk"] = False


def _take_return(told: _Told, event: Event) -> None:
    _befallen(told, event.data["StudyInstanceUID"]).update(
        on_disk=True, returned_position=event.position, site=event.site
    )


def _take_presence(told: _Told, event: Event) -> None:
    study, series = event.data["StudyInstanceUID"], event.data["SeriesInstanceUID"]
    told.presence[study, series] = {
        "study": study,
        "series": series,
        "present": event.type == EventType.SERIES_RETURNED,
        "presence_position": event.position,
    }


def _befallen(told: _Told, study: str) -> Parameters:
    """Where to put down what befell the study."""
    if study in told.studies:
        return told.studies[study]
    return told.other_studies.setdefault(study, {"study": study})


_TAKE: Mapping[str, Callable[[_Told, Event], None]] = {
    EventType.SERIES_DISCOVERED: _take_content,
    EventType.SERIES_REVISED: _take_content,
    EventType.STUDY_DELIVERED: _take_delivery,
    EventType.STUDY_VANISHED: _take_vanishing,
    EventType.STUDY_RETURNED: _take_return,
    EventType.SERIES_VANISHED: _take_presence,
    EventType.SERIES_RETURNED: _take_presence,
}


def _write(connection: Connection, told: _Told) -> None:
    """Inserts new studies and series, and brings known ones to what is told of them."""
    leading = _leading_series(connection, told.studies)
    new = {study: series for (study, _), series in reversed(told.series.items()) if study not in leading}
    led = [series for (study, uid), series in told.series.items() if leading.get(study) == uid]
    befallen = [row for study, row in told.studies.items() if study in leading and len(row) > 1]
    execute(connection, _INSERT_STUDIES, [_new_study(series) | told.studies[study] for study, series in new.items()])
    execute(connection, _LEAD, [_led_study(series) for series in led])
    execute(connection, _UPDATE_STUDIES, befallen)
    # Of a new study no series can be there: not to look for them costs a third less.
    of_new = [series for (study, _), series in told.series.items() if study in new]
    of_known = [series for (study, _), series in told.series.items() if study in leading]
    execute(connection, _INSERT_SERIES, [_content(series) for series in of_new])
    execute(connection, _RESTATE, [_statement(series) for series in of_known])
    execute(connection, _UPSERT_SERIES, [_content(series) for series in of_known])


def _leading_series(connection: Connection, studies: Collection[str]) -> dict[str, str]:
    """The leading series of those of the studies that are known."""
    rows = connection.execute(_LEADING, {"studies": list(studies)})
    return {row.study: row.leading_series for row in rows}


def _new_study(leading: _Series) -> Parameters:
    return _led_study(leading) | {
        "site": leading.first.site,
        "arrived_at": leading.first.recorded_at,
        "series": leading.first.data["SeriesInstanceUID"],
    }


def _led_study(leading: _Series) -> Parameters:
    return {
        "study": leading.first.data["StudyInstanceUID"],
        "called": leading.called,
        "row_key": _key(leading.row),
        "row_position": leading.row_position,
        "row_moved": leading.row_moved,
    }


def _content(series: _Series) -> Parameters:
    data = series.newest.data
    return {
        "study": data["StudyInstanceUID"],
        "series": data["SeriesInstanceUID"],
        "position": series.newest.position,
        "stated": series.stated,
        "routed_position": series.stated[-1],
        "routing_key": _key(series.routing),
        "fingerprint": data["fingerprint"],
        "accession": series.accession,
        "instance": series.instance,
        "delivered_position": series.delivered_position,
    }


def _statement(series: _Series) -> Parameters:
    data = series.newest.data
    return {
        "study": data["StudyInstanceUID"],
        "series": data["SeriesInstanceUID"],
        "first_key": _key(series.first_routing),
        "stated": series.stated,
        "routed_position": series.stated[-1],
    }


_ROW_VALUES = itemgetter(*ROW_KEYS)
_ROUTING_VALUES = itemgetter(*ROUTING_KEYS)


def _key(values: Sequence[str]) -> str:
    """Equal exactly where all of these are."""
    return hashlib.blake2b(orjson.dumps(values), digest_size=16).hexdigest()


_LEADING = text("select study, leading_series from gateway.study where study = any(:studies)")
_INSERT_STUDIES = text("""
    insert into gateway.study (study, site, arrived_at, leading_series, called, row_position, row_key,
                               delivered_position, on_disk, returned_position)
    select study, site, arrived_at, series, called, row_position, row_key,
           coalesce(delivered_position, 0), coalesce(on_disk, true), coalesce(returned_position, 0)
      from json_to_recordset(cast(:rows as json)) as r (
               study text, site text, arrived_at timestamptz, series text, called text, row_key text,
               row_position bigint, delivered_position bigint, on_disk boolean, returned_position bigint)
""")
# The leading series is the first one recorded and never changes, so the study's row does not change
# hands when a late series arrives; and it is written again only where what it says has changed, or
# every new image would undo what people corrected in it.
_LEAD = text("""
    update gateway.study set row_position = r.row_position, row_key = r.row_key,
                             called = coalesce(nullif(r.called, ''), study.called)
      from json_to_recordset(cast(:rows as json)) as r (
               study text, called text, row_key text, row_position bigint, row_moved boolean)
     where study.study = r.study and (r.row_moved or study.row_key <> r.row_key)
""")
_UPDATE_STUDIES = text("""
    update gateway.study set delivered_position = coalesce(r.delivered_position, study.delivered_position),
                             on_disk = coalesce(r.on_disk, study.on_disk),
                             returned_position = coalesce(r.returned_position, study.returned_position),
                             site = coalesce(r.site, study.site)
      from json_to_recordset(cast(:rows as json)) as r (
               study text, delivered_position bigint, on_disk boolean, returned_position bigint, site text)
     where study.study = r.study
""")
_SERIES_ROWS = """
    insert into gateway.series (study, series, position, stated, routed_position, routing_key, fingerprint, accession,
                                instance, delivered_position)
    select study, series, position, stated, routed_position, routing_key, fingerprint, accession, instance,
           coalesce(delivered_position, 0)
      from json_to_recordset(cast(:rows as json)) as r (
               study text, series text, position bigint, stated bigint[], routed_position bigint, routing_key text,
               fingerprint text, accession text, instance integer, delivered_position bigint)
"""
_INSERT_SERIES = text(_SERIES_ROWS)
_UPSERT_SERIES = text(f"""{_SERIES_ROWS}
    on conflict (study, series) do update
       set position = excluded.position, fingerprint = excluded.fingerprint,
           accession = coalesce(nullif(excluded.accession, ''), series.accession),
           routing_key = excluded.routing_key,
           instance = coalesce(excluded.instance, series.instance),
           delivered_position = case when excluded.instance is null
                                     then series.delivered_position else excluded.delivered_position end
""")
# Before the content is written: the first of these events changed something only where its key is another one.
_RESTATE = text("""
    update gateway.series set stated = series.stated || told.stated, routed_position = told.routed_position
      from (select r.study, r.series, r.routed_position,
                   case when known.routing_key = r.first_key then r.stated[2:] else r.stated end as stated
              from json_to_recordset(cast(:rows as json)) as r (
                       study text, series text, first_key text, stated bigint[], routed_position bigint)
              join gateway.series as known using (study, series)) as told
     where series.study = told.study and series.series = told.series and cardinality(told.stated) > 0
""")
_SET_PRESENCE = text("""
    update gateway.series set present = r.present, presence_position = r.presence_position
      from json_to_recordset(cast(:rows as json)) as r (
               study text, series text, present boolean, presence_position bigint)
     where series.study = r.study and series.series = r.series
""")
_DELIVER_SERIES = text("""
    update gateway.series set instance = r.instance, delivered_position = r.position
      from json_to_recordset(cast(:rows as json)) as r (
               study text, series text, instance integer, position bigint)
     where series.study = r.study and series.series = r.series
""")
