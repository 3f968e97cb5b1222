"""Ledgers as earlier versions left them: upgraded, they verify, can be read, and are replayed without asking twice."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest

from ledger import attestation, store, verification
from ledger.database import open_database
from ledger.events import Event
from ledger.vault import Vault
from processors.demo.simulator import standard_projects
from processors.demo.simulator.state import read_state
from processors.events import FACTS
from processors.operations.forget.forgotten import forgotten_at
from processors.operations.replay import Scope
from processors.projections import PROJECTIONS
from tests.conftest import Server, SettableClock
from tests.flow.harness import HEART, Site, simulator_of, without_minutes
from tests.operations.operator import replay_all
from tests.upgrades.kept import EVENTS, REDCAP, load, releases


@pytest.fixture(scope="module", params=releases(), ids=lambda folder: folder.name)
def site(request: pytest.FixtureRequest, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A kept ledger, upgraded, an hour after its last event, with the REDCap that it knew."""
    kept = request.param
    folder = tmp_path_factory.mktemp(kept.name)
    clock, projects = SettableClock(), standard_projects()
    read_state(kept / REDCAP, projects)
    with ExitStack() as stack:
        url = server.url_of(stack.enter_context(server.fresh()))
        key_file = folder / "vault.key"
        with closing(open_database(url, folder)) as database:
            load(database, kept, key_file)
            with database.begin() as connection:
                *_, last = store.read(connection)
        clock.now = last.recorded_at + timedelta(hours=1)
        simulator = stack.enter_context(simulator_of(projects, clock))
        made = Site(folder=folder, database_url=url, key_file=key_file, clock=clock, simulator=simulator)
        stack.callback(made.close)
        yield made


def test_it_verifies_and_its_keys_open(site: Site) -> None:
    with closing(open_database(site.database_url, site.key_file.parent)) as database:
        with database.begin() as connection:
            assert verification.verify(connection).forgotten > 0
            verification.verify_forgotten(connection, forgotten_at(connection))
        with database.begin() as connection:
            assert verification.verify_keys(connection, site.key_file) > 0
            attestation.verify(connection, Vault.open(connection, site.key_file))


def test_every_event_is_read_as_todays_types(site: Site) -> None:
    with closing(open_database(site.database_url, site.key_file.parent)) as database, database.begin() as connection:
        facts = [FACTS[event.type].read(event) for event in store.read(connection)]
    assert {"SeriesDiscovered", "TransferSent", "SubjectForgotten"} <= {type(fact).__name__ for fact in facts}


@pytest.mark.parametrize("kept", releases(), ids=lambda folder: folder.name)
def test_an_event_of_each_type_that_there_was_is_read_as_it_was_stored(kept: Path) -> None:
    """Where this fails, a ledger of that version can no longer be read: see docs/extending.md on fields of events.

    Before the first release, `python -m tests.upgrades NAME` makes the folder anew instead.
    """
    stored = orjson.loads((kept / EVENTS).read_bytes())
    assert len(stored) >= 100
    unread = [name for name, data in stored.items() if name not in FACTS or not is_read(name, data)]
    assert unread == []


def is_read(name: str, data: dict[str, Any]) -> bool:
    event = Event(
        position=1,
        event_id=UUID(int=1),
        site="main",
        stream="",
        version=1,
        type=name,
        schema_version=1,
        data=data,
        subject=None,
        sealed=None,
        recorded_at=datetime(2026, 3, 2, tzinfo=UTC),
        run=UUID(int=1),
        hash=b"",
    )
    try:
        FACTS[name].read(event)
    except TypeError:
        return False
    return True


def test_replayed_it_asks_for_nothing_twice(site: Site) -> None:
    before = {study: without_minutes(site.transfer_rows(study)) for study in site.incoming.records}
    done = replay_all(site, Scope(project=HEART))
    assert done.replayed.studies == len(before) > 0
    assert {study: without_minutes(site.transfer_rows(study)) for study in site.incoming.records} == before
    with closing(open_database(site.database_url, site.key_file.parent)) as database, database.begin() as connection:
        assert verification.compare(connection, PROJECTIONS) == []
