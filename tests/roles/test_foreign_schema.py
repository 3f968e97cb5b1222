"""A schema of one of the ledger's names that belongs to somebody else, and is empty."""

from contextlib import closing

import psycopg
import pytest

from ledger.database import Database
from ledger.errors import Misconfigured
from ledger.migrations import migrate
from tests.roles.conftest import MakeRole, as_role


def test_it_is_refused_as_one_and_not_as_a_right_that_grant_would_give(made_role: MakeRole, empty_url: str) -> None:
    with psycopg.connect(empty_url, autocommit=True) as owner:
        owner.execute("create schema audit")
    with (
        closing(Database(as_role(empty_url, made_role("newcomer")))) as database,
        pytest.raises(Misconfigured, match=r"without a schema 'audit'.*may make nothing"),
    ):
        migrate(database)
