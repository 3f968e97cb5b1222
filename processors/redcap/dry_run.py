"""The client of a dry run: reads as ever, and writes nothing to REDCap."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from .client import Redcap


class DryRunRedcap(Redcap):
    """Takes every import for stored; `rows` counts what would have been written, by project.

    What REDCap would refuse of it, REDCap alone knows.
    """

    writes = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
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
