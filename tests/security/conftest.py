"""A ledger that somebody attacks: two patients, a run, all of it attested with the master key."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection

from ledger import attestation, guards, scan, verification, views
from ledger.database import Database
from ledger.errors import LedgerError
from ledger.migrations import FOLDER
from ledger.vault import SubjectName, Vault
from processors import run_codes
from processors.events.transfers import TransferObserved
from processors.gateway import Gateway
from processors.operations.forget.forgotten import forgotten_at
from processors.run import Report, recorded_run
from tests.flow.test_poison import guarded
from tests.flow.test_unreadable import spoiled
from tests.roles.conftest import auditor, made_role, writer
from tests.source.conftest import find, receiver
from tests.verification.program import Program, configured

__all__ = ["auditor", "find", "guarded", "made_role", "receiver", "spoiled", "writer"]  # fixtures

Verify = Callable[[], str]


@pytest.fixture
def program(database_url: str, key_file: Path, tmp_path: Path) -> Program:
    """The program as the owner of the tables."""
    return configured(tmp_path, url=database_url, key_file=key_file)


@pytest.fixture
def attested(gateway: Gateway) -> Database:
    """Two patients, each with a sealed event; a run, recorded; all of it attested."""
    with recorded_run(gateway, "run", Report()), gateway.begin() as work:
        for number in (1, 2):
            observed = TransferObserved(
                study=f"1.{number}", project="", event_name="", instance=1, fingerprint="", pseudonym=f"H-{number}"
            )
            work.record([work.seal(observed, SubjectName("patient", "", f"PID-{number}", f"PID{number}"))])
    gateway.attest()
    return gateway.database


@pytest.fixture
def verify(key_file: Path, database: Database) -> Verify:
    """What `fiona-ledger verify` finds first, in words; nothing where all holds. It takes no command to be started."""

    def found() -> str:
        with database.begin() as connection:
            return _of_events(connection) or _of_keys(connection, key_file)

    return found


@pytest.fixture
def verify_in(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Connection], str]:
    """The same as a transaction sees it that is under way; keys first, which is quicker."""
    monkeypatch.setattr(scan, "as_one_moment", lambda _: None)
    return lambda connection: _of_keys(connection, key_file) or _of_events(connection)


def _of_events(connection: Connection) -> str:
    try:
        verification.verify(connection)
        verification.verify_forgotten(connection, forgotten_at(connection))
    except LedgerError as exc:
        return str(exc)
    return ""


def _of_keys(connection: Connection, key_file: Path) -> str:
    try:
        vault = Vault.open(connection, key_file)
        attestation.verify(connection, vault)
        verification.verify_keys(connection, key_file)
        altered = run_codes.altered(connection, vault)
    except LedgerError as exc:
        return str(exc)
    return f"rows of gateway.run: {altered}" if altered else ""


@pytest.fixture
def made_otherwise(database: Database) -> Callable[[], list[str]]:
    """What `fiona-ledger verify` finds otherwise than `fiona-ledger migrate` makes it."""

    def found() -> list[str]:
        with database.begin() as connection:
            return [*guards.differences(connection, FOLDER), *views.differences(connection, FOLDER / "views")]

    return found
