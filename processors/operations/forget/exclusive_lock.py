"""Keeping all runs away while keys are destroyed or wrapped anew: a run holds keys in memory."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from ledger import lease
from processors.errors import ServiceError
from processors.gateway import Gateway

PATIENCE_SECONDS = 600

Waiting = Callable[[str], None]
"""Told who has to end first."""


@contextmanager
def exclusive_lock(
    gateway: Gateway, *, waiting: Waiting = lambda _holder: None, patience_seconds: float = PATIENCE_SECONDS
) -> Iterator[None]:
    """No run of any site is under way, nor another command of this kind, and none begins.

    Raises `ServiceError` where a run does not end in time.
    """
    patience = timedelta(seconds=patience_seconds)
    with lease.alone(gateway.database, patience=patience, waiting=lambda busy: waiting(busy.who)) as busy:
        if busy is not None:
            raise ServiceError(
                f"Nothing was changed: {busy.who} did not end in time ({busy.where}), and it holds keys in its memory. "
                "Try again when it has ended."
            )
        yield
