"""Random histories of all who have a hand in a request; what may be sendable is worked out from the contract alone.

`make soak HISTORIES=5000 SEED=1` lives through any number of others.
"""

from collections import Counter
from pathlib import Path

import pytest

from tests.lifecycle.ground import Ground
from tests.lifecycle.histories import live_through

HISTORIES = 30


@pytest.mark.parametrize("seed", range(1, 6))
def test_what_leaves_the_hospital_is_what_is_in_force(
    ground: Ground, migrated: tuple[str, Path], tmp_path: Path, seed: int
) -> None:
    figures: Counter[str] = Counter()
    live_through(ground, migrated[1], tmp_path, number=HISTORIES, first_seed=seed, figures=figures)
    assert figures["histories"] == HISTORIES
    assert figures["kills"] > 0
    assert figures["sender actions"] > 0
