"""No first run on a REDCap that holds records nobody has told the ledger about.

They were made by the scripts that this system follows. Not knowing them, it would take them for people's.
"""

from sqlalchemy import text

from processors.delivery import actual
from processors.errors import ConfigurationError
from processors.events.operations import StartedFresh
from processors.gateway import Gateway
from processors.redcap import Redcap

_MOVED_IN = text("""
    select exists (select from gateway.moved_in) or exists (select from gateway.study where delivered_position > 0)
""")
_INTERRUPTED = text("select exists (select from gateway.adoption_progress where site = :site)")


def has_moved_in(gateway: Gateway) -> bool:
    """Whether the ledger has ever written studies to REDCap, adopted what is there, or been told to start fresh.

    Sites that share a ledger share what it knows of REDCap.
    """
    with gateway.begin() as work:
        return bool(work.execute(_MOVED_IN).scalar_one())


def require_moved_in(gateway: Gateway, redcap: Redcap, *, fresh: bool, by: str) -> None:
    """Raises `ConfigurationError` where this would be the first run, on an Incoming that holds records.

    An empty Incoming, or being told that its records are strangers' (`fresh`), is recorded: the next run does
    not ask again, and one that was killed in the middle of its first import meets its own records.
    """
    if has_moved_in(gateway):
        return
    count = len(actual.record_ids(redcap, "incoming"))
    if count and not fresh:
        raise ConfigurationError(_refusal(gateway, count))
    with gateway.begin() as work:
        work.record([StartedFresh(site=work.site, by=by, records=count)])


def _refusal(gateway: Gateway, count: int) -> str:
    with gateway.begin() as work:
        interrupted = work.execute(_INTERRUPTED, {"site": gateway.site}).scalar_one()
    if interrupted:
        return "An adoption was begun and has not ended. Give `fiona-ledger adopt` again: it goes on where it was."
    return (
        f"Expected REDCap's Incoming to be empty, as this ledger has never written to it; found {count} records. Run "
        "`fiona-ledger adopt` first, so that what is there is known and nothing is requested twice; or `fiona-ledger "
        "run --fresh`, if the records there are strangers' and no business of this system's. See docs/moving-in.md."
    )
