"""Projection of what has arrived and how much of it REDCap holds: gateway.study, gateway.series."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import orjson
from sqlalchemy import Connection, text

from ledger.events import Told
from ledger.projector import Changes
from processors.events.deliveries import StudyDelivered
from processors.events.fact import Fact
from processors.events.series import (
    SeriesDiscovered,
    SeriesFact,
    SeriesReturned,
    SeriesRevised,
    SeriesVanished,
    StudyReturned,
    StudyVanished,
)
from processors.projections.rows import Parameters, execute

ROUTING_KEYS = ("identity_fingerprint", "AETitleCaller", "AETitleCalled", "accession")
"""What rules and couplings look at: where it changes, the study is decided upon again."""

ROW_KEYS = (*ROUTING_KEYS, "study_fingerprint", "StudyDate", "StudyTime")
"""What the study's row is made of: where it changes, the row is written again."""


class Studies:
    """One row a study, one row a series."""

    name = "studies"
    code_version = 5
    tables: Sequence[str] = ("gateway.study", "gateway.series")

    def __init__(self) -> None:
        self.types = frozenset(_FACTS)

    def plan(self, events: Sequence[Told]) -> Changes:
        """What the events change, as if applied one after the other.

        What a study was delivered as is first taken up with what its series say, since in a rebuild both come
        together mostly: writing a row of many indexes twice takes twice as long. And every row that is sent to a
        statement is one that may have to be written: leaving the choice to the database took 28 µs a series,
        instead of 12.
        """
        news = _news(events)

        def change(connection: Connection) -> None:
            execute(connection, _UPDATE_STUDIES, list(news.other_studies.values()))
            execute(connection, _DELIVER_SERIES, list(news.other_series.values()))
            execute(connection, _SET_PRESENCE, list(news.other_presence.values()))
            if news.series:
                _write(connection, news)
            execute(connection, _SET_PRESENCE, list(news.presence.values()))

        return change


@dataclass(kw_only=True, slots=True)
class _Series:
    """What some events say of a series: its newest content, where it stands, and where what matters changed.

    `row_moved` says that its row changed within these events, whatever it was before. `stated` are the first of
    them and each that changed what routing looks at.
    """

    first: Told
    newest: SeriesFact
    position: int
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
class _News:
    """What some events say, by study and by series.

    `studies` and `series` are those whose content they tell, with what befell them afterwards; `other_studies`
    and `other_series` hold what befell those of whose content they had not told by then; `presence` and
    `other_presence` which of either vanished and came back by themselves.
    """

    studies: dict[str, Parameters] = field(default_factory=dict)
    series: dict[tuple[str, str], _Series] = field(default_factory=dict)
    other_studies: dict[str, Parameters] = field(default_factory=dict)
    other_series: dict[tuple[str, str], Parameters] = field(default_factory=dict)
    presence: dict[tuple[str, str], Parameters] = field(default_factory=dict)
    other_presence: dict[tuple[str, str], Parameters] = field(default_factory=dict)

    def take(self, fact: Fact, event: Told) -> None:
        """Adds what one more event says."""
        match fact:
            case SeriesFact():
                self._take_content(fact, event)
            case StudyDelivered():
                self._take_delivery(fact)
            case StudyVanished():
                self._befallen(fact.StudyInstanceUID)["on_disk"] = False
            case StudyReturned():
                self._befallen(fact.StudyInstanceUID).update(
                    on_disk=True, returned_position=event.position, site=event.site
                )
            case SeriesVanished() | SeriesReturned():
                self._take_presence(fact, event)

    def _take_content(self, series: SeriesFact, event: Told) -> None:
        key = series.StudyInstanceUID, series.SeriesInstanceUID
        row, routing = _ROW_VALUES(series), _ROUTING_VALUES(series)
        known = self.series.get(key)
        if known is None:
            self.studies.setdefault(series.StudyInstanceUID, {"study": series.StudyInstanceUID})
            self.series[key] = _Series(
                first=event,
                newest=series,
                position=event.position,
                row=row,
                row_position=event.position,
                first_routing=routing,
                routing=routing,
                stated=[event.position],
                accession=series.accession,
                called=series.AETitleCalled,
            )
            return
        known.newest, known.position = series, event.position
        # A blank where there was a value says nothing new.
        known.accession = series.accession or known.accession
        known.called = series.AETitleCalled or known.called
        if known.row != row:
            known.row, known.row_position, known.row_moved = row, event.position, True
        if known.routing != routing:
            known.routing = routing
            known.stated.append(event.position)

    def _take_delivery(self, delivered: StudyDelivered) -> None:
        if delivered.row is not None:
            self._befallen(delivered.study)["delivered_position"] = delivered.row
        for series, row in delivered.series.items():
            known = self.series.get((delivered.study, series))
            if known is None:
                self.other_series[delivered.study, series] = {"study": delivered.study, "series": series, **row}
            else:
                known.instance, known.delivered_position = row["instance"], row["position"]

    def _take_presence(self, series: SeriesVanished | SeriesReturned, event: Told) -> None:
        key = series.StudyInstanceUID, series.SeriesInstanceUID
        presence = self.presence if key in self.series else self.other_presence
        presence[key] = {
            "study": series.StudyInstanceUID,
            "series": series.SeriesInstanceUID,
            "present": isinstance(series, SeriesReturned),
            "presence_position": event.position,
        }

    def _befallen(self, study: str) -> Parameters:
        """Where to put down what befell the study."""
        if study in self.studies:
            return self.studies[study]
        return self.other_studies.setdefault(study, {"study": study})


_FACTS: Mapping[str, type[Fact]] = {
    fact.__name__: fact
    for fact in (
        SeriesDiscovered,
        SeriesRevised,
        SeriesVanished,
        SeriesReturned,
        StudyDelivered,
        StudyVanished,
        StudyReturned,
    )
}


def _news(events: Sequence[Told]) -> _News:
    news = _News()
    for event in events:
        news.take(_FACTS[event.type].read(event), event)
    return news


def _write(connection: Connection, news: _News) -> None:
    """Inserts new studies and series, and brings known ones to what is said of them."""
    leading = _leading_series(connection, news.studies)
    new = {study: series for (study, _), series in reversed(news.series.items()) if study not in leading}
    led = [series for (study, uid), series in news.series.items() if leading.get(study) == uid]
    befallen = [row for study, row in news.studies.items() if study in leading and len(row) > 1]
    execute(connection, _INSERT_STUDIES, [_new_study(series) | news.studies[study] for study, series in new.items()])
    execute(connection, _LEAD, [_led_study(series) for series in led])
    execute(connection, _UPDATE_STUDIES, befallen)
    # Of a new study no series can be there: not to look for them costs a third less.
    of_new = [series for (study, _), series in news.series.items() if study in new]
    of_known = [series for (study, _), series in news.series.items() if study in leading]
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
        "series": leading.newest.SeriesInstanceUID,
    }


def _led_study(leading: _Series) -> Parameters:
    return {
        "study": leading.newest.StudyInstanceUID,
        "called": leading.called,
        "row_key": _key(leading.row),
        "row_position": leading.row_position,
        "row_moved": leading.row_moved,
    }


def _content(series: _Series) -> Parameters:
    return {
        "study": series.newest.StudyInstanceUID,
        "series": series.newest.SeriesInstanceUID,
        "position": series.position,
        "stated": series.stated,
        "routed_position": series.stated[-1],
        "routing_key": _key(series.routing),
        "fingerprint": series.newest.fingerprint,
        "accession": series.accession,
        "instance": series.instance,
        "delivered_position": series.delivered_position,
    }


def _statement(series: _Series) -> Parameters:
    return {
        "study": series.newest.StudyInstanceUID,
        "series": series.newest.SeriesInstanceUID,
        "first_key": _key(series.first_routing),
        "stated": series.stated,
        "routed_position": series.stated[-1],
    }


_ROW_VALUES = attrgetter(*ROW_KEYS)
_ROUTING_VALUES = attrgetter(*ROUTING_KEYS)


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
