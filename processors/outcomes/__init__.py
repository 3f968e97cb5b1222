"""What became of transfer requests: who else has asked for one, and what the sender reported of it."""

from processors.outcomes.look import Looked, look

__all__ = ["Looked", "look"]
