"""Summaries with anything in any field: each becomes a series or a rejected file. `make fuzz` reads 100,000."""

from pathlib import Path

import pytest

from processors.gateway import Gateway
from tests.source.fuzz import fuzz


@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_a_summary_holds_no_other_is_lost(gateway: Gateway, tmp_path: Path, seed: int) -> None:
    series, rejected = fuzz(gateway, tmp_path / "raw", 300, seed)
    assert series > 100
    assert rejected > 10
