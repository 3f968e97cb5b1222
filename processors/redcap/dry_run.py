"""The client of a dry run: reads as ever, and writes nothing to REDCap."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from processors.clocks import ClockComparison

from .client import Redcap
from .rate_limit import RateLimit


class DryRunRedcap(Redcap):
    """Takes every import for stored; `rows` counts what would have been written, by project.

    What REDCap would refuse of it, REDCap alone knows.
    """

    writes = False

    def __init__(
        self,
        *,
        url: str,
        tokens: Mapping[str, str],
        rate_limit: RateLimit,
        timeout_seconds: float = 60,
        ca_bundle: Path | None = None,
        clocks: ClockComparison | None = None,
    ) -> None:
        super().__init__(
            url=url,
            tokens=tokens,
            rate_limit=rate_limit,
            timeout_seconds=timeout_seconds,
            ca_bundle=ca_bundle,
            clocks=clocks,
        )
        self.rows: Counter[str] = Counter()

    def import_records(
        self,
        project: str,
        rows: Sequence[Mapping[str, str | int]],
        *,
        overwrite: bool,  # noqa: ARG002 - it is called as the real one is
    ) -> int:
        """The number of records that the rows belong to."""
        self.rows[project] += len(rows)
        return len({str(next(iter(row.values()))) for row in rows})
