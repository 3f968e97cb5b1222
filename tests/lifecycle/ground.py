"""What histories run on: one database that is emptied between them, and a REDCap without a network between.

A history is a dozen runs; a database and a server of its own would take as long as those.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from email.utils import format_datetime
from urllib.parse import urlencode

from sqlalchemy import Connection, text

from ledger.database import Database
from processors import run
from processors.clocks import ClockComparison
from processors.demo.simulator import Simulator
from processors.demo.simulator.replies import Reply, reply
from processors.errors import Unanswered
from processors.redcap import Redcap
from processors.redcap.calls import Call
from processors.redcap.transport import Response, Transport
from tests.conftest import Server
from tests.flow.harness import SteppingDatabase, Steps

ADDRESS = "http://redcap.example/api/"

_TABLES = text("""
    select format('%I.%I', table_schema, table_name) from information_schema.tables
     where table_schema in ('ledger', 'gateway') and table_type = 'BASE TABLE' order by 1
""")


class Ground:
    """A migrated database that is as new after each `clear`: its connections and their plans are kept."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.database = Database(url)
        with self.database.begin() as connection:
            # What makes the ledger append-only stands in the way of emptying it; other tests hold it.
            tables = list(connection.execute(_TABLES).scalars())
            for table in tables:
                if table.startswith("ledger."):
                    connection.execute(text(f"alter table {table} disable trigger user"))
            rows = {table: found for table in tables if (found := _rows(connection, table)) is not None}
        # Foreign keys keep still as well. Emptied by truncating, forty tables took 0.2 s.
        self._clearing = ";".join(
            [
                "set local session_replication_role = replica",
                *(f"delete from {table}" for table in tables),
                *(f"insert into {t} select * from json_populate_recordset(null::{t}, '{r}')" for t, r in rows.items()),
            ]
        )

    def clear(self) -> None:
        """Leaves what a migrated database holds."""
        with self.database.begin() as connection:
            connection.exec_driver_sql(self._clearing)

    def stepping(self, steps: Steps) -> SteppingDatabase:
        """The database as a run sees it that may be killed at a step."""
        return _SharedSteppingDatabase(self.database, steps)

    def close(self) -> None:
        self.database.close()


@contextmanager
def postgresql_says(now: datetime) -> Iterator[None]:
    """Meanwhile it is told as PostgreSQL's time, which cannot be set as a test wants it."""
    asked = run._CLOCKS
    run._CLOCKS = text(asked.text.replace("clock_timestamp()", f"'{now.isoformat()}'::timestamptz"))
    try:
        yield
    finally:
        run._CLOCKS = asked


def _rows(connection: Connection, table: str) -> str | None:
    rows = connection.execute(text(f"select json_agg(t)::text from {table} as t")).scalar_one()
    return None if rows is None else str(rows)


@contextmanager
def a_ground(server: Server, template: str) -> Iterator[Ground]:
    """A ground in a database of its own, migrated as the template is."""
    with server.fresh(template=template) as name:
        ground = Ground(server.url_of(name))
        yield ground
        ground.close()


class _SharedSteppingDatabase(SteppingDatabase):
    """Steps of its own on connections that it shares."""

    def __init__(self, shared: Database, steps: Steps) -> None:
        self.engine = shared.engine
        self._steps = steps


class Guarded(Simulator):
    """Behind a firewall that stops imports in which it finds what it is `looking_for`."""

    looking_for = ""

    def handle(self, address: str, body: bytes, content_type: str) -> Reply:
        if self.looking_for and b"data=" in body and self.looking_for.encode() in body:
            return reply("<html>Request Rejected. Your support ID is: 4711</html>", "html", 403)
        return super().handle(address, body, content_type)


class _InProcess(Transport):
    """Hands calls to the simulator as HTTP would have brought them."""

    def __init__(self, simulator: Simulator, steps: Steps, clocks: ClockComparison) -> None:
        super().__init__(url=ADDRESS, rate_limit=steps, timeout_seconds=10, ca_bundle=None, clocks=clocks)
        self._simulator = simulator
        self._steps = steps

    def _post(self, call: Call) -> Response:
        self._steps.take()
        self.sent += 1
        body = urlencode({"token": call.token, **call.form}).encode()
        answer = self._simulator.handle("127.0.0.1", body, "application/x-www-form-urlencoded")
        if answer.is_reset:
            raise Unanswered(call.message("a connection that was cut off", call.outcome))
        if answer.status == 200:
            self._hear(format_datetime(self._simulator.now()))
        return Response(status=answer.status, body=answer.body, url=ADDRESS)


@contextmanager
def redcap_in_process(
    simulator: Simulator, tokens: dict[str, str], steps: Steps, clocks: ClockComparison
) -> Iterator[Redcap]:
    """The client, connected to a simulator that need not be started."""
    with Redcap(url=ADDRESS, tokens=tokens, rate_limit=steps, sleep=lambda _seconds: None) as redcap:
        redcap._transport.close()
        redcap._transport = _InProcess(simulator, steps, clocks)
        yield redcap
