"""Differences that an operator has accepted: until theirs or ours changes again."""

from collections.abc import Sequence
from typing import NamedTuple

import orjson
from sqlalchemy import text

from processors.delivery.reconcile.diff import Difference
from processors.gateway import Gateway, Work


class Mark(NamedTuple):
    """What a difference is known by: the row, the event that ours is made from, and a keyed hash of theirs."""

    study: str
    kind: str
    key: str
    row_position: int
    fingerprint: str


_ACCEPTED = text("""
    select study, kind, key, row_position, fingerprint from gateway.accepted_difference where study = any(:studies)
""")


def accepted_differences(work: Work, studies: Sequence[str]) -> set[Mark]:
    """The marks of what was accepted for these studies."""
    return {Mark(*row) for row in work.execute(_ACCEPTED, {"studies": list(studies)})}


def mark(gateway: Gateway, different: Difference) -> Mark:
    """What the difference would be accepted by."""
    where = (different.study, different.kind, different.place)
    content = orjson.dumps([where, different.content])
    return Mark(*where, different.row_position, gateway.vault.fingerprint(content))
