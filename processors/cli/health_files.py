"""The metrics file and the page's overview, written by each run where they are configured, however it ends."""

from contextlib import suppress
from pathlib import Path

from ledger.errors import LedgerError
from processors.cli.bootstrap import now, opened_gateway
from processors.cli.exit_codes import ending
from processors.cli.page_files import is_ours, write_page, write_trouble
from processors.cli.unrecorded import unrecorded_run
from processors.configuration.file import known_of_health
from processors.configuration.own_files import require_foreign
from processors.configuration.settings import Configuration
from processors.errors import ConfigurationError
from processors.gateway import Gateway
from processors.operations import metrics
from processors.operations.health import Facts, Unrecorded, findings
from processors.operations.limits import Limits
from processors.operations.status import Status, status
from processors.run import Report


def write_health(configuration: Configuration, gateway: Gateway, report: Report) -> None:
    """Writes those that are to be. That one cannot be is a warning, no more."""
    # PostgreSQL may be away, which the run tells itself, and is written when it has.
    with suppress(LedgerError):
        _write(configuration, gateway, report, None)


def write_unrecorded(config: Path | None) -> None:
    """Writes what `check` says after a run that the ledger cannot tell of; where it cannot be asked, nothing else."""
    known = known_of_health(config)
    health = known.health
    if health.metrics_file is None and health.page is None:
        return
    unrecorded = unrecorded_run(config)
    try:
        with opened_gateway(config, with_keys=False) as (configuration, gateway):
            _write(configuration, gateway, Report(), unrecorded)
    except LedgerError as error:
        at = now()
        found = findings(Facts.of_nothing(at, ending(error).message, unrecorded))
        # Of a configuration that cannot be used, nobody knows what else it means: only what a run has written before
        # is written over.
        if health.metrics_file is not None and metrics.is_ours(health.metrics_file):
            require_foreign(health.metrics_file, "health.metrics_file", known)
            metrics.write_trouble(health.metrics_file, known.ledger.site, found)
        if health.page is not None and is_ours(health.page):
            write_trouble(health.page, known, found, at)


def _write(configuration: Configuration, gateway: Gateway, report: Report, unrecorded: Unrecorded | None) -> None:
    file, folder = configuration.health.metrics_file, configuration.health.page
    told = status(gateway, Limits.of(configuration), unrecorded)
    if file is not None:
        _write_metrics(file, configuration, told, report)
    if folder is not None:
        _write_page(folder, configuration, gateway, told, report)


def _write_metrics(file: Path, configuration: Configuration, told: Status, report: Report) -> None:
    try:
        require_foreign(file, "health.metrics_file", configuration)
        metrics.write(file, told, report)
    except OSError as exc:
        report.warnings.append(f"health.metrics_file: {file} cannot be written: {exc.strerror}.")
    except ConfigurationError as exc:
        report.warnings.append(str(exc))


def _write_page(folder: Path, configuration: Configuration, gateway: Gateway, told: Status, report: Report) -> None:
    try:
        write_page(folder, configuration, gateway, told)
    except ConfigurationError as exc:
        report.warnings.append(f"health.page: {exc}")
