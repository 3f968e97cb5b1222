"""What the tables let in is what events can say: no run meets a check of one word where the code has another."""

import re
from typing import get_args

import pytest
from sqlalchemy import text

from ledger.database import Database
from processors.delivery.reconcile.diff import Kind as DifferenceKind
from processors.events.deliveries import RowKind
from processors.events.fact import CauseKind
from processors.events.rules import ConflictKind
from processors.projections import PROJECTIONS
from processors.requests import ReportState, State

WORDS = {
    "transfer.cause_kind": set(get_args(CauseKind)),
    "transfer.state": set(get_args(State)),
    "conflict.kind": set(get_args(ConflictKind)),
    "refused_row.kind": set(get_args(RowKind)),
    "refused_kind.kind": set(get_args(RowKind)),
    "missing_row.kind": set(get_args(RowKind)),
    "outcome.state": set(get_args(ReportState)),
    # That an ID is missing in AutoID is never accepted.
    "accepted_difference.kind": set(get_args(DifferenceKind)) - {"generated ID"},
    "used_id.kind": {"generated", "adopted", "reserved"},
    "moved_in.how": {"adopted", "fresh"},
}

UNIQUE_BESIDE_KEYS = {
    "study_stream": "a study's stream is its UID, which is the key",
    "decision_by_hand_study_project_event_name_key": "the statement goes by it",
    "outcome_of_others": "the statements go by it",
    "used_id_project_subject_key": "drawing and adopting look with the head locked; whatever gets past is set apart",
    "pseudonym_use_occupied": "decisions look before; two sites at the same moment, or a fault of ours, are set apart",
}
"""Every other unique index of a projected table, and why no run ends by it."""

_CHECKS = text("""
    select relname || '.' || string_agg(attname, ',' order by attnum) as columns, pg_get_constraintdef(c.oid) as said
      from pg_constraint as c join pg_class on pg_class.oid = conrelid
      join pg_attribute on attrelid = conrelid and attnum = any(conkey)
     where contype = 'c' and conrelid::regclass::text = any(:tables) group by c.oid, relname
""")
_UNIQUE = text("""
    select indexrelid::regclass::text from pg_index
     where indisunique and not indisprimary and indrelid::regclass::text = any(:tables)
""")
TABLES = {"tables": [table for projection in PROJECTIONS for table in projection.tables]}


@pytest.fixture
def database(passing_database: Database) -> Database:
    return passing_database


def test_each_word_that_an_event_can_say_is_let_in_and_no_other(database: Database) -> None:
    with database.begin() as connection:
        checks = {row.columns: row.said for row in connection.execute(_CHECKS, TABLES)}
    words = {columns: set(re.findall(r"'([^']+)'::text", said)) for columns, said in checks.items() if "ANY" in said}
    assert words == WORDS
    assert checks.keys() - words.keys() == {"used_id.kind,subject", "pseudonym_use.patient,occupies"}


def test_each_unique_index_beside_the_keys_is_known_to_end_no_run(database: Database) -> None:
    with database.begin() as connection:
        found = {name.removeprefix("gateway.") for name in connection.execute(_UNIQUE, TABLES).scalars()}
    assert found == UNIQUE_BESIDE_KEYS.keys()
