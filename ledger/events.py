"""Events as plain values: what is about to be appended, and what stands in the ledger."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID


def new_event_id() -> UUID:
    """A fresh UUID version 7: random, but ascending with time.

    Ascending ids keep the unique index on them dense: random ones touch a cold page per event
    once the index has outgrown the memory.
    """
    milliseconds = time.time_ns() // 1_000_000
    noise = int.from_bytes(os.urandom(10), "big")
    value = (milliseconds & (1 << 48) - 1) << 80 | noise
    value = value & ~(0xF << 76) | 7 << 76
    value = value & ~(0x3 << 62) | 2 << 62
    return UUID(int=value)


@dataclass(frozen=True, kw_only=True, slots=True)
class NewEvent:
    """A fact about to be appended.

    `data` holds what may be read by everybody who may read the ledger: JSON values only.
    `sealed` is what `vault.Vault.seal` made for `subject`; both are set or neither.
    """

    stream: str
    type: str
    data: Mapping[str, Any]
    schema_version: int = 1
    event_id: UUID = field(default_factory=new_event_id)
    subject: UUID | None = None
    sealed: bytes | None = None


class Event(NamedTuple):
    """A fact in the ledger.

    A tuple rather than a frozen dataclass because millions are made while rebuilding: creating
    one takes a fifth of the time.
    """

    position: int
    event_id: UUID
    site: str
    stream: str
    version: int
    type: str
    schema_version: int
    data: dict[str, Any]
    subject: UUID | None
    sealed: bytes | None
    recorded_at: datetime
    run: UUID
    hash: bytes


class Excerpt(NamedTuple):
    """What projections need of an event.

    The rest is two thirds of its bytes, most of it sealed, hashed or random: to read an event without it takes half
    as long.
    """

    position: int
    site: str
    stream: str
    type: str
    data: dict[str, Any]
    subject: UUID | None
    recorded_at: datetime


Told = Event | Excerpt
"""An event as a projection is told it."""
