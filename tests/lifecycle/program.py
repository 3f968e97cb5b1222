"""The product as this machine uses it: runs and commands, each opened anew, in this process."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal
from uuid import uuid4

from sqlalchemy import text

from ledger.vault import Vault
from processors.cli.bootstrap import compared_clocks
from processors.cli.commands.acknowledge import waiting_at
from processors.cli.override import end_of
from processors.configuration.settings import Configuration, RedcapSection, SenderSection, SourceSection
from processors.delivery.deliver import deliver
from processors.delivery.reconcile.compare import reconcile
from processors.delivery.reconcile.scope import Scope as Compared
from processors.delivery.reconcile.settle import accept, restore
from processors.errors import ConfigurationError
from processors.gateway import Gateway
from processors.operations.replay import Scope, replay
from processors.requests import TransferRequest
from processors.routing.configured_checks import LASTING
from processors.routing.join import Joining, join
from processors.routing.overrides import Amendment, amend
from processors.routing.participants import Withdrawal
from processors.routing.unplaced import hold_unplaced
from processors.routing.withdraw import withdraw
from processors.run import Report, Run, hear_database, require_right_clock
from processors.stored_requests import requests_of
from tests.conftest import SettableClock
from tests.flow.harness import ZONE, Site, Steps
from tests.lifecycle.ground import ADDRESS, Ground, postgresql_says, redcap_in_process
from tests.source.receiver import Receiver

BATCH_ROWS = 3

_ATTENTION = text("""
    select shown.kind, shown.position, shown.study, coalesce(shown.project, transfer.project) as project
      from audit.attention as shown
      left join gateway.transfer on shown.subject = 'transfer ' || transfer.position
     where shown.study is not null or shown.kind = 'rows refused by the project'
     order by shown.position, shown.kind
""")

Said = Literal["done", "not yet", "nothing there"]


MAIN = "main"
NORTH = "north"
"""The two sites that share the ledger. Operators work at the first."""


@dataclass(frozen=True)
class Shown:
    """A line of `status`; `study` None where it concerns all of them, `project` None where the whole study."""

    kind: str
    position: int
    study: str | None
    project: str | None


@dataclass
class Clocks:
    """The clock of the gateway's machine, and by how much it is `ahead` of REDCap's.

    PostgreSQL's is right, too, unless it runs on the gateway's machine: then it is what goes `with_it`.
    """

    machine: SettableClock
    ahead: timedelta = timedelta(0)
    with_it: str = ""

    def right(self) -> datetime:
        """What REDCap's says."""
        return self.machine() - self.ahead

    def of_postgresql(self) -> datetime:
        """What PostgreSQL's says."""
        return self.machine() if self.with_it else self.right()

    @property
    def is_wrong(self) -> bool:
        """Whether a run must notice and decide nothing."""
        return abs(self.ahead) > timedelta(hours=1)


@dataclass
class Program:
    """What an operator and cron call. Each of its verbs may raise `ServiceError`, or be killed at a step."""

    ground: Ground
    site: Site
    key_file: Path
    sender: SenderSection
    clocks: Clocks
    receivers: dict[str, Receiver]

    @contextmanager
    def opened(self, steps: Steps, at: str = MAIN, *, is_run: bool = False) -> Iterator[Run]:
        """Everything opened as a process of its own would, at a site."""
        site = self.site
        configuration = Configuration(
            source=SourceSection(raw=self.receivers[at].raw),
            redcap=RedcapSection(url=ADDRESS, insecure=True, batch_rows=BATCH_ROWS, tokens=site.tokens),  # type: ignore[arg-type]
        )
        clocks = compared_clocks(configuration, self.clocks.machine)
        with redcap_in_process(site.simulator, site.tokens, steps, clocks) as redcap:
            gateway = self._gateway(steps, at)
            with postgresql_says(self.clocks.of_postgresql()):
                if is_run:
                    require_right_clock(gateway, redcap, clocks)
                else:
                    hear_database(gateway, clocks)
            gateway.catch_up()
            yield Run(gateway, redcap, configuration, Report(), steps.announce)

    def _gateway(self, steps: Steps | None = None, at: str = MAIN) -> Gateway:
        database = self.ground.database if steps is None else self.ground.stepping(steps)
        with database.begin() as connection:
            vault = Vault.open(connection, self.key_file)
        return Gateway(
            database=database,
            vault=vault,
            site=at,
            clock=self.clocks.machine,
            run=uuid4(),
            zone=ZONE,
            sender=self.sender,
            raw=self.receivers[at].raw,
        )

    def run(self, steps: Steps, at: str = MAIN) -> Report:
        """The periodic run of a site."""
        with self.opened(steps, at, is_run=True) as run:
            run.incoming()
            run.count_attention()
            return run.report

    def override(self, study: str, project: str, event: str | None, name: str | None, steps: Steps) -> Said:
        """`retract`, or `reassign` to the name; what it said."""
        amendment = Amendment(
            study=study, project=project, event_name=event, pseudonym=name, by="kari", reason="ticket 4711"
        )
        with self.opened(steps) as run:
            try:
                requests = amend(run.gateway, amendment).requests
            except ConfigurationError as exc:
                return "not yet" if "waits to be taken back" in str(exc) else "nothing there"
            hold_unplaced(run.gateway, LASTING)
            deliver(run.gateway, run.redcap, batch_rows=BATCH_ROWS)
            ends = [end_of(run.gateway, request) for request in requests]
            return "not yet" if any(end.waits for end in ends) else "done"

    def decide(self, study: str, project: str) -> None:
        """`retract` at another site, of which no more is done yet than to record it."""
        amendment = Amendment(
            study=study, project=project, event_name=None, pseudonym=None, by="ola", reason="ticket 1"
        )
        with suppress(ConfigurationError):
            amend(self._gateway(), amendment)

    def withdraw(self, patient_id: str, project: str, steps: Steps) -> None:
        """`withdraw`, by PatientID."""
        with self.opened(steps) as run:
            with run.gateway.begin() as work:
                withdraw(work, Withdrawal(project=project, patient_ids=[patient_id], by="kari", reason="case 17"))
            deliver(run.gateway, run.redcap, batch_rows=BATCH_ROWS)

    def join(self, study: str, project: str) -> bool:
        """`same-patient`; False where there is nothing to be said."""
        try:
            join(self._gateway(), Joining(study=study, project=project, other=None, by="kari", reason="ticket 2"))
        except ConfigurationError:
            return False
        return True

    def acknowledge(self, position: int) -> bool:
        """Takes a notice off the list, if it is one that can be."""
        with self._gateway().begin() as work:
            found = waiting_at(work, [position]).get(position)
            if found is not None:
                work.record([found.seen("kari", "checked")])
            return found is not None

    def replay(self, project: str, steps: Steps) -> bool:
        """`replay --project`; False where nothing is known of the project."""
        with self.opened(steps) as run:
            try:
                replay(run, Scope(project=project), by="kari")
            except ConfigurationError:
                return False
            return True

    def restore(self, steps: Steps) -> None:
        """`reconcile --restore`."""
        with self.opened(steps) as run:
            found = reconcile(run.gateway, run.redcap, Compared())
            restore(run.gateway, run.redcap, found.differences, batch_rows=BATCH_ROWS)

    def accept(self, steps: Steps) -> set[str]:
        """`reconcile --accept`; the studies of which rows were gone."""
        with self.opened(steps) as run:
            found = reconcile(run.gateway, run.redcap, Compared())
            accept(run.gateway, found.differences, by="kari", reason="meant so")
            return {different.study for different in found.differences}

    # -- what it tells --------------------------------------------------------------------------------------

    def shown(self) -> list[Shown]:
        """What `status` shows."""
        with self.ground.database.begin() as connection:
            return [Shown(*row) for row in connection.execute(_ATTENTION)]

    def requests(self, study: str) -> list[TransferRequest]:
        """All that was ever requested for the study, with its pseudonyms."""
        with self._gateway().begin() as work:
            return requests_of(work, [study]).get(study, [])
