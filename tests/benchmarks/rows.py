"""What a benchmark says."""

from typing import NamedTuple


class Row(NamedTuple):
    """One figure beside the limit or peer that was measured in the same run; all are texts for a table."""

    what: str
    ours: str
    peer: str
    ratio: str
    goal: str
