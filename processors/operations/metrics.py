"""The numbers of a gateway for Prometheus, as a file that node_exporter's textfile collector reads.

All of them carry the site, so that gateways can share a file's folder. A file that grows old is the alarm for a gateway
that is off: `time() - fiona_ledger_last_success_seconds`.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from processors.clocks import believed
from processors.operations.health import Finding, worst
from processors.operations.status import Status
from processors.run import Report
from processors.text import printable

_BEGINNING = b"# HELP fiona_ledger_"


def write(file: Path, status: Status, report: Report) -> None:
    """Puts the numbers in the place of those of the run before. Raises `OSError` where that cannot be done."""
    _put(file, registry(status, report))


def write_trouble(file: Path, site: str, found: Sequence[Finding]) -> None:
    """The same where the ledger cannot be asked: how bad it is, and no more."""
    numbers = _Numbers(site)
    numbers.judge(found)
    _put(file, numbers.registry)


def is_ours(file: Path) -> bool:
    """Whether the numbers of an earlier run are in it."""
    try:
        with file.open("rb") as content:
            return content.read(len(_BEGINNING)) == _BEGINNING
    except OSError:
        return False


def _put(file: Path, numbers: CollectorRegistry) -> None:
    write_to_textfile(str(file), numbers)
    file.chmod(0o644)  # whatever the umask: it holds numbers alone, and another program reads it


def registry(status: Status, report: Report) -> CollectorRegistry:
    """The numbers after a run."""
    numbers = _Numbers(status.site)
    numbers.judge(status.health)
    if status.last_success is not None:
        seconds = status.last_success.timestamp()
        numbers.add("last_success_seconds", "When a run last got through, in seconds since 1970.", seconds)
    numbers.add("head_position", "How many events the ledger holds.", status.head)
    numbers.add("studies", "Studies known.", status.totals.studies)
    numbers.add("studies_on_disk", "Studies on disk.", status.totals.studies_on_disk)
    numbers.add("redcap_calls", "Calls to REDCap by the newest run.", report.calls)
    numbers.by("run_step_seconds", "How long each step of the newest run took.", "step", report.step_seconds)
    shares = {(step, place): took for step, all_of in report.step_shares.items() for place, took in all_of.items()}
    numbers.by_two("run_step_share_seconds", "Where the time of each step went.", ("step", "place"), shares)
    numbers.by("redcap_rows", "Rows that the newest run wrote to REDCap.", "kind", _rows(report))
    numbers.by("attention", "What a person must look at.", "kind", status.kinds)
    numbers.by("held", "What is asked for and held.", "reason", status.held)
    numbers.by("requests", "Transfer requests.", "state", status.totals.transfers)
    numbers.by("requests_reported", "Requests placed, as the sender reports.", "state", _reported(status))
    rows: dict[str, float] = {waiting.kind: waiting.rows for waiting in status.pending}
    numbers.by("rows_waiting", "Rows to be written.", "kind", rows)
    ages: dict[str, float] = {
        waiting.kind: (status.at - oldest).total_seconds()
        for waiting in status.pending
        if (oldest := believed(waiting.oldest, status.at)) is not None
    }
    numbers.by("rows_waiting_seconds", "How long the oldest row has waited.", "kind", ages)
    left = _least((forecast.project, forecast.left) for forecast in status.autoid if forecast.left is not None)
    numbers.by("ids_left", "IDs that can still be drawn; the fewest, of a project listed twice.", "project", left)
    ends = _least((approval.project, _seconds(approval.ends, status.at)) for approval in status.approvals)
    says = "When an approval ends, in seconds since 1970; the first to end, of a project listed twice."
    numbers.by("approval_ends_seconds", says, "project", ends)
    return numbers.registry


class _Numbers:
    """Numbers of one site, being collected."""

    def __init__(self, site: str) -> None:
        self.registry = CollectorRegistry()
        self._site = site

    def judge(self, found: Sequence[Finding]) -> None:
        """How bad it is, and what is wrong."""
        self.add("health", "0 OK, 1 warning, 2 critical, as `fiona-ledger check` ends.", worst(found))
        kinds = Counter(finding.kind for finding in found)
        self.by("findings", "What is wrong with the gateway itself.", "kind", kinds)

    def add(self, name: str, says: str, value: float) -> None:
        """One number."""
        Gauge(f"fiona_ledger_{name}", says, ["site"], registry=self.registry).labels(self._site).set(value)

    def by(self, name: str, says: str, label: str, values: Mapping[str, float]) -> None:
        """A number for each value of a label."""
        gauge = Gauge(f"fiona_ledger_{name}", says, ["site", label], registry=self.registry)
        for which, value in values.items():
            gauge.labels(self._site, printable(which)).set(value)

    def by_two(self, name: str, says: str, labels: tuple[str, str], values: Mapping[tuple[str, str], float]) -> None:
        """A number for each pair of values of two labels."""
        gauge = Gauge(f"fiona_ledger_{name}", says, ["site", *labels], registry=self.registry)
        for which, value in values.items():
            gauge.labels(self._site, *map(printable, which)).set(value)


def _least(values: Iterable[tuple[str, float]]) -> dict[str, float]:
    """The least value of each project, as a number that a float holds: IDs left are integers of any size."""
    least: dict[str, float] = {}
    for project, value in values:
        least[project] = min(value, least.get(project, sys.float_info.max))
    return least


def _rows(report: Report) -> dict[str, int]:
    written = report.delivered
    if written is None:
        return {}
    return {
        "study": written.studies,
        "series": written.series,
        "transfer": written.transfers,
        "refused": written.refused,
    }


def _reported(status: Status) -> dict[str, int]:
    return {"sent": status.sending.sent, "unsent": status.sending.unsent, "failed": status.sending.failed}


def _seconds(day: date, now: datetime) -> float:
    """The end of the day, in the zone of `now`."""
    return datetime(day.year, day.month, day.day, 23, 59, 59, tzinfo=now.tzinfo).timestamp()
