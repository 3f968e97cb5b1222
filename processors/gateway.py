"""The ledger as a run uses it: units of work, in which everything that is seen, decided and done is recorded."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Connection, CursorResult, Executable

from ledger import attestation, embedded, erasures, heads, migrations, store
from ledger.batching import Progress
from ledger.chain import KeptHead
from ledger.database import EMBEDDED, Database, open_database
from ledger.errors import Misconfigured
from ledger.events import Event, NewEvent, new_event_id
from ledger.lease import Waiting, unwatched
from ledger.projector import Projector
from ledger.store import Clock, Head, Store
from ledger.vault import SubjectName, Vault, initialise
from processors.bounds import storable
from processors.configuration.settings import LedgerSection, SenderSection
from processors.errors import LedgerMissing, ServiceError
from processors.events.fact import Fact
from processors.locks import no_runs
from processors.placeholders import USUAL_PLACEHOLDERS, Placeholders
from processors.projections import PROJECTIONS
from processors.redcap import LookedUp
from processors.text import is_blank, same_to_people

Parameters = Mapping[str, Any]
"""Values of a statement, by name."""


class Gateway:
    """The ledger as one run of one site uses it.

    `run` identifies the run in every event; `clock` gives the time with its zone; `zone` is the
    hospital's, in which REDCap's dates are written; `sender` what is configured of the programs that
    carry requests out, and `raw` where these find the studies' summaries; `placeholders` the PatientIDs that stand for
    nobody. `vault` may be a function that opens it: then the key file is needed by what seals or unseals only. `loss`
    says what the ledger has lost, as far as what is kept beside the key file tells, until a person has settled it;
    `seen` is where it ended when it was opened.
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
        sender: SenderSection | None = None,
        raw: Path | None = None,
        placeholders: Placeholders = USUAL_PLACEHOLDERS,
        loss: str = "",
        seen: Head | None = None,
    ) -> None:
        self.database = database
        self.looked_up = LookedUp(database)
        self._vault = vault
        self.site = site
        self.clock = clock
        self.run = run
        self.zone = zone
        self.sender = sender or SenderSection()
        self.raw = raw
        self.placeholders = placeholders
        self.loss = loss
        self._store = Store(site=site, run=run, clock=clock)
        self._projector = Projector(PROJECTIONS)
        self._has_appended = False
        self._appended: Head | None = None
        self._seen = seen

    @property
    def appended(self) -> Head | None:
        """Where the ledger ended when this gateway last appended; None where it has appended nothing."""
        return self._appended

    @property
    def vault(self) -> Vault:
        """The keys. Raises `KeyProblem` where they were to be opened at first use and cannot be."""
        if not isinstance(self._vault, Vault):
            self._vault = self._vault()
        return self._vault

    @vault.setter
    def vault(self, vault: Vault) -> None:
        self._vault = vault

    @contextmanager
    def begin(self) -> Iterator["Work"]:
        """A unit of work: committed at the end, rolled back on an exception."""
        with self.database.begin() as connection:
            work = Work(self, connection)
            yield work
        self._appended = work.appended or self._appended

    def append(
        self, connection: Connection, events: Sequence[NewEvent], *, expected: Mapping[str, int] | None = None
    ) -> list[Event]:
        """The events as appended; the projections have moved with them, in the same transaction."""
        if not events:
            return []
        stored = self._store.append(connection, events, expected=expected)
        self._has_appended = True
        self._projector.advance(connection, stored)
        # Again, now that the head is locked: a lease that was lost since the transaction began would be noticed here.
        self.database.require_leases(connection)
        return stored

    def attest(self) -> None:
        """Attests where the ledger ends, if anything was appended and the keys are open; see `ledger.attestation`."""
        if self._has_appended and isinstance(self._vault, Vault):
            with self.database.begin() as connection:
                attestation.attest(connection, self._vault)

    def keep_head(self, key_file: Path) -> None:
        """Keeps beside the key file where this gateway last knew the ledger to end, should it be away by now.

        What others appended counts: a site that only looks on would take a copy without it for the whole. Not where
        something is lost: what was kept tells that. Raises `Misconfigured` where it cannot be written.
        """
        last = self._appended or self._seen
        if last is not None and not self.loss:
            heads.keep(key_file, self._kept(last))

    def accept_loss(self, key_file: Path) -> None:
        """Goes on from where the ledger ends now: a person has settled what it lost. Raises `Misconfigured`."""
        self.loss = ""
        with self.database.begin() as connection:
            end = store.head(connection)
        heads.replace(key_file, self._kept(end))

    def _kept(self, head: Head) -> KeptHead:
        return KeptHead(head.position, head.hash, self.clock().isoformat(timespec="seconds"))

    def catch_up(self, progress: Progress | None = None, *, alone: bool = False) -> int:
        """Brings projections to the ledger's head, rebuilding those whose code has changed.

        Sites share the tables, and a run under way would decide by emptied ones. So a rebuild keeps
        other runs away, unless the caller is `alone` and does so already; where one is under way,
        it raises `ServiceError`.
        """
        with self.database.begin() as connection:
            if self._projector.is_current(connection):
                return 0
            is_rebuild = bool(self._projector.changed(connection))
        if alone or not is_rebuild:
            return self._projector.catch_up(self.database.begin, progress)
        with no_runs(self.database) as busy:
            if busy is not None:
                raise ServiceError(
                    f"The program has changed, and tables that sites share have to be made anew; expected no other "
                    f"run, found {busy.who} under way ({busy.where}). Nothing was changed; the next run goes on."
                )
            return self._projector.catch_up(self.database.begin, progress)

    def name_fingerprint(self, project: str, pseudonym: str) -> str | None:
        """A keyed hash, equal for what people take for one pseudonym of the project; None for a blank one."""
        if is_blank(pseudonym):
            return None
        return self.vault.fingerprint(orjson.dumps(["pseudonym", project, same_to_people(storable(pseudonym))]))

    def id_fingerprint(self, project: str, value: str) -> str:
        """A keyed hash, equal for this very ID of the project alone."""
        return self.vault.fingerprint(orjson.dumps(["ID", project, storable(value)]))

    def local(self, moment: datetime) -> datetime:
        """The moment in the hospital's zone."""
        return moment.astimezone(self.zone)


class Work:
    """A unit of work: one transaction on the ledger, and what is asked and recorded within it.

    Whoever gathers, decides or records takes it as its one argument for the ledger.
    """

    def __init__(self, gateway: Gateway, connection: Connection) -> None:
        self.gateway = gateway
        self.connection = connection
        self.appended: Head | None = None

    @property
    def site(self) -> str:
        """The site worked for."""
        return self.gateway.site

    @property
    def vault(self) -> Vault:
        """The keys. Raises `KeyProblem` where they cannot be opened."""
        return self.gateway.vault

    @property
    def clock(self) -> Clock:
        """Gives the time with its zone."""
        return self.gateway.clock

    @property
    def placeholders(self) -> Placeholders:
        """The PatientIDs that stand for nobody."""
        return self.gateway.placeholders

    def local(self, moment: datetime) -> datetime:
        """The moment in the hospital's zone."""
        return self.gateway.local(moment)

    def execute(
        self, statement: Executable, parameters: Parameters | Sequence[Parameters] | None = None, **options: Any
    ) -> "CursorResult[*tuple[Any, ...]]":
        """What the statement gives, inside the transaction."""
        return self.connection.execute(statement, parameters, **options)

    def record(self, facts: Iterable[Fact | NewEvent], *, expected: Mapping[str, int] | None = None) -> list[Event]:
        """The events as appended; the projections have moved with them.

        Facts of which something is to be sealed come from `seal`.
        """
        events = [_unsealed(fact) if isinstance(fact, Fact) else fact for fact in facts]
        stored = self.gateway.append(self.connection, events, expected=expected)
        if stored:
            self.appended = Head(stored[-1].position, stored[-1].hash)
        return stored

    def seal(self, fact: Fact, subject: SubjectName | UUID) -> NewEvent:
        """The fact as a new event, what identifies a person encrypted for the subject."""
        if isinstance(subject, SubjectName):
            subject = self.vault.subjects(self.connection, [subject])[subject]
        event_id = new_event_id()
        return NewEvent(
            stream=fact.stream,
            type=type(fact).__name__,
            data=fact.data,
            event_id=event_id,
            subject=subject,
            sealed=self.vault.seal(subject, event_id, fact.payload),
        )

    def name_fingerprint(self, project: str, pseudonym: str) -> str | None:
        """A keyed hash, equal for what people take for one pseudonym of the project; None for a blank one."""
        return self.gateway.name_fingerprint(project, pseudonym)

    def id_fingerprint(self, project: str, value: str) -> str:
        """A keyed hash, equal for this very ID of the project alone."""
        return self.gateway.id_fingerprint(project, value)

    def version(self, stream: str) -> int:
        """The newest version of a stream, 0 where it has no events."""
        return store.stream_version(self.connection, stream)

    def identities(self, positions: Collection[int]) -> dict[int, tuple[Event, dict[str, Any]]]:
        """The events at these positions with what was sealed in them: empty where it was forgotten."""
        events = store.read_positions(self.connection, positions)
        payloads = self.vault.unseal(self.connection, list(events.values()))
        return {position: (event, payloads.get(position, {})) for position, event in events.items()}


def _unsealed(fact: Fact) -> NewEvent:
    if fact.SEALED:
        raise ValueError(f"{type(fact).__name__} holds what identifies a person: expected it sealed.")
    return NewEvent(stream=fact.stream, type=type(fact).__name__, data=fact.data)


def patient_subject(study: str, patient_id: str, placeholders: Placeholders = USUAL_PLACEHOLDERS) -> SubjectName:
    """Whom a series' identity is sealed for: its patient, or its study where the PatientID names nobody."""
    if placeholders.names_nobody(patient_id):
        return SubjectName("study", "", study)
    return SubjectName("patient", "", patient_id)


def has_ledger(section: LedgerSection) -> bool:
    """Whether there can be a ledger to ask: an embedded one is made by the first command that works with it.

    Raises `LedgerMissing` where there was one, by what is kept beside the key file: another one in its place would
    hide that, fill the mount point of its disk, and be in the way of `restore`.
    """
    if section.url != EMBEDDED or not embedded.is_missing(section.data_dir):
        return True
    last = heads.kept(section.key_file)
    if last is None or last.position == 0:
        return False
    head, journal = heads.head_file(section.key_file), erasures.journal(section.key_file)
    raise LedgerMissing(
        f"Expected in ledger.data_dir ({section.data_dir}) the ledger whose last event of {last.taken} is at position "
        f"{last.position} ({head}), found no data there. Nothing was made in its place. Mount the disk, or put the "
        "folder back where it was; if it is lost, `fiona-ledger restore` makes it anew from a backup (docs/backup.md). "
        f"Only if a new, empty ledger is meant, move {section.key_file}, {head.name} and {journal.name} away."
    )


def open_gateway_database(section: LedgerSection) -> Database:
    """The database that the configuration names. Raises `LedgerMissing` where its data are not there any more."""
    has_ledger(section)
    return open_database(section.url, section.data_dir, stays=section.stays)


def open_gateway(
    database: Database,
    section: LedgerSection,
    *,
    clock: Clock,
    run: UUID,
    key_made: Callable[[Path], None],
    with_keys: bool = True,
    sender: SenderSection | None = None,
    raw: Path | None = None,
    placeholders: Placeholders = USUAL_PLACEHOLDERS,
) -> Gateway:
    """The gateway on a ledger that is set up.

    An embedded ledger is set up on the way where it has to be, and `key_made` told of the key file that was made for
    it; a server of one's own raises `NotMigrated`. Without `with_keys` the key file is not looked at before something
    has to be sealed or unsealed.
    """

    def open_vault() -> Vault:
        with database.begin() as connection:
            return Vault.open(connection, section.key_file)

    if section.url == EMBEDDED:
        if with_keys:
            _, made = set_up(database, section.key_file)
            if made:
                key_made(section.key_file)
        else:
            migrations.migrate(database)
    with database.begin() as connection:
        migrations.require_migrated(connection)
        loss, seen = "", store.head(connection) if with_keys else None
        # Who may not read the key need not be able to read what is kept beside it.
        with nullcontext() if with_keys else suppress(Misconfigured):
            loss = loss_of(connection, section.key_file)
    vault = open_vault() if with_keys else open_vault
    return Gateway(
        database=database,
        vault=vault,
        site=section.site,
        clock=clock,
        run=run,
        sender=sender,
        raw=raw,
        placeholders=placeholders,
        loss=loss,
        seen=seen,
    )


def loss_of(connection: Connection, key_file: Path) -> str:
    """What the ledger has lost, as far as what is kept beside the key file tells; blank where it is whole."""
    lost = heads.lacking(connection, key_file)
    if lost is not None:
        end = store.head(connection).position
        found = "another one there" if end >= lost.position else f"that the ledger ends at {end}"
        return (
            f"Expected the event at position {lost.position} to be the ledger's last one of {lost.taken} "
            f"({heads.head_file(key_file)}), found {found}."
        )
    back = []
    with suppress(Misconfigured):  # `forget` and `backup` tell of a file that cannot be read
        back = erasures.back_again(connection, key_file)
    if back:
        return (
            f"Expected the keys of all who were forgotten ({erasures.journal(key_file)}) to be destroyed, found those "
            f"of {len(back)} subjects."
        )
    return ""


def set_up(database: Database, key_file: Path, *, waiting: Waiting = unwatched) -> tuple[bool, bool]:
    """Migrates the ledger and makes its vault; tells whether tables changed and whether a key file was made."""
    changed = migrations.migrate(database, waiting=waiting)
    with database.begin() as connection:
        made = initialise(connection, key_file)
    return changed, made
