"""Projection of what has arrived and how much of it REDCap holds: gateway.study, gateway.series."""

from collections.abc import Sequence

from sqlalchemy import Connection, text

from ledger.events import Event
from processors.events import EventType
from processors.projections.rows import Each, Parameters, Rules, Together, apply_rules


class Studies:
    """One row a study, one row a series."""

    name = "studies"
    code_version = 1
    tables: Sequence[str] = ("gateway.study", "gateway.series")

    def __init__(self) -> None:
        content = [Together((_INSERT_STUDIES, _LEAD, _UPSERT_SERIES), _contents)]
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
        study text, site text, arrived_at timestamptz, series text, called text,
        first_position bigint, position bigint, fingerprint text, accession text)
"""
_INSERT_STUDIES = text(f"""
    insert into gateway.study (study, site, arrived_at, leading_series, called, row_position)
    select distinct on (study) study, site, arrived_at, series, called, first_position
      from {_CONTENTS}
     order by study, first_position
    on conflict (study) do nothing
""")
# The leading series is the first one recorded and never changes, so the study's row does not
# change hands when a late series arrives.
_LEAD = text(f"""
    update gateway.study set row_position = r.position, called = r.called
      from {_CONTENTS}
     where study.study = r.study and study.leading_series = r.series
""")
_UPSERT_SERIES = text(f"""
    insert into gateway.series (study, series, first_position, position, fingerprint, accession)
    select study, series, first_position, position, fingerprint, accession
      from {_CONTENTS}
    on conflict (study, series) do update
       set position = excluded.position, fingerprint = excluded.fingerprint, accession = excluded.accession
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
    """One row a series: its newest content, and the position of its first."""
    rows: dict[tuple[str, str], Parameters] = {}
    for event in events:
        data = event.data
        key = (data["StudyInstanceUID"], data["SeriesInstanceUID"])
        earlier = rows.get(key)
        rows[key] = {
            "study": key[0],
            "site": event.site,
            "arrived_at": event.recorded_at if earlier is None else earlier["arrived_at"],
            "series": key[1],
            "called": data["AETitleCalled"],
            "first_position": event.position if earlier is None else earlier["first_position"],
            "position": event.position,
            "fingerprint": data["fingerprint"],
            "accession": data["AccessionNumber"].strip(),
        }
    return list(rows.values())


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
