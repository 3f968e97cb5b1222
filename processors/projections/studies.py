"""Projection of what has arrived and how much of it REDCap holds: gateway.study, gateway.series."""

import hashlib
from collections.abc import Collection, Sequence
from operator import itemgetter

import orjson
from sqlalchemy import Connection, TextClause, text

from ledger.events import Event
from processors.events import EventType
from processors.projections.rows import Each, Parameters, Rules, Together, apply_rules

ROUTING_KEYS = ("identity_fingerprint", "AETitleCaller", "AETitleCalled", "AccessionNumber")
"""What rules and couplings look at: where it changes, the study is decided upon again."""

ROW_KEYS = (*ROUTING_KEYS, "InstitutionName", "StudyDescription", "StudyDate", "StudyTime")
"""What the study's row is made of: where it changes, the row is written again."""


class Studies:
    """One row a study, one row a series."""

    name = "studies"
    code_version = 1
    tables: Sequence[str] = ("gateway.study", "gateway.series")

    def __init__(self) -> None:
        content = [_Contents()]
        arrived: Rules = {EventType.SERIES_DISCOVERED: content, EventType.SERIES_REVISED: content}
        delivered: Rules = {
            EventType.STUDY_DELIVERED: [
                Together((_DELIVER_STUDIES,), _delivered_rows),
                Together((_DELIVER_SERIES,), _delivered_series),
            ]
        }
        present: Rules = {
            EventType.STUDY_VANISHED: [Each(_VANISH, _presence)],
            EventType.STUDY_RETURNED: [Each(_RETURN, _presence)],
        }
        self._kinds = (arrived, delivered, present)
        self.types = frozenset(type_ for rules in self._kinds for type_ in rules)

    def apply(self, connection: Connection, events: Sequence[Event]) -> None:
        """Applies the events kind by kind, in order within each.

        Each kind writes columns of its own, in rows that the first one makes and nothing removes: so it comes to
        the same as one after the other, which takes a statement for each study where runs were short.
        """
        for rules in self._kinds:
            apply_rules(connection, [event for event in events if event.type in rules], rules)


class _Contents:
    """Carries over what series say.

    Every row that is sent is one that may have to be written: sending all of them to each statement, for the
    database to choose, took 28 µs a series instead of 12.
    """

    def execute(self, connection: Connection, events: Sequence[Event]) -> None:
        """Inserts new studies and series, and brings known ones to what they say now."""
        series = _contents(events)
        leading = _leading_series(connection, {row["study"] for row in series})
        led = [row for row in series if leading.get(row["study"]) == row["series"]]
        newly_led = {row["study"]: row for row in reversed(series) if row["study"] not in leading}
        _execute(connection, _INSERT_STUDIES, list(newly_led.values()), _STUDY_FIELDS)
        _execute(connection, _LEAD, led, _STUDY_FIELDS)
        _execute(connection, _UPSERT_SERIES, series, _SERIES_FIELDS)
        _execute(connection, _REROUTE, [row for row in series if row["rerouted"]], _REROUTED_FIELDS)


def _leading_series(connection: Connection, studies: Collection[str]) -> dict[str, str]:
    """The leading series of those of the studies that are known."""
    rows = connection.execute(_LEADING, {"studies": list(studies)})
    return {row.study: row.leading_series for row in rows}


def _execute(connection: Connection, statement: TextClause, rows: Sequence[Parameters], fields: Sequence[str]) -> None:
    if rows:
        sent = [{field: row[field] for field in fields} for row in rows]
        connection.execute(statement, {"rows": orjson.dumps(sent).decode()})


_LEADING = text("select study, leading_series from gateway.study where study = any(:studies)")
_STUDY_FIELDS = ("study", "site", "arrived_at", "series", "called", "row_key", "row_position", "row_moved")
_STUDY_ROWS = """
    json_to_recordset(cast(:rows as json)) as r (
        study text, site text, arrived_at timestamptz, series text, called text, row_key text, row_position bigint,
        row_moved boolean)
"""
_INSERT_STUDIES = text(f"""
    insert into gateway.study (study, site, arrived_at, leading_series, called, row_position, row_key)
    select study, site, arrived_at, series, called, row_position, row_key
      from {_STUDY_ROWS}
""")
# The leading series is the first one recorded and never changes, so the study's row does not change
# hands when a late series arrives; and it is written again only where what it says has changed, or
# every new image would undo what people corrected in it.
_LEAD = text(f"""
    update gateway.study set row_position = r.row_position, row_key = r.row_key, called = r.called
      from {_STUDY_ROWS}
     where study.study = r.study and (r.row_moved or study.row_key <> r.row_key)
""")
_SERIES_FIELDS = ("study", "series", "position", "routed_position", "routing_key", "fingerprint", "accession")
_UPSERT_SERIES = text("""
    insert into gateway.series (study, series, position, routed_position, routing_key, fingerprint, accession)
    select study, series, position, routed_position, routing_key, fingerprint, accession
      from json_to_recordset(cast(:rows as json)) as r (
               study text, series text, position bigint, routed_position bigint, routing_key text, fingerprint text,
               accession text)
    on conflict (study, series) do update
       set position = excluded.position, fingerprint = excluded.fingerprint, accession = excluded.accession,
           routing_key = excluded.routing_key,
           routed_position = case when series.routing_key <> excluded.routing_key
                                  then excluded.routed_position else series.routed_position end
""")
# Changed and changed back within these events: the content alone does not show it.
_REROUTED_FIELDS = ("study", "series", "routed_position")
_REROUTE = text("""
    update gateway.series set routed_position = r.routed_position
      from json_to_recordset(cast(:rows as json)) as r (study text, series text, routed_position bigint)
     where series.study = r.study and series.series = r.series
""")
_VANISH = text("update gateway.study set on_disk = false where study = :study")
_RETURN = text("update gateway.study set on_disk = true, returned_position = :position where study = :study")
_DELIVER_STUDIES = text("""
    update gateway.study set delivered_position = r.position
      from json_to_recordset(cast(:rows as json)) as r (study text, position bigint)
     where study.study = r.study
""")
_DELIVER_SERIES = text("""
    update gateway.series set instance = r.instance, delivered_position = r.position
      from json_to_recordset(cast(:rows as json)) as r (study text, series text, instance integer, position bigint)
     where series.study = r.study and series.series = r.series
""")


def _contents(events: Sequence[Event]) -> list[Parameters]:
    """One row a series, by when it was first told of: its newest content, and where what matters last changed.

    `row_moved` and `rerouted` say that it changed within these events, whatever it was before.
    """
    rows: dict[tuple[str, str], Parameters] = {}
    for event in events:
        data = event.data
        key = (data["StudyInstanceUID"], data["SeriesInstanceUID"])
        row = {
            "study": key[0],
            "site": event.site,
            "arrived_at": event.recorded_at,
            "series": key[1],
            "called": data["AETitleCalled"],
            "accession": data["AccessionNumber"].strip(),
            "fingerprint": data["fingerprint"],
            "position": event.position,
            "row_key": _key(_ROW_VALUES(data)),
            "row_position": event.position,
            "row_moved": False,
            "routing_key": _key(_ROUTING_VALUES(data)),
            "routed_position": event.position,
            "rerouted": False,
        }
        earlier = rows.get(key)
        rows[key] = row if earlier is None else _since(earlier, row)
    return list(rows.values())


def _since(earlier: Parameters, row: Parameters) -> Parameters:
    """The row with what it was before in these events taken into account."""
    row["arrived_at"] = earlier["arrived_at"]
    for key, position, moved in (
        ("row_key", "row_position", "row_moved"),
        ("routing_key", "routed_position", "rerouted"),
    ):
        if earlier[key] == row[key]:
            row[position] = earlier[position]
            row[moved] = earlier[moved]
        else:
            row[moved] = True
    return row


_ROW_VALUES = itemgetter(*ROW_KEYS)
_ROUTING_VALUES = itemgetter(*ROUTING_KEYS)


def _key(values: Sequence[str]) -> str:
    """Equal exactly where all of these are."""
    return hashlib.blake2b(orjson.dumps(values), digest_size=16).hexdigest()


def _presence(event: Event) -> list[Parameters]:
    return [{"study": event.data["StudyInstanceUID"], "position": event.position}]


def _delivered_rows(events: Sequence[Event]) -> list[Parameters]:
    rows = {event.data["study"]: event.data["row"] for event in events if event.data["row"] is not None}
    return [{"study": study, "position": position} for study, position in rows.items()]


def _delivered_series(events: Sequence[Event]) -> list[Parameters]:
    rows = {
        (event.data["study"], series): placed for event in events for series, placed in event.data["series"].items()
    }
    return [{"study": study, "series": series, **placed} for (study, series), placed in rows.items()]
