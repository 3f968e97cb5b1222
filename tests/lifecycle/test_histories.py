"""Random histories of all who have a hand in a request; what may be sendable is worked out from the contract alone."""

from itertools import count
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lifecycle.ground import Ground
from tests.lifecycle.histories import VOCABULARY, Step, histories, live
from tests.lifecycle.world import SECRETS, world

_numbers = count()


@settings(max_examples=160)
@given(history=histories(VOCABULARY), has_folders=st.booleans())
def test_what_leaves_the_hospital_is_what_is_in_force(
    ground: Ground, migrated: tuple[str, Path], tmp_path: Path, *, history: list[Step], has_folders: bool
) -> None:
    with world(ground, migrated[1], tmp_path / str(next(_numbers)), has_folders=has_folders) as around:
        live(around, history, [*SECRETS, *around.site.tokens.values()])
