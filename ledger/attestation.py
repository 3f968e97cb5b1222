"""What the owner of the database cannot write anew without the master key: where the ledger ended, who is forgotten.

Hashes can be computed by anybody, so that a chain alone does not show who rewrote it as a whole. So the one row of
`ledger.attestation` holds position and hash of the last event, and how many subjects have no key any more, as of the
latest moment in which somebody with the master key looked: with a code that only that key makes. Each command ends by
attesting anew, and does so only where the last attestation still holds: what was rewritten is never made good.

What is younger than the attestation, and a whole database set back to an older one, show against heads that were kept
elsewhere only.
"""

from typing import Any

from sqlalchemy import Connection, text

from ledger.chain import GENESIS
from ledger.errors import Corrupt
from ledger.vault import Vault

_ATTESTED = text("""
    select attested.position, attested.hash, attested.forgotten, attested.code,
           head.position as end_position, head.hash as end_hash,
           (select hash from ledger.event where position = attested.position) as stored_hash,
           (select count(*) from ledger.subject where wrapped_key is null) as now_forgotten
      from (select) as always
      left join ledger.head on true
      left join ledger.attestation as attested on true
""")
_LOCK = text("select from ledger.attestation for update")
_ATTEST = text("""
    update ledger.attestation set position = :position, hash = :hash, forgotten = :forgotten, code = :code
""")


def attest(connection: Connection, vault: Vault, *, forgotten: int = 0) -> None:
    """Attests where the ledger ends; `forgotten` says how many subjects this transaction has forgotten.

    Raises `Corrupt` where the last attestation does not hold any more.
    """
    attested = connection.execute(_ATTESTED).one()
    if (attested.position, attested.forgotten) == (attested.end_position, attested.now_forgotten):
        return
    connection.execute(_LOCK)
    attested = connection.execute(_ATTESTED).one()
    problem = _problem(attested, vault, attested.now_forgotten - forgotten)
    if problem:
        raise Corrupt(f"{problem} Nothing more is attested before a person has looked: run `fiona-ledger verify`.")
    end = (attested.end_position, bytes(attested.end_hash), attested.now_forgotten)
    connection.execute(
        _ATTEST, {"position": end[0], "hash": end[1], "forgotten": end[2], "code": vault.attestation(*end)}
    )


def verify(connection: Connection, vault: Vault) -> int:
    """Up to which position the ledger is attested. Raises `Corrupt` where it is not what was attested."""
    attested = connection.execute(_ATTESTED).one()
    problem = _problem(attested, vault, attested.now_forgotten)
    if problem:
        raise Corrupt(
            f"The ledger does not verify. {problem} Stop the periodic run, keep the database as it is, and compare it "
            "with a backup or an export."
        )
    position: int = attested.position
    return position


def _problem(attested: Any, vault: Vault, forgotten: int) -> str:
    """What of the attestation does not hold."""
    if attested.end_position is None:
        return "The row of ledger.head is missing: somebody has taken it away."
    if attested.position is None:
        return "The row of ledger.attestation is missing: somebody has taken it away."
    if bytes(attested.code) != vault.attestation(attested.position, bytes(attested.hash), attested.forgotten):
        return "The row of ledger.attestation was not written with this ledger's master key."
    if bytes(attested.hash) != (bytes(attested.stored_hash or b"") if attested.position else GENESIS):
        return (
            f"The event at position {attested.position} is not the one that stood there when the ledger was last "
            "attested with the master key: events up to there have been rewritten or cut off since, and all hashes "
            "computed anew."
        )
    if forgotten != attested.forgotten:
        return (
            f"Expected {attested.forgotten} forgotten subjects, as attested with the master key, found {forgotten}: "
            "keys have been destroyed, or put back, by somebody else than `fiona-ledger forget`."
        )
    return ""
