"""The metrics file and the page's overview, written by each run where they are configured."""

from contextlib import suppress
from pathlib import Path

from ledger.errors import LedgerError
from processors.cli.page_files import write_page
from processors.configuration.settings import Configuration
from processors.errors import ConfigurationError
from processors.gateway import Gateway
from processors.operations import metrics
from processors.operations.limits import Limits
from processors.operations.status import Status, status
from processors.run import Report


def write_health(configuration: Configuration, gateway: Gateway, report: Report) -> None:
    """Writes those that are to be. That one cannot be is a warning, no more."""
    file, folder = configuration.health.metrics_file, configuration.health.page
    # PostgreSQL may be away, which the run tells itself: what is old tells by its age.
    with suppress(LedgerError):
        told = status(gateway, Limits.of(configuration))
        if file is not None:
            _write_metrics(file, told, report)
        if folder is not None:
            _write_page(folder, gateway, told, report)


def _write_metrics(file: Path, told: Status, report: Report) -> None:
    try:
        metrics.write(file, told, report)
    except OSError as exc:
        report.warnings.append(f"health.metrics_file: {file} cannot be written: {exc.strerror}.")


def _write_page(folder: Path, gateway: Gateway, told: Status, report: Report) -> None:
    try:
        write_page(folder, gateway, told)
    except ConfigurationError as exc:
        report.warnings.append(f"health.page: {exc}")
