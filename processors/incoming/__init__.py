"""The main job: what REDCap directs is observed, what has arrived is decided upon."""

from processors.incoming.decide import Decided, decide_transfers
from processors.incoming.observe import Observed, observe

__all__ = ["Decided", "Observed", "decide_transfers", "observe"]
