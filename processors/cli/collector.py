"""Python's garbage collector, told how this program uses memory."""

import atexit
import gc

_YOUNG_OBJECTS = 200_000
"""So many more than were freed since the last look: loading all that a run needs makes 150,000."""


def relax() -> None:
    """Lets the collector look rarely: a run makes millions of values, all short-lived and hardly one in a cycle.

    As Python sets it, it goes through all that is alive again and again: a fifth of the time of a discovery, and a
    tenth of that of loading the libraries. Memory stays as flat as it was. At the end nothing is looked for any more:
    to take every loaded module to pieces, for memory that the system takes back a moment later, costs a run that finds
    nothing new a sixth of its CPU.
    """
    gc.set_threshold(_YOUNG_OBJECTS, 50, 100)
    atexit.register(gc.freeze)
