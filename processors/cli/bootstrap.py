"""Opening what a command works with: configuration, ledger, REDCap."""

import os
import pwd
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from socket import gethostname
from typing import TypeVar
from uuid import getnode

from ledger.database import Database, ignore_variables
from ledger.errors import LedgerError, Misconfigured
from ledger.events import new_event_id
from ledger.migrations import require_migrated
from ledger.store import Clock
from processors.cli import console
from processors.cli.exit_codes import ending
from processors.clocks import ClockComparison
from processors.configuration.file import load, resolve, withhold
from processors.configuration.settings import Configuration, LedgerSection
from processors.delivery.restored import note_pause
from processors.errors import ConfigurationError, ServiceError
from processors.gateway import Gateway, open_gateway, open_gateway_database
from processors.locks import only_run
from processors.operations.rebuild import emptied_tables, is_ahead
from processors.redcap import Redcap, SharedRateLimit
from processors.redcap.transport import Waiting
from processors.run import (
    IDLE_RUNS_KEPT,
    Report,
    Rhythm,
    Run,
    Step,
    hear_database,
    recorded_run,
    require_right_clock,
    timed,
)
from processors.stopwatch import Server, Stopwatch

_Client = TypeVar("_Client", bound=Redcap)


def now() -> datetime:
    """The present moment, with the machine's own zone."""
    return datetime.now().astimezone()


def operator(environment: Mapping[str, str] = os.environ) -> str:
    """The account of whoever gives the command, as the system knows it; beside it what $SUDO_USER says.

    That is no more than said: whoever has the account can set it to any name.
    """
    try:
        # Not getpass.getuser(): it believes the environment.
        account = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        # A service may run under a number that no account has.
        account = f"uid {os.getuid()}"
    said = environment.get("SUDO_USER", "")
    return f"{account} ($SUDO_USER says: {said})" if said and said.isprintable() else account


def machine() -> str:
    """This machine, told from a clone of it that runs at the same time: its name, and which start of it this is."""
    try:
        start = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        start = f"{getnode():x}"
    return f"{gethostname()} ({start[:8]})"


def configured(config: Path | None) -> Configuration:
    """The configuration, its tokens taken from the environment, and what would lead to another database."""
    # Before anything is started: the embedded PostgreSQL and a site's generator inherit the environment.
    configuration = withhold(load(config), os.environ)
    ignore_variables(os.environ)
    return configuration


@contextmanager
def opened_database(config: Path | None, *, with_redcap: bool = False) -> Iterator[tuple[Configuration, Database]]:
    """The configuration and the database it names; `with_redcap`: it must say how REDCap is reached."""
    configuration = configured(config)
    if with_redcap:
        _ = configuration.redcap
    database = open_gateway_database(configuration.ledger)
    try:
        yield configuration, database
    finally:
        database.close()


@contextmanager
def opened_ledger(config: Path | None) -> Iterator[tuple[Configuration, Database]]:
    """The configuration and the database of a ledger that fits the program; its key is not asked for."""
    with opened_database(config) as (configuration, database):
        with database.begin() as connection:
            require_migrated(connection)
        yield configuration, database


@contextmanager
def opened_gateway(
    config: Path | None, *, with_keys: bool = True, clock: Clock = now
) -> Iterator[tuple[Configuration, Gateway]]:
    """The configuration and the ledger that it names, set up; with its keys, or opening them at need."""
    with (
        opened_database(config) as (configuration, database),
        _gateway_on(database, configuration, clock, with_keys=with_keys) as gateway,
    ):
        yield configuration, gateway


@contextmanager
def _gateway_on(
    database: Database, configuration: Configuration, clock: Clock, *, with_keys: bool = True
) -> Iterator[Gateway]:
    """The ledger for one command, set up; at its end is attested what it has appended."""
    gateway = open_gateway(
        database,
        configuration.ledger,
        clock=clock,
        run=new_event_id(),
        key_made=console.say_key_made,
        sender=configuration.sender,
        raw=configuration.source.raw,
        placeholders=configuration.autoid.nobody,
        with_keys=with_keys,
    )
    try:
        yield gateway
    except BaseException:
        # What was appended before the error is attested, too; the error that is told is the one that came first.
        with suppress(LedgerError):
            gateway.attest()
        raise
    finally:
        # Runs tell where it cannot be kept.
        with suppress(Misconfigured):
            gateway.keep_head(configuration.ledger.key_file)
    gateway.attest()


class Opened:
    """What runs work with and takes long to open: configuration and database, kept from one run to the next."""

    def __init__(self, config: Path | None) -> None:
        self.config = config
        # Tokens are taken out of the environment that others inherit; a configuration read again needs them again.
        self._environment = dict(os.environ)
        self._configuration: Configuration | None = None
        self._database: Database | None = None
        self._section: LedgerSection | None = None

    @property
    def configuration(self) -> Configuration:
        """The configuration, which tells how REDCap is reached. Raises `ConfigurationError`."""
        if self._configuration is None:
            configuration = withhold(configured(self.config), dict(self._environment))
            # Before a ledger is made for a run that cannot be.
            _ = configuration.redcap
            self._configuration = configuration
        return self._configuration

    @contextmanager
    def gateway(self, clock: Clock) -> Iterator[Gateway]:
        """The ledger for one run, its keys read anew: whoever was forgotten meanwhile is."""
        configuration = self.configuration
        if configuration.ledger != self._section:
            self.close()
        if self._database is None:
            self._database, self._section = open_gateway_database(configuration.ledger), configuration.ledger
        with _gateway_on(self._database, configuration, clock) as gateway:
            yield gateway

    def renew(self) -> None:
        """Has the configuration read again when it is needed next, and a database that does not answer opened anew."""
        self._configuration = None
        if self._database is not None:
            try:
                with self._database.begin():
                    pass
            except LedgerError:
                self.close()

    def close(self) -> None:
        """Ends the connections, and the embedded server where nobody else uses it and it does not stay."""
        database, self._database = self._database, None
        if database is not None:
            database.close()


@contextmanager
def opened_tables(config: Path | None) -> Iterator[tuple[Configuration, Gateway]]:
    """The configuration and the ledger, to read its tables as they stand; its keys are opened at need."""
    with opened_gateway(config, with_keys=False) as (configuration, gateway):
        _require_whole_tables(gateway)
        yield configuration, gateway


@contextmanager
def opened_exclusively(config: Path | None) -> Iterator[tuple[Configuration, Gateway]]:
    """The configuration and the ledger, brought up to date, while no run of the site can begin.

    Raises `ServiceError` where one is under way: the command has done nothing then.
    """
    with opened_gateway(config) as (configuration, gateway), only_run(gateway) as busy:
        if busy is not None:
            raise ServiceError(f"{busy.sentence()} So nothing was done: try again when it has ended.")
        hear_database(gateway, compared_clocks(configuration, gateway.clock))
        prepare(gateway)
        yield configuration, gateway


@contextmanager
def opened_redcap(configuration: Configuration, gateway: Gateway) -> Iterator[Redcap]:
    """The client for the configured REDCap, within the budget of calls that all runs share."""
    with redcap_client(
        Redcap, configuration, gateway.database, compared_clocks(configuration, gateway.clock)
    ) as redcap:
        yield redcap


@contextmanager
def opened_run(
    configuration: Configuration,
    gateway: Gateway,
    command: str,
    report: Report,
    stopwatch: Stopwatch | None = None,
    *,
    step: Step = console.step,
    rhythm: Rhythm | None = None,
) -> Iterator[Run]:
    """A run on the configured REDCap, of which the ledger keeps a row; a stopwatch measures where its time goes."""
    # What is wrong with the tokens is a way for a run to end, and recorded as one.
    clocks = compared_clocks(configuration, gateway.clock)
    idle_kept = IDLE_RUNS_KEPT if rhythm is None else rhythm.idle_kept
    with (
        recorded_run(gateway, command, report, ending=ending, machine=machine(), idle_kept=idle_kept),
        redcap_client(Redcap, configuration, gateway.database, clocks, _waiting("REDCap", stopwatch)) as redcap,
        nullcontext() if stopwatch is None else gateway.database.watched(_waiting("PostgreSQL", stopwatch)),
    ):
        try:
            require_right_clock(gateway, redcap, clocks)
            yield Run(gateway, redcap, configuration, report, timed(step, report, stopwatch), rhythm)
        finally:
            report.calls = redcap.calls
            # The demo's clock is meant to differ.
            if command != "demo":
                report.warnings += clocks.warnings()
                report.seconds_ahead = {whose: ahead.total_seconds() for whose, ahead in clocks.differences.items()}
            report.certificate_ends = redcap.certificate_ends


def prepare(gateway: Gateway, *, exclusive: bool = False, step: Step = console.step) -> None:
    """Brings the tables up to date. Raises `ConfigurationError` where somebody has emptied one by hand.

    To be called with the lock held, before which another version of the program may have been here.
    `exclusive`: the caller keeps all runs away.
    """
    gateway.database.require_connections()
    with gateway.begin() as work:
        require_migrated(work.connection)
        note_pause(work)
    with step("Catching up") as progress:
        gateway.catch_up(progress, alone=exclusive)
        _require_whole_tables(gateway)


def _require_whole_tables(gateway: Gateway) -> None:
    """Refuses to decide by tables that somebody has emptied by hand, or that are another ledger's."""
    with gateway.begin() as work:
        emptied, ahead = emptied_tables(work.connection), is_ahead(work.connection)
    if ahead:
        raise ConfigurationError(
            "The tables of schema gateway tell of events that schema ledger does not hold: an older copy of it was "
            "restored beside them. Restore all schemas of one backup; or, if there is none, `fiona-ledger rebuild` "
            "derives the tables from the events that are left, and the next run reads all summaries again."
        )
    if emptied:
        tables = ", ".join(table for _, table in emptied)
        raise ConfigurationError(
            f"Somebody has emptied {tables}: a run would decide by what is not there. Nothing is lost; derive "
            "the tables anew with `fiona-ledger rebuild`."
        )


def compared_clocks(configuration: Configuration, clock: Clock) -> ClockComparison:
    """Our clock, to be compared with others as far as the configuration tolerates."""
    return ClockComparison(clock, tolerance=timedelta(minutes=configuration.clock.tolerance_minutes))


def _waiting(server: Server, stopwatch: Stopwatch | None) -> Waiting:
    return nullcontext if stopwatch is None else partial(stopwatch.waiting, server)


def redcap_client(
    kind: type[_Client],
    configuration: Configuration,
    database: Database,
    clocks: ClockComparison,
    waiting: Waiting = nullcontext,
) -> _Client:
    """A client of that kind for the configured REDCap, within the budget of calls that all runs share."""
    section = configuration.redcap
    sources = {name: getattr(section.tokens, name) for name in type(section.tokens).model_fields}
    rate_limit = SharedRateLimit(
        database,
        url=section.url,
        calls_per_minute=section.calls_per_minute,
        ban_pause_minutes=section.ban_pause_minutes,
    )
    return kind(
        url=section.url,
        tokens={name: resolve(source, name) for name, source in sources.items() if source is not None},
        rate_limit=rate_limit,
        timeout_seconds=section.timeout_seconds,
        ca_bundle=section.ca_bundle,
        clocks=clocks,
        waiting=waiting,
    )
