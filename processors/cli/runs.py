"""The periodic run as commands start it: recorded, and told of however it ends."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from enum import StrEnum
from pathlib import Path

from ledger import erasures
from ledger.errors import Misconfigured
from ledger.store import Clock
from processors.cli import console
from processors.cli.bootstrap import Opened, now, opened_run, operator, prepare
from processors.cli.exit_codes import ending, readers_may_leave
from processors.cli.news import Audience, Teller
from processors.cli.pings import pinged
from processors.configuration.settings import Configuration
from processors.delivery.restored import require_whole
from processors.gateway import Gateway
from processors.locks import only_run
from processors.operations.adopt.guard import require_moved_in
from processors.run import Report, Rhythm, Run, Step
from processors.stopwatch import Stopwatch


class Processor(StrEnum):
    """The two halves of the periodic run."""

    INCOMING = "incoming"
    AUTOID = "autoid"


def periodic_run(
    config: Path | None,
    audience: Audience,
    *,
    command: str,
    only: Processor | None = None,
    all_of: str | None = None,
    fresh: bool = False,
    timing: bool = False,
    clock: Clock = now,
) -> bool:
    """Does the periodic run and tells what it came to; True where something needs attention.

    `only` names the half to do alone; `all_of` a project for which auto-ID drops its window; `fresh`: what REDCap
    holds before the first run is strangers'; `timing`: where its time goes is measured, and told.
    """
    with closing(Opened(config)) as opened:
        teller = Teller(config, command, audience, clock)
        report = one_run(opened, teller, only=only, all_of=all_of, fresh=fresh, timing=timing, clock=clock)
    return report.needs_attention


def one_run(
    opened: Opened,
    teller: Teller,
    *,
    only: Processor | None = None,
    all_of: str | None = None,
    fresh: bool = False,
    timing: bool = False,
    clock: Clock = now,
    step: Step = console.step,
    rhythm: Rhythm | None = None,
) -> Report:
    """`periodic_run` on what is open, and what it came to; each of its steps is announced by `step`."""
    report = Report()
    with (
        health_told(opened.config, report),
        teller.error_told(report),
        pinged(opened.config, lambda: opened.configuration) as pings,
        opened.gateway(clock) as gateway,
        only_run(gateway) as busy,
    ):
        if busy is not None:
            teller.busy(busy)
            return report
        pings.start()
        stopwatch = stopwatch_of(opened.configuration, timing=timing)
        recorded = opened_run(
            opened.configuration, gateway, teller.command, report, stopwatch, step=step, rhythm=rhythm
        )
        with reported(
            opened.configuration, gateway, report, recorded, lambda: _tell_run(report, teller, timing=timing)
        ) as run:
            prepare(gateway, step=step)
            require_whole(gateway)
            _keep_journal(opened.configuration, gateway, report)
            require_moved_in(gateway, run.redcap, fresh=fresh, by=operator())
            if only != Processor.AUTOID:
                run.incoming()
            if only != Processor.INCOMING:
                run.autoid(all_of=all_of)
            run.count_attention()
            _gather_evidence(run)
        teller.got_through()
    return report


def _gather_evidence(run: Run) -> None:
    """Has the ledger vouched for, where that is configured, once a day. That nothing can be kept is a warning."""
    if not run.configuration.proof.has_givers:
        return
    # Imported here: most sites have none.
    from processors.operations.proofs.daily import Evidence, gather

    evidence = Evidence.of(run.configuration)
    try:
        if evidence.is_due(run.gateway.clock()):
            with run.step("Having the ledger vouched for"):
                run.report.warnings += gather(run.gateway, evidence, run.configuration.ledger)
    except Misconfigured as error:
        run.report.warnings.append(str(error))


def stopwatch_of(configuration: Configuration, *, timing: bool = False) -> Stopwatch | None:
    """What measures where a run's time goes, if anybody is told: the metrics tell it, too."""
    return Stopwatch() if timing or configuration.health.metrics_file is not None else None


@contextmanager
def health_told(config: Path | None, report: Report) -> Iterator[None]:
    """Has the metrics file and the page tell of a run, too, that an error ends before the ledger can tell of it."""
    try:
        yield
    except (Exception, SystemExit):
        if not report.is_recorded:
            # Imported here: it takes a while. Whatever keeps it from being written, the error to be told is the run's.
            with suppress(Exception):
                from processors.cli.health_files import write_unrecorded

                write_unrecorded(config)
        raise


@contextmanager
def reported(
    configuration: Configuration,
    gateway: Gateway,
    report: Report,
    recorded: AbstractContextManager[Run],
    print_it: Callable[[], None],
) -> Iterator[Run]:
    """A run that is `recorded`, counted in the metrics, and printed at its end."""
    try:
        with recorded as run:
            yield run
    except (Exception, KeyboardInterrupt) as error:
        report.error = ending(error).message
        raise
    finally:
        _keep_head(configuration, gateway, report)
        _write_health(configuration, gateway, report)
        # An error is told after what was done before it, and is told where nobody reads that any more.
        with readers_may_leave():
            print_it()


def _keep_head(configuration: Configuration, gateway: Gateway, report: Report) -> None:
    """Keeps where the ledger ends beside the key file. That it cannot be written is a warning, and no more."""
    try:
        gateway.keep_head(configuration.ledger.key_file)
    except Misconfigured as error:
        report.warnings.append(str(error))


def _keep_journal(configuration: Configuration, gateway: Gateway, report: Report) -> None:
    """Keeps who is forgotten beside the key file. That it cannot be read or written is a warning, and no more."""
    try:
        with gateway.begin() as work:
            erasures.keep(work.connection, configuration.ledger.key_file, is_whole=True)
    except Misconfigured as error:
        report.warnings.append(str(error))


def _write_health(configuration: Configuration, gateway: Gateway, report: Report) -> None:
    """Writes the metrics file and the page's overview, if they are to be."""
    if configuration.health.metrics_file is None and configuration.health.page is None:
        return
    # Imported here: it takes a while, and most sites have neither.
    from processors.cli.health_files import write_health

    write_health(configuration, gateway, report)


def _tell_run(report: Report, teller: Teller, *, timing: bool) -> None:
    if teller.audience.json:
        console.print_json(report.as_data())
        return
    if teller.audience.is_cron:
        teller.report(report)
    else:
        if not teller.report_all(report):
            console.print_report(report)
        if teller.audience.stays and report.error is None:
            teller.tell_of_end()
    if timing:
        console.print_timing(report)
