"""Killed at any batch, the next run goes on and ends as an undisturbed one."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection

from ledger.database import open_database
from ledger.vault import Vault
from processors.events.series import StudyReturned
from processors.gateway import Gateway
from processors.source import changes
from processors.source.batches import BATCH, MAX_BYTES, reading_batches
from processors.source.discover import discover
from processors.source.record import _batches
from processors.source.tree import FileEntry, Folder
from tests.conftest import Server, SettableClock
from tests.source.mortal import Killed, Mortal
from tests.source.receiver import Receiver, history


@pytest.fixture
def gateways(
    server: Server, migrated: tuple[str, Path], clock: SettableClock, tmp_path: Path
) -> Iterator[Callable[[], Mortal]]:
    """Makes gateways on ledgers of their own."""
    with ExitStack() as stack:

        def make() -> Mortal:
            name = stack.enter_context(server.fresh(template=migrated[0]))
            database = open_database(server.url_of(name), tmp_path)
            stack.callback(database.close)
            with database.begin() as connection:
                vault = Vault.open(connection, migrated[1])
            return Mortal(database=database, vault=vault, site="main", clock=clock, run=uuid4())

        yield make


def test_a_run_killed_at_any_transaction_is_completed_by_the_next(
    gateways: Callable[[], Mortal], receiver: Receiver, clock: SettableClock
) -> None:
    receiver.summary("1.1", "1")
    receiver.summary("1.2", "1", NumFiles="1")
    receiver.summary("1.3", "1")
    receiver.file("1.4/1.json", b"[")
    undisturbed, mortal = gateways(), gateways()
    find = partial(discover, raw=receiver.raw, settle_seconds=60)

    def change() -> None:
        clock.advance(4000)
        shutil.rmtree(receiver.raw / "1.1")
        receiver.summary("1.2", "1", NumFiles="2")
        receiver.summary("1.4", "1")
        receiver.summary("1.5", "1")

    for changed in (False, True):
        if changed:
            change()
        find(undisturbed)
        deaths = 0
        while True:
            mortal.lives = deaths + 1
            try:
                find(mortal)
            except Killed:
                deaths += 1
            else:
                break
        assert deaths > 3
        mortal.lives = None
    assert history(mortal) == history(undisturbed)
    assert find(mortal).listed == 0


def test_a_run_killed_between_batches_goes_on(gateways: Callable[[], Mortal], receiver: Receiver) -> None:
    """Folders count towards a batch as well, so 2,600 studies of one series make two."""
    for number in range(2_600):
        study = f"1.{number:04}"
        place = receiver.raw / study / "1.json"
        place.parent.mkdir()
        place.write_bytes(b'{"StudyInstanceUID":"%s","SeriesInstanceUID":"1"}' % study.encode())
        receiver.made(place)
    undisturbed, killed = gateways(), gateways()
    find = partial(discover, raw=receiver.raw, settle_seconds=60)
    find(undisturbed)

    def kill(_: int, __: int) -> None:
        raise Killed

    with pytest.raises(Killed):
        find(killed, progress=kill)
    found = find(killed)
    assert (found.discovered, found.read) == (100, 100)
    assert history(killed) == history(undisturbed)
    with killed.begin() as work:
        assert _dump(work.connection) == _dump_of(undisturbed)


def _dump_of(gateway: Gateway) -> list[Any]:
    with gateway.begin() as work:
        return _dump(work.connection)


def _dump(connection: Connection) -> list[Any]:
    series = "(select study, series, position, stated, present from gateway.series)"
    tables = ("gateway.folder", "gateway.file", f"{series} as series", "gateway.rejected_file")
    return [sorted(map(tuple, connection.exec_driver_sql(f"select * from {table}"))) for table in tables]


def test_no_batch_holds_more_events_than_it_may() -> None:
    fact = StudyReturned(StudyInstanceUID="1")
    made = [changes.Finding([fact] * (number % 4)) for number in range(9_000)]
    batches = list(_batches(made))
    assert [finding for batch in batches for finding in batch] == made
    assert max(sum(len(finding.facts) for finding in batch) for batch in batches) <= BATCH
    assert len(batches) == 3


def test_parts_of_a_plan_hold_all_of_it() -> None:
    small = [FileEntry(f"{n}.json", f"{n}.json", 1, 10) for n in range(2 * BATCH + 1)]
    large = [FileEntry(f"{n}.json", f"{n}.json", 1, MAX_BYTES // 3) for n in range(7)]
    for entries in (small, large):
        plan = changes.FolderPlan(Folder("1", "1", 5), entries, ["gone"], 5)
        parts = [part for batch in reading_batches([plan]) for part in batch]
        assert [entry for part in parts for entry in part.changed] == entries
        assert [part.last for part in parts] == [False] * (len(parts) - 1) + [True]
        assert [part.gone for part in parts][-1] == ["gone"]
        assert parts[-1].mtime_ns == changes.LOOK_AGAIN
        assert len(parts) == 3 if entries is small else 4
