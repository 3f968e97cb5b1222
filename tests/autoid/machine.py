"""Whole runs, both processors, as a machine with nothing but its configuration makes them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from uuid import uuid4

from ledger.database import Database
from ledger.vault import Vault
from processors.configuration.settings import (
    AutoidSection,
    Configuration,
    RedcapSection,
    SenderSection,
    SourceSection,
)
from processors.gateway import Gateway
from processors.locks import only_run
from processors.placeholders import USUAL, Placeholders
from processors.redcap import Redcap
from processors.run import Report, Run
from tests.conftest import SettableClock
from tests.flow.harness import ZONE, SteppingDatabase, Steps
from tests.processes import context


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a run has to know; it can be sent to another process."""

    database_url: str
    key_file: Path
    raw: Path
    redcap_url: str
    tokens: dict[str, str]
    clock: SettableClock
    site: str = "main"
    generator: Path | None = None
    generator_seconds: float = 20
    window_days: int = 14
    placeholders: tuple[str, ...] = USUAL
    sender: SenderSection | None = None

    def run(self, steps: Steps | None = None, *, only_autoid: bool = False, all_of: str | None = None) -> Report | None:
        """One run with everything opened anew; None where another one is under way."""
        steps = steps or Steps()
        configuration = self._configuration()
        with self.gateway(steps) as gateway, only_run(gateway) as busy:
            if busy is not None:
                return None
            report = Report()
            with self.redcap(steps) as redcap:
                gateway.catch_up()
                run = Run(gateway, redcap, configuration, report, steps.announce)
                try:
                    if not only_autoid:
                        run.incoming()
                    run.autoid(all_of=all_of)
                finally:
                    report.calls = redcap.calls
                run.count_attention()
        return report

    @contextmanager
    def gateway(self, steps: Steps | None = None) -> Iterator[Gateway]:
        database = Database(self.database_url) if steps is None else SteppingDatabase(self.database_url, steps)
        try:
            with database.begin() as connection:
                vault = Vault.open(connection, self.key_file)
            yield Gateway(
                database=database,
                vault=vault,
                site=self.site,
                clock=self.clock,
                run=uuid4(),
                zone=ZONE,
                placeholders=Placeholders(self.placeholders),
                sender=self.sender,
            )
        finally:
            database.close()

    def redcap(self, steps: Steps | None = None) -> Redcap:
        return Redcap(
            url=self.redcap_url,
            tokens=self.tokens,
            rate_limit=steps or Steps(),
            sleep=lambda _seconds: None,
            timeout_seconds=20,
        )

    def start(self, *, fatal: int | None = None) -> BaseProcess:
        """A run in a process of its own, which kills itself at the step with the number `fatal`."""
        process = context().Process(target=_run, args=(self, fatal))
        process.start()
        return process

    def _configuration(self) -> Configuration:
        return Configuration(
            source=SourceSection(raw=self.raw),
            redcap=RedcapSection(url=self.redcap_url, tokens={"incoming": "", **self.tokens}),  # type: ignore[arg-type]
            autoid=AutoidSection(
                window_days=self.window_days,
                generator=self.generator,
                generator_timeout_seconds=self.generator_seconds,
            ),
        )


def _run(machine: Machine, fatal: int | None) -> None:
    machine.run(Steps(fatal=fatal, kill=Steps.sigkill))
