"""Forgetting again whom a restored ledger knows again, by the file beside the master key."""

from pathlib import Path

from ledger import erasures
from processors.gateway import Gateway
from processors.operations.forget.data_subjects import of_subjects
from processors.operations.forget.forget import compact, forget

_REASON = "forgotten after the backup from which the ledger was restored"


def forget_again(gateway: Gateway, key_file: Path, *, by: str) -> tuple[int, bool]:
    """Destroys the keys of those who were forgotten after the backup; gives how many, and whether no copy is left.

    Raises `ServiceError` where a run does not end in time.
    """
    with gateway.begin() as work:
        subjects = erasures.back_again(work.connection, key_file)
    if not subjects:
        return 0, True
    done = forget(gateway, lambda work: [of_subjects(work, subjects)], reason=_REASON, by=by)
    return done.destroyed, compact(gateway.database)
