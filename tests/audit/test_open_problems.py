"""Property: what a view shows as open is what the gateway goes by, whatever happened in whatever order."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from ledger.database import Database
from ledger.events import NewEvent
from ledger.projector import Projector
from ledger.store import Store
from processors.events.types import EventType, file_stream, study_stream
from processors.projections import PROJECTIONS
from processors.projections.studies import ROW_KEYS

STUDIES = ("1.2.1", "1.2.2")

studies = st.sampled_from(STUDIES)
projects = st.sampled_from(("A", "B"))
requests = st.sampled_from((1, 2, 3))
rows = st.sampled_from((("study", ""), ("series", "s"), ("transfer", "1"), ("transfer", "2")))


def _of_study(type_: EventType, study: str, **data: Any) -> NewEvent:
    return NewEvent(stream=study_stream(study), type=type_, data={"study": study, **data})


def _requested(study: str, project: str, replaces: list[int]) -> NewEvent:
    cause = {"kind": "rule", "record_id": "1", "position": 1}
    return _of_study(
        EventType.TRANSFER_REQUESTED,
        study,
        project=project,
        event_name="",
        cause=cause,
        whole_match=True,
        replaces=replaces,
    )


def _refused(study: str, row: tuple[str, str]) -> NewEvent:
    told = {"row_position": 1, "field": "f", "message": "m"}
    return _of_study(EventType.ROW_REFUSED, study, kind=row[0], key=row[1], **told)


def _file(type_: EventType, path: str) -> NewEvent:
    data = {"path": path, "reason": "r", "digest": "d", "how": "gone"}
    return NewEvent(stream=file_stream(path), type=type_, data=data)


paths = st.sampled_from(("1.2.1/a", "1.2.1/b"))
happenings = st.lists(
    st.one_of(
        st.builds(_refused, studies, rows),
        st.builds(lambda s, row: _of_study(EventType.ROW_ACCEPTED, s, kind=row[0], key=row[1]), studies, rows),
        st.builds(_requested, studies, projects, st.lists(requests, max_size=2, unique=True)),
        st.builds(
            lambda s, r: _of_study(EventType.TRANSFER_PLACED, s, request=r, instance=1, found=False), studies, requests
        ),
        st.builds(lambda s, r: _of_study(EventType.TRANSFER_RETRACTED, s, request=r, reason="r"), studies, requests),
        st.builds(
            lambda s, p, kind: _of_study(EventType.CONFLICT_FOUND, s, project=p, event_name="", kind=kind, causes=[]),
            studies,
            projects,
            st.sampled_from(("equals", "person")),
        ),
        st.builds(lambda s, p: _of_study(EventType.CONFLICT_RESOLVED, s, project=p, event_name=""), studies, projects),
        st.builds(lambda s, p: _of_study(EventType.STUDY_HELD, s, project=p, reason=f"r{p}"), studies, projects),
        st.builds(lambda s, p: _of_study(EventType.STUDY_RELEASED, s, project=p, reason=""), studies, projects),
        st.builds(_file, st.sampled_from((EventType.FILE_REJECTED, EventType.REJECTION_RESOLVED)), paths),
    ),
    max_size=25,
)

PAIRS = (
    ("rejected_file", "position, path, reason"),
    ("held_study", "position, study, project, reason"),
    ("conflict", "position, study, project, event_name, kind"),
    ("refused_row", "position, study, kind, key, field, message"),
)


def _arrival(study: str) -> NewEvent:
    data = {
        "StudyInstanceUID": study,
        "SeriesInstanceUID": f"{study}.1",
        **dict.fromkeys(ROW_KEYS, ""),
        "fingerprint": "",
    }
    return NewEvent(stream=study_stream(study), type=EventType.SERIES_DISCOVERED, data=data)


@settings(max_examples=60)
@given(happenings)
def test_what_is_open_in_a_view_is_what_stands_in_the_projection(
    database: Database, happened: Sequence[NewEvent]
) -> None:
    with database.engine.connect() as connection, connection.begin() as transaction:
        store = Store(site="main", run=UUID(int=1), clock=lambda: datetime(2026, 3, 2, tzinfo=UTC))
        events = store.append(connection, [*map(_arrival, STUDIES), *happened])
        Projector(PROJECTIONS).advance(connection, events)
        for name, columns in PAIRS:
            shown = connection.execute(text(f"select {columns} from audit.{name} where open order by position"))
            stands = connection.execute(text(f"select {columns} from gateway.{name} order by position"))
            assert shown.all() == stands.all()
            ends = "open <> (ended_at is null) or open <> (ended_how is null)"
            assert connection.execute(text(f"select count(*) from audit.{name} where {ends}")).scalar_one() == 0
        transaction.rollback()
