"""The codes in `gateway.run`, which show whether the row of a run was written by somebody without the master key.

Rows are deleted when they are old, so that one which is missing tells nothing.
"""

from uuid import UUID

from sqlalchemy import Connection, text

from ledger.vault import Vault
from processors.gateway import Work

_DIGEST = """
    sha256(convert_to(json_build_array(run, site, command, extract(epoch from started_at),
                                       extract(epoch from finished_at), exit_code, changed, summary::text,
                                       machine)::text, 'UTF8'))
"""
_AT_ONCE = 5_000
_ONE = text(f"select {_DIGEST} from gateway.run where run = :run")
_ALL = text(f"select run, {_DIGEST} as digest, code from gateway.run order by started_at")
_SIGN = text("update gateway.run set code = :code where run = :run")


def sign(work: Work) -> None:
    """Gives the row of this run the code of what it says now."""
    run = work.gateway.run
    digest: bytes = work.execute(_ONE, {"run": run}).scalar_one()
    work.execute(_SIGN, {"run": run, "code": _code(work.vault, digest)})


def altered(connection: Connection, vault: Vault) -> list[UUID]:
    """The runs whose rows say something else than when they were written, the oldest first."""
    rows = connection.execute(_ALL, execution_options={"yield_per": _AT_ONCE})
    return [row.run for row in rows if row.code is None or bytes(row.code) != _code(vault, row.digest)]


def _code(vault: Vault, digest: bytes) -> bytes:
    return vault.authentication("run", digest)
