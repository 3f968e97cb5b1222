"""What a delivery came to, counted in rows."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from processors.events.deliveries import RowMissing, RowRestored, StudyDelivered
from processors.events.fact import Fact
from processors.events.rules import ConflictFound
from processors.events.transfers import TransferAmended, TransferPlaced


@dataclass(kw_only=True, slots=True)
class Delivered:
    """What a delivery came to, in rows; `left_out` are the optional fields that they could not have.

    `rows_left` wait for the next one, as its time was up.
    """

    studies: int = 0
    series: int = 0
    transfers: int = 0
    refused: int = 0
    missing: int = 0
    restored: int = 0
    contested: int = 0
    rows_left: int = 0
    left_out: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def __add__(self, other: "Delivered") -> "Delivered":
        """Both together."""
        counts = asdict(self).keys() - {"rows_left", "left_out", "warnings"}
        return Delivered(
            **{name: getattr(self, name) + getattr(other, name) for name in counts},
            rows_left=other.rows_left,
            left_out=sorted({*self.left_out, *other.left_out}),
            warnings=sorted({*self.warnings, *other.warnings}),
        )

    def count(self, facts: Iterable[Fact]) -> None:
        """Counts what was recorded."""
        for fact in facts:
            self._count(fact)

    def warn(self, warnings: Iterable[str]) -> None:
        """Adds warnings, each once."""
        self.warnings = sorted({*self.warnings, *warnings})

    def _count(self, fact: Fact) -> None:
        if isinstance(fact, StudyDelivered):
            self.studies += fact.row is not None
            self.series += len(fact.series)
        elif isinstance(fact, TransferPlaced | TransferAmended):
            self.transfers += 1
        elif isinstance(fact, RowMissing):
            self.missing += 1
        elif isinstance(fact, RowRestored):
            self.restored += 1
        elif isinstance(fact, ConflictFound):
            self.contested += 1
