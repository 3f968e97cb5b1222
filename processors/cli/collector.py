"""Python's garbage collector, told how this program uses memory."""

import gc


def relax() -> None:
    """Lets the collector look rarely: a run makes millions of values, all short-lived and hardly one in a cycle.

    As Python sets it, it goes through all that is alive again and again: a fifth of the time of a
    discovery, and a tenth of that of loading the libraries. Memory stays as flat as it was.
    """
    gc.set_threshold(100_000, 50, 100)
