"""The main job: what REDCap directs is observed, what has arrived is decided upon."""

from processors.incoming.decide import Decided, decide_transfers
from processors.incoming.observe import Observed, observe
from processors.incoming.replay import decide_again

__all__ = ["Decided", "Observed", "decide_again", "decide_transfers", "observe"]
