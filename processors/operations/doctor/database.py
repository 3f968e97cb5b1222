"""Asking PostgreSQL, as the role of `ledger.url`, what it is and whether it does what a run needs."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, text

from ledger import roles
from ledger.database import Database, is_pooled
from ledger.key_file import read_master_key
from ledger.migrations import require_migrated
from ledger.store import Clock
from ledger.vault import stored_vault, unwrapped_index_key
from processors.configuration.settings import Configuration

from .facts import DatabaseFacts, Standby, Told, Trouble
from .machine import InWords, told

_T = TypeVar("_T")

_SERVER: Final = text("""
    select current_setting('server_version') as version, current_setting('server_encoding') as encoding,
           current_setting('TimeZone') as zone, current_user::text as role, clock_timestamp() as now,
           pg_is_in_recovery() as is_standby,
           (select rolsuper from pg_roles where rolname = current_user) as is_superuser,
           array(select name || ' = off' from pg_settings
                  where name in ('fsync', 'full_page_writes', 'synchronous_commit') and setting = 'off'
                  order by name) as lost_at_crash
""")
_STANDBYS: Final = text("select sync_state in ('sync', 'quorum') as waited_for, replay_lag from pg_stat_replication")


def database_facts(
    database: Database, configuration: Configuration, clock: Clock, in_words: InWords
) -> Told[DatabaseFacts]:
    """What it tells; `Trouble` where it is not reached, or not one that can be used."""
    return told(lambda: _facts(database, configuration, clock, in_words), in_words)


def _facts(database: Database, configuration: Configuration, clock: Clock, in_words: InWords) -> DatabaseFacts:
    def asked(question: Callable[[Connection], _T]) -> Told[_T]:
        def ask() -> _T:
            with database.begin() as connection:
                return question(connection)

        return told(ask, in_words)

    with database.begin() as connection:
        server = connection.execute(_SERVER).one()
        ahead, pooled = clock() - server.now, is_pooled(connection)
        standbys = [_standby(row) for row in connection.execute(_STANDBYS)]
    migrated = asked(require_migrated)
    unset: Trouble | None = migrated if isinstance(migrated, Trouble) else None
    connections = told(database.require_connections, in_words)
    return DatabaseFacts(
        version=server.version,
        encoding=server.encoding,
        zone=server.zone,
        role=server.role,
        is_superuser=server.is_superuser,
        is_embedded=database.programs is not None,
        is_pooled=pooled,
        is_standby=server.is_standby,
        lost_at_crash=server.lost_at_crash,
        standbys=standbys,
        ahead=ahead,
        clock_tolerance=timedelta(minutes=configuration.clock.tolerance_minutes),
        migrated=unset,
        connections=connections if isinstance(connections, Trouble) else None,
        key_fits=None if unset else asked(lambda connection: _key_fits(connection, configuration)),
        lacking=[] if unset else asked(roles.lacking),
        beyond=[] if unset else asked(roles.beyond),
    )


def _standby(row: Any) -> Standby:
    """The state of a standby; to most roles, PostgreSQL tells only that there is one."""
    return Standby(is_synchronous=bool(row.waited_for), lag=row.replay_lag)


def _key_fits(connection: Connection, configuration: Configuration) -> bool | None:
    """Whether the key file opens the ledger; None where it cannot be read, which is told of the file itself."""
    key_file = configuration.ledger.key_file
    try:
        key = read_master_key(key_file)
    except Exception:
        return None
    return unwrapped_index_key(key, stored_vault(connection)) is not None
