"""Runs as commands start them: the periodic one and the replay, each recorded, and told of however it ends."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path

from ledger.errors import LedgerError, Misconfigured
from ledger.store import Clock
from processors.cli import console
from processors.cli.bootstrap import now, opened_gateway, opened_run, operator, prepare
from processors.cli.exit_codes import ending, readers_may_leave
from processors.cli.news import Audience, Teller
from processors.cli.page_files import write_page
from processors.cli.pings import pinged
from processors.configuration import Configuration
from processors.delivery.restored import require_whole
from processors.errors import ConfigurationError
from processors.gateway import Gateway
from processors.locks import only_run
from processors.operations.adopt.guard import require_moved_in
from processors.operations.limits import Limits
from processors.operations.replay import Replayed, Scope, replay
from processors.operations.status import status
from processors.run import Report, Run
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
    report, teller = Report(), Teller(config, command, audience, clock)
    with (
        teller.error_told(report),
        pinged(config) as pings,
        opened_gateway(config, clock=clock) as (configuration, gateway),
        only_run(gateway) as busy,
    ):
        if busy is not None:
            teller.busy(busy)
            return False
        pings.start()
        with _reported(
            configuration, gateway, command, report, lambda: _tell_run(report, teller, timing=timing), timing=timing
        ) as run:
            prepare(gateway)
            require_whole(gateway)
            require_moved_in(gateway, run.redcap, fresh=fresh, by=operator())
            if only != Processor.AUTOID:
                run.incoming()
            if only != Processor.INCOMING:
                run.autoid(all_of=all_of)
            run.count_attention()
            _gather_evidence(run)
        teller.got_through()
    return report.needs_attention


def _gather_evidence(run: Run) -> None:
    """Has the ledger vouched for, where that is configured, once a day."""
    if not run.configuration.proof.has_givers:
        return
    # Imported here: most sites have none.
    from processors.operations.proofs.daily import Evidence, gather

    evidence = Evidence.of(run.configuration)
    if evidence.is_due(run.gateway.clock()):
        with run.step("Having the ledger vouched for"):
            gather(run.gateway, evidence, run.configuration.ledger)


def replay_run(config: Path | None, audience: Audience, scope: Scope, *, command: str) -> bool:
    """Replays and tells what it came to; True where something needs attention."""
    report, teller, replayed = Report(), Teller(config, command, audience, now), None
    with (
        teller.error_told(report),
        pinged(config) as pings,
        opened_gateway(config) as (configuration, gateway),
        only_run(gateway) as busy,
    ):
        if busy is not None:
            teller.busy(busy)
            return False
        pings.start()
        with _reported(configuration, gateway, command, report, lambda: _tell_replay(report, replayed, teller)) as run:
            prepare(gateway)
            require_whole(gateway)
            require_moved_in(gateway, run.redcap, fresh=False, by=operator())
            replayed = replay(run, scope, by=operator())
            run.count_attention()
        teller.got_through()
    return report.needs_attention


@contextmanager
def _reported(
    configuration: Configuration,
    gateway: Gateway,
    command: str,
    report: Report,
    print_it: Callable[[], None],
    *,
    timing: bool = False,
) -> Iterator[Run]:
    """A run that is recorded, counted in the metrics, and printed at its end."""
    # The metrics tell where time goes, too.
    stopwatch = Stopwatch() if timing or configuration.health.metrics_file is not None else None
    try:
        with opened_run(configuration, gateway, command, report, stopwatch) as run:
            yield run
    except (Exception, KeyboardInterrupt) as error:
        report.error = ending(error).message
        raise
    finally:
        _keep_head(configuration, gateway, report)
        _write_metrics(configuration, gateway, report)
        _write_page(configuration, gateway, report)
        # An error is told after what was done before it, and is told where nobody reads that any more.
        with readers_may_leave():
            print_it()


def _keep_head(configuration: Configuration, gateway: Gateway, report: Report) -> None:
    """Keeps where the ledger ends beside the key file. That it cannot be written is a warning, and no more."""
    try:
        gateway.keep_head(configuration.ledger.key_file)
    except Misconfigured as error:
        report.warnings.append(str(error))


def _write_metrics(configuration: Configuration, gateway: Gateway, report: Report) -> None:
    """Writes the metrics file, if there is to be one. That it cannot be written is a warning, and no more."""
    file = configuration.health.metrics_file
    if file is None:
        return
    # Imported here: it takes a while, and most sites have none.
    from processors.operations import metrics

    try:
        metrics.write(file, status(gateway, Limits.of(configuration)), report)
    except OSError as exc:
        report.warnings.append(f"health.metrics_file: {file} cannot be written: {exc.strerror}.")
    except LedgerError:
        # PostgreSQL is away, which the run tells itself; the old file grows old.
        return


def _write_page(configuration: Configuration, gateway: Gateway, report: Report) -> None:
    """Writes the overview, if it is to be. That it cannot be written is a warning, and no more."""
    folder = configuration.health.page
    if folder is None:
        return
    try:
        write_page(folder, configuration, gateway)
    except ConfigurationError as exc:
        report.warnings.append(f"health.page: {exc}")
    except LedgerError:
        # PostgreSQL is away, which the run tells itself; the old page tells when it was written.
        return


def _tell_run(report: Report, teller: Teller, *, timing: bool) -> None:
    if teller.audience.json:
        console.print_json(report.as_data())
        return
    if teller.audience.is_cron:
        teller.report(report)
    else:
        console.print_report(report)
    if timing:
        console.print_timing(report)


def _tell_replay(report: Report, replayed: Replayed | None, teller: Teller) -> None:
    if teller.audience.json:
        console.print_json(report.as_data() | {"replayed": None if replayed is None else asdict(replayed)})
        return
    done = "" if replayed is None else _replayed_in_words(replayed)
    if teller.audience.is_cron:
        teller.report(report, before=done)
        return
    if done:
        console.output().print(done)
    console.print_report(report)


def _replayed_in_words(replayed: Replayed) -> str:
    before = f", {replayed.written_before} of them written before it was interrupted" * bool(replayed.written_before)
    return f"Replayed: {replayed.studies} studies{before}."
