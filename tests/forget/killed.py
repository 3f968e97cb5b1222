"""A change of the master key in a process of its own, which kills itself at a given step."""

import os
import signal
from pathlib import Path
from uuid import UUID

from ledger.database import Database
from ledger.vault import Vault
from processors.gateway import Gateway
from processors.operations.forget.rekey import rekey
from tests.conftest import SettableClock
from tests.processes import context

RUN = UUID("11111111-1111-7111-8111-111111111111")


def change_key(url: str, key_file: Path, fatal: int) -> None:
    """Changes it and says the steps, up to the one with the number `fatal`."""
    reached = 0

    def at(_step: str) -> None:
        nonlocal reached
        reached += 1
        if reached == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    database = Database(url)
    with database.begin() as connection:
        vault = Vault.open(connection, key_file)
    gateway = Gateway(database=database, vault=vault, site="main", clock=SettableClock(), run=RUN)
    rekey(gateway, key_file, by="operator", at=at)
    database.close()


def killed_at(url: str, key_file: Path, fatal: int) -> int | None:
    """The exit code of such a process: -9 where it came to that step."""
    process = context().Process(target=change_key, args=(url, key_file, fatal))
    process.start()
    process.join(60)
    return process.exitcode
