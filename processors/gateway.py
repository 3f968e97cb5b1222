"""One run's hold on the ledger: where everything that is seen, decided and done is recorded."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from ledger import migrations, store
from ledger.batching import Progress
from ledger.database import EMBEDDED, Database, open_database
from ledger.events import Event, NewEvent, new_event_id
from ledger.projector import Projector
from ledger.store import Clock, Store
from ledger.vault import SubjectName, Vault, initialise
from processors.configuration import LedgerSection
from processors.errors import ServiceError
from processors.events import EventType
from processors.locks import no_other_runs
from processors.projections import PROJECTIONS
from processors.text import is_blank


class Gateway:
    """The ledger as one run of one site uses it.

    `run` identifies the run in every event; `clock` gives the time with its zone; `zone` is the
    hospital's, in which REDCap's dates are written. `vault` may be a function that opens it: then the
    key file is needed by what seals or unseals only.
    """

    def __init__(
        self,
        *,
        database: Database,
        vault: Vault | Callable[[], Vault],
        site: str,
        clock: Clock,
        run: UUID,
        zone: tzinfo | None = None,
    ) -> None:
        self.database = database
        self._vault = vault
        self.site = site
        self.clock = clock
        self.run = run
        self.zone = zone
        self._store = Store(site=site, run=run, clock=clock)
        self._projector = Projector(PROJECTIONS)

    @property
    def vault(self) -> Vault:
        """The keys. Raises `KeyProblem` where they were to be opened at first use and cannot be."""
        if not isinstance(self._vault, Vault):
            self._vault = self._vault()
        return self._vault

    @vault.setter
    def vault(self, vault: Vault) -> None:
        self._vault = vault

    def begin(self) -> AbstractContextManager[Connection]:
        """A connection inside a transaction: committed at the end, rolled back on an exception."""
        return self.database.begin()

    def record(
        self, connection: Connection, events: Sequence[NewEvent], *, expected: Mapping[str, int] | None = None
    ) -> list[Event]:
        """The events as appended; the projections have moved with them, in the same transaction."""
        stored = self._store.append(connection, events, expected=expected)
        self._projector.advance(connection, stored)
        return stored

    def version(self, connection: Connection, stream: str) -> int:
        """The newest version of a stream, 0 where it has no events."""
        return store.stream_version(connection, stream)

    def catch_up(self, progress: Progress | None = None, *, alone: bool = False) -> int:
        """Brings projections to the ledger's head, rebuilding those whose code has changed.

        Sites share the tables, and a run under way would decide by emptied ones. So a rebuild keeps the
        other sites' runs away, unless the caller is `alone` and does so already; where one is under way,
        it raises `ServiceError`.
        """
        if alone or not self._is_rebuild_due():
            return self._projector.catch_up(self.begin, progress)
        with no_other_runs(self) as busy:
            if busy is not None:
                raise ServiceError(
                    f"The program has changed, and tables that sites share have to be made anew; expected no other "
                    f"site's run, found that of site {busy!r} under way. Nothing was changed; the next run goes on."
                )
            return self._projector.catch_up(self.begin, progress)

    def _is_rebuild_due(self) -> bool:
        with self.begin() as connection:
            return bool(self._projector.changed(connection))

    def sealed(
        self,
        connection: Connection,
        name: SubjectName,
        payload: Mapping[str, Any],
        *,
        stream: str,
        type_: EventType,
        data: Mapping[str, Any],
    ) -> NewEvent:
        """A new event whose `payload` is sealed for the named subject."""
        subject = self.vault.subjects(connection, [name])[name]
        event_id = new_event_id()
        return NewEvent(
            stream=stream,
            type=type_,
            data=data,
            event_id=event_id,
            subject=subject,
            sealed=self.vault.seal(subject, event_id, payload),
        )

    def identities(self, connection: Connection, positions: Collection[int]) -> dict[int, tuple[Event, dict[str, Any]]]:
        """The events at these positions with what was sealed in them: empty where it was forgotten."""
        events = store.read_positions(connection, positions)
        payloads = self.vault.unseal(connection, list(events.values()))
        return {position: (event, payloads.get(position, {})) for position, event in events.items()}

    def local(self, moment: datetime) -> datetime:
        """The moment in the hospital's zone."""
        return moment.astimezone(self.zone)


def patient_subject(study: str, patient_id: str) -> SubjectName:
    """Whom a series' identity is sealed for: its patient, or its study where the PatientID is blank."""
    return SubjectName("study", "", study) if is_blank(patient_id) else SubjectName("patient", "", patient_id)


def open_gateway_database(section: LedgerSection) -> Database:
    """The database that the configuration names."""
    return open_database(section.url, section.data_dir)


def open_gateway(
    database: Database, section: LedgerSection, *, clock: Clock, run: UUID, with_keys: bool = True
) -> Gateway:
    """The gateway on a ledger that is set up.

    An embedded ledger is migrated on the way; a server of one's own raises `NotMigrated`. Without
    `with_keys` the key file is not looked at before something has to be sealed or unsealed.
    """

    def open_vault() -> Vault:
        with database.begin() as connection:
            return Vault.open(connection, section.key_file)

    if section.url == EMBEDDED:
        if with_keys:
            set_up(database, section.key_file)
        else:
            migrations.migrate(database)
    with database.begin() as connection:
        migrations.require_migrated(connection)
    vault = open_vault() if with_keys else open_vault
    return Gateway(database=database, vault=vault, site=section.site, clock=clock, run=run)


def set_up(database: Database, key_file: Path) -> tuple[bool, bool]:
    """Migrates the ledger and makes its vault; tells whether tables changed and whether a key file was made."""
    changed = migrations.migrate(database)
    with database.begin() as connection:
        made = initialise(connection, key_file)
    return changed, made
