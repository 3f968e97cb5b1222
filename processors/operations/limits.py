"""What a configuration says about when somebody should know that the gateway does not do its work."""

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple, Optional, Self

from processors.configuration.settings import Configuration

if TYPE_CHECKING:
    from processors.operations.proofs.daily import Evidence


class Limits(NamedTuple):
    """How long runs may be silent, how wrong a clock be, how long a ban is believed to last, and of which REDCap.

    `evidence` tells who gives none for the ledger's checkpoints.
    """

    silent_after: timedelta = timedelta(minutes=10)
    clock_tolerance: timedelta = timedelta(hours=1)
    ban_pause: timedelta = timedelta(minutes=15)
    redcap_url: str = ""
    evidence: Optional["Evidence"] = None

    @classmethod
    def of(cls, configuration: Configuration) -> Self:
        """Those of a configuration."""
        return cls(
            silent_after=configuration.health.silent_after,
            clock_tolerance=timedelta(minutes=configuration.clock.tolerance_minutes),
            ban_pause=timedelta(minutes=configuration.redcap.ban_pause_minutes),
            redcap_url=configuration.redcap.url,
            evidence=_evidence(configuration),
        )


def _evidence(configuration: Configuration) -> Optional["Evidence"]:
    if not configuration.proof.has_givers:
        return None
    # Imported here: it takes a while, and most sites have none.
    from processors.operations.proofs.daily import Evidence

    return Evidence.of(configuration)
