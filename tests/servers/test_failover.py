"""A primary with a synchronous standby: the primary is killed, the standby takes over, nothing acknowledged is lost."""

import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from ledger import verification
from ledger.chain import KeptHead
from ledger.database import Database, open_database
from ledger.errors import Unreachable
from ledger.migrations import migrate
from ledger.programs import Programs
from tests.ledger.samples import everything, fact, the_store
from tests.servers.cluster import Cluster, cluster

BEFORE, AFTER = 40, 5


@pytest.fixture
def pair(programs: Programs) -> Iterator[tuple[Cluster, Cluster]]:
    """A primary that acknowledges only what its standby has written too."""
    with cluster(programs) as primary, cluster(programs) as standby:
        primary.initialise()
        primary.start()
        standby.run(
            "pg_basebackup",
            f"--pgdata={standby.data}",
            f"--host={primary.folder}",
            "--username=postgres",
            "--write-recovery-conf",
            "--checkpoint=fast",
        )
        standby.start()
        primary.execute("alter system set synchronous_standby_names = '*'")
        primary.execute("select pg_reload_conf()")
        while primary.execute("select sync_state from pg_stat_replication") != [("sync",)]:
            pass
        yield primary, standby


def both(primary: Cluster, standby: Cluster) -> str:
    hosts = f"{primary.folder},{standby.folder}"
    return f"postgresql://postgres@/postgres?host={hosts}&port=5432,5432&target_session_attrs=read-write"


class Writer(threading.Thread):
    """Appends without end, and remembers each head that was acknowledged."""

    def __init__(self, database: Database) -> None:
        super().__init__(daemon=True)
        self.database = database
        self.acknowledged: list[KeptHead] = []
        self.enough = threading.Event()
        self.ended_by: Exception | None = None

    def run(self) -> None:
        try:
            while True:
                self.acknowledged.append(append_one(self.database))
                if len(self.acknowledged) == BEFORE:
                    self.enough.set()
        except Unreachable as exc:
            self.ended_by = exc


def append_one(database: Database) -> KeptHead:
    with database.begin() as connection:
        (event,) = the_store().append(connection, [fact(f"s/{uuid4()}")])
    return KeptHead(event.position, event.hash, "acknowledged")


def test_a_primary_that_is_killed_loses_nothing_that_was_acknowledged(
    pair: tuple[Cluster, Cluster], tmp_path: Path
) -> None:
    primary, standby = pair
    database = open_database(both(primary, standby), tmp_path)
    try:
        migrate(database)
        writer = Writer(database)
        writer.start()
        assert writer.enough.wait(60)
        primary.kill()
        writer.join(60)
        assert isinstance(writer.ended_by, Unreachable)
        standby.execute("select pg_promote()")
        after = [append_one(database) for _ in range(AFTER)]
        heads = [*writer.acknowledged, *after]
        with database.begin() as connection:
            found = verification.verify(connection, heads=heads)
        assert found.position == after[-1].position
        positions = {event.position for event in everything(database)}
        assert {head.position for head in heads} <= positions
        assert len(writer.acknowledged) >= BEFORE
    finally:
        database.close()


def test_while_no_server_takes_changes_the_ledger_is_unreachable(pair: tuple[Cluster, Cluster], tmp_path: Path) -> None:
    primary, standby = pair
    database = open_database(both(primary, standby), tmp_path)
    try:
        migrate(database)
        primary.kill()
        with pytest.raises(Unreachable):
            append_one(database)
        with pytest.raises(Unreachable, match="read-only"):
            append_one(database)
    finally:
        database.close()
