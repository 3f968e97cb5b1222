"""Property: what a view shows as open is what the gateway goes by, whatever happened in whatever order."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from ledger.database import Database
from ledger.projector import Projector
from ledger.store import Store
from processors.events.deliveries import RowAccepted, RowRefused
from processors.events.fact import Cause, Fact
from processors.events.pseudonyms import StudyHeld, StudyReleased
from processors.events.rules import ConflictFound, ConflictResolved
from processors.events.series import FileRejected, RejectionResolved
from processors.events.transfers import TransferPlaced, TransferRetracted
from processors.projections import PROJECTIONS
from tests.facts import a_request, a_series, in_plain

STUDIES = ("1.2.1", "1.2.2")

studies = st.sampled_from(STUDIES)
projects = st.sampled_from(("A", "B"))
requests = st.sampled_from((1, 2, 3))
rows = st.sampled_from((("study", ""), ("series", "s"), ("transfer", "1"), ("transfer", "2")))


paths = st.sampled_from(("1.2.1/a", "1.2.1/b"))
RULE = Cause("rule", "1", 1)

happenings = st.lists(
    st.one_of(
        st.builds(
            lambda study, row: RowRefused(study=study, kind=row[0], key=row[1], row_position=1, field="f", message="m"),
            studies,
            rows,
        ),
        st.builds(lambda study, row: RowAccepted(study=study, kind=row[0], key=row[1]), studies, rows),
        st.builds(
            lambda study, project, replaced: a_request(study, project, RULE, replaces=tuple(replaced)),
            studies,
            projects,
            st.lists(requests, max_size=2, unique=True),
        ),
        st.builds(TransferPlaced, study=studies, request=requests, instance=st.just(1), found=st.booleans()),
        st.builds(
            TransferRetracted,
            study=studies,
            project=projects,
            request=requests,
            reason=st.just("r"),
            cause=st.just(RULE),
        ),
        st.builds(
            ConflictFound,
            study=studies,
            project=projects,
            event_name=st.just(""),
            kind=st.sampled_from(("equals", "person")),
            causes=st.just(()),
        ),
        st.builds(ConflictResolved, study=studies, project=projects, event_name=st.just("")),
        st.builds(StudyHeld, study=studies, project=projects, reason=st.sampled_from(("r", "s"))),
        st.builds(StudyReleased, study=studies, project=projects, reason=st.just("")),
        st.builds(FileRejected, path=paths, reason=st.just("r"), digest=st.just("d")),
        st.builds(RejectionResolved, path=paths, how=st.just("gone")),
    ),
    max_size=25,
)

PAIRS = (
    ("rejected_file", "position, path, reason"),
    ("held_study", "position, study, project, reason"),
    ("conflict", "position, study, project, event_name, kind"),
    ("refused_row", "position, study, kind, key, field, message"),
)


@settings(max_examples=60)
@given(happenings)
def test_what_is_open_in_a_view_is_what_stands_in_the_projection(database: Database, happened: Sequence[Fact]) -> None:
    with database.begin() as connection, connection.begin_nested() as savepoint:
        store = Store(site="main", run=UUID(int=1), clock=lambda: datetime(2026, 3, 2, tzinfo=UTC))
        arrived = [a_series(study, f"{study}.1") for study in STUDIES]
        events = store.append(connection, [in_plain(fact) for fact in (*arrived, *happened)])
        Projector(PROJECTIONS).advance(connection, events)
        for name, columns in PAIRS:
            shown = connection.execute(text(f"select {columns} from audit.{name} where open order by position"))
            stands = connection.execute(text(f"select {columns} from gateway.{name} order by position"))
            assert shown.all() == stands.all()
            ends = "open <> (ended_at is null) or open <> (ended_how is null)"
            assert connection.execute(text(f"select count(*) from audit.{name} where {ends}")).scalar_one() == 0
        savepoint.rollback()
