"""Projection of what has arrived and how much of it REDCap holds: gateway.study, gateway.series."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, text

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
        content = [Together((_INSERT_STUDIES, _LEAD, _REROUTE, _UPSERT_SERIES), _contents)]
        self._rules: Rules = {
            EventType.SERIES_DISCOVERED: content,
            EventType.SERIES_REVISED: content,
            EventType.STUDY_VANISHED: [Each(_VANISH, _presence)],
            EventType.STUDY_RETURNED: [Each(_RETURN, _presence)],
            EventType.STUDY_DELIVERED: [
                Together((_DELIVER_STUDIES,), _delivered_rows),
                Together((_DELIVER_SERIES,), _delivered_series),
            ],
        }
        self.types = frozenset(self._rules)

    def apply(self, connection: Connection, events: Sequence[Event]) -> None:
        """Applies the events in order."""
        apply_rules(connection, events, self._rules)


_CONTENTS = """
    json_to_recordset(cast(:rows as json)) as r (
        study text, site text, arrived_at timestamptz, series text, called text, accession text, fingerprint text,
        first_position bigint, position bigint, row_key text, row_position bigint, row_moved boolean,
        routing_key text, routed_position bigint, rerouted boolean)
"""
_INSERT_STUDIES = text(f"""
    insert into gateway.study (study, site, arrived_at, leading_series, called, row_position, row_key)
    select distinct on (study) study, site, arrived_at, series, called, row_position, row_key
      from {_CONTENTS}
     order by study, first_position
    on conflict (study) do nothing
""")
# The leading series is the first one recorded and never changes, so the study's row does not change
# hands when a late series arrives; and it is written again only where what it says has changed, or
# every new image would undo what people corrected in it.
_LEAD = text(f"""
    update gateway.study set row_position = r.row_position, row_key = r.row_key, called = r.called
      from {_CONTENTS}
     where study.study = r.study and study.leading_series = r.series and (r.row_moved or study.row_key <> r.row_key)
""")
_UPSERT_SERIES = text(f"""
    insert into gateway.series (study, series, position, routed_position, routing_key, fingerprint, accession)
    select study, series, position, routed_position, routing_key, fingerprint, accession
      from {_CONTENTS}
    on conflict (study, series) do update
       set position = excluded.position, fingerprint = excluded.fingerprint, accession = excluded.accession,
           routing_key = excluded.routing_key
""")
_REROUTE = text(f"""
    update gateway.series set routed_position = r.routed_position
      from {_CONTENTS}
     where series.study = r.study and series.series = r.series
       and (r.rerouted or series.routing_key <> r.routing_key)
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
    """One row a series: its newest content, its first position, and where what matters last changed.

    `row_moved` and `rerouted` say that it changed within these events, whatever it was before.
    """
    rows: dict[tuple[str, str], Parameters] = {}
    for event in events:
        data = event.data
        key = (data["StudyInstanceUID"], data["SeriesInstanceUID"])
        earlier = rows.get(key)
        row_key, routing_key = _key(data, ROW_KEYS), _key(data, ROUTING_KEYS)
        row_moved = earlier is not None and earlier["row_key"] != row_key
        rerouted = earlier is not None and earlier["routing_key"] != routing_key
        rows[key] = {
            "study": key[0],
            "site": event.site,
            "arrived_at": event.recorded_at if earlier is None else earlier["arrived_at"],
            "series": key[1],
            "called": data["AETitleCalled"],
            "accession": data["AccessionNumber"].strip(),
            "fingerprint": data["fingerprint"],
            "first_position": event.position if earlier is None else earlier["first_position"],
            "position": event.position,
            "row_key": row_key,
            "row_position": event.position if earlier is None or row_moved else earlier["row_position"],
            "row_moved": row_moved or (earlier is not None and earlier["row_moved"]),
            "routing_key": routing_key,
            "routed_position": event.position if earlier is None or rerouted else earlier["routed_position"],
            "rerouted": rerouted or (earlier is not None and earlier["rerouted"]),
        }
    return list(rows.values())


def _key(data: Mapping[str, Any], names: Sequence[str]) -> str:
    """Equal exactly where all of these are."""
    return hashlib.blake2b(orjson.dumps([data[name] for name in names]), digest_size=16).hexdigest()


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
