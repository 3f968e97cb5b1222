"""A tree to discover, and a discovery of it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from processors.gateway import Gateway
from processors.source.discover import Discovery, discover
from tests.conftest import SettableClock
from tests.source.receiver import Receiver


@pytest.fixture
def receiver(tmp_path: Path, clock: SettableClock) -> Receiver:
    return Receiver(tmp_path / "raw", clock)


@pytest.fixture
def find(gateway: Gateway, receiver: Receiver) -> Callable[..., Discovery]:
    return partial(discover, gateway, raw=receiver.raw, settle_seconds=60)
