"""Whether what is kept as evidence holds: who signed each checkpoint, who countersigned it, and when it was stamped.

That each checkpoint is part of the ledger is for `ledger.verification` to say, which walks past their heads.
"""

from datetime import datetime
from typing import NamedTuple

from ledger.chain import VerifierKey
from ledger.errors import Corrupt
from processors.operations.proofs.daily import Evidence
from processors.operations.proofs.timestamps import NoTimestamp


class Given(NamedTuple):
    """What one of those who give evidence gave: for so many checkpoints, at last then."""

    name: str
    checkpoints: int
    last: datetime | None


def verify_given(evidence: Evidence, key: VerifierKey) -> list[Given]:
    """What each gave, all of it verified. Raises `Corrupt` where something does not hold."""
    seen: dict[str, list[datetime]] = {name: [] for name in evidence.names}
    for day, kept in evidence.folder.newest_first():
        try:
            kept.is_signed(key)
            for witness in evidence.witnesses:
                if (cosigned := kept.seen_at(witness.key)) is not None:
                    seen[witness.key.name].append(cosigned[0])
        except ValueError as exc:
            raise Corrupt(f"The checkpoint kept of {day} does not hold: {exc}.") from exc
        token = evidence.folder.timestamp(day)
        if evidence.authority is not None and token is not None:
            try:
                seen[evidence.authority.url].append(evidence.authority.verify(token, kept.note.encode()))
            except NoTimestamp as exc:
                raise Corrupt(f"The time-stamp kept of {day} does not hold: {evidence.authority.url} {exc}.") from exc
    return [Given(name, len(moments), max(moments, default=None)) for name, moments in seen.items()]
