"""Questions about one study or one day are answered by indexes: a ledger may hold millions of events."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.database import Database, open_database
from tests.benchmarks.bench_audit import Timing, add_runs, fill, measure
from tests.conftest import Server

EVENTS, DAYS = 12_000, 120


@pytest.fixture(scope="module")
def timings(server: Server, migrated: tuple[str, Path]) -> Iterator[list[Timing]]:
    """What was asked of a ledger with so many events over so many days, and how it was answered."""
    with server.fresh(template=migrated[0]) as name:
        database = open_database(server.url_of(name), Path("/nowhere"))
        fill(database, EVENTS, days=DAYS)
        add_runs(database)
        yield _measured(database)
        database.close()


def _measured(database: Database) -> list[Timing]:
    with database.begin() as connection:
        return list(measure(connection))


def test_one_study_or_one_day_is_found_without_reading_all_events(timings: list[Timing]) -> None:
    asked = [timing for timing in timings if timing.question.startswith("one")]
    assert len(asked) == 24  # nine views have studies, fifteen have days
    reading_all = [(t.view, t.question) for t in asked if "Seq Scan on event" in t.plan]
    assert reading_all == []


@pytest.mark.parametrize(
    ("view", "question", "index"),
    [
        ("event", "one study", "event_stream_version_key"),
        ("event", "one day", "event_recorded_at"),
        ("study", "one study", "study_pkey"),
        ("study", "one day", "study_arrival"),
        ("transfer", "one study", "transfer_study"),
        ("transfer", "one day", "event_recorded_at"),
        ("rejected_file", "one study", "event_rejected_file"),
        ("held_study", "one study", "event_stream_version_key"),
        ("conflict", "one study", "event_stream_version_key"),
        ("refused_row", "one study", "event_stream_version_key"),
        ("rule_hit", "one day", "event_recorded_at"),
        ("daily_volume", "one day", "event_recorded_at"),
    ],
)
def test_the_index_made_for_a_question_answers_it(timings: list[Timing], view: str, question: str, index: str) -> None:
    (plan,) = [timing.plan for timing in timings if (timing.view, timing.question) == (view, question)]
    assert index in plan


def test_the_questions_find_something(timings: list[Timing]) -> None:
    found = {(timing.view, timing.question) for timing in timings if timing.rows}
    nothing = {(timing.view, timing.question) for timing in timings} - found
    assert nothing <= {("attention", "one study")}


def test_counting_does_not_look_at_each_rows_life(timings: list[Timing]) -> None:
    """What a count does not need is left out of its plan, because each row joins at most one row of it."""
    (plan,) = [timing.plan for timing in timings if (timing.view, timing.question) == ("transfer", "count")]
    assert "event" not in plan
