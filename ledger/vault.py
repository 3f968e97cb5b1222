"""Sealing what identifies a person, under keys that can be destroyed.

Each subject (a patient, say) has a data key of its own: AES-256, random. It is stored wrapped by
the master key, which lives in a file outside the database. A subject is found again by a keyed
hash of what names it, so the database never holds the name. Destroying the wrapped data key makes
every event sealed under it unreadable for ever, while the events themselves stand and verify.

Three keys are derived or kept apart: the master key (in the file) wraps; the index key (random,
stored wrapped in `ledger.vault`) hashes names and contents, and authenticates what whoever owns the
database must not write; data keys seal. A new master key therefore re-wraps (`rekeying`), and no
hash ever changes.

All that is encrypted is bound to what it belongs to (AES-GCM's associated data): a data key to its
ledger, subject and lookup, a sealed part to its ledger, subject and event. Exchanged or put
elsewhere, it does not open.

Which master key is the right one is told by the wrapped index key: only that key opens it. A new
one waits beside the old, under another name, until the database says that it is the right one.
"""

import contextlib
import copy
import hashlib
import hmac
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, Transaction, text

from ledger.chain import GENESIS
from ledger.errors import Corrupt, KeyProblem
from ledger.events import Event, new_event_id
from ledger.key_file import KEY_BYTES, next_key_file, put_in_place, read_master_key, write_master_key

_NONCE_BYTES = 12
_KEYS_KEPT = 20_000
_INDEX_KEY_CONTEXT = b"index key"
_AUTHENTICATION_KEY_CONTEXT = b"\x00authentication"  # no lookup is made of this: kinds of subjects are words

NOT_ITS_KEY = (
    "The data key of subject {} does not open with this ledger's master key: its row in ledger.subject has been "
    "changed or exchanged with another's, or it was wrapped by another master key."
)


class SubjectName(NamedTuple):
    """What names a subject: its kind ("patient", "study", ...), a scope within it, and the name itself.

    Only a keyed hash of `name` is stored; `kind` and `scope` are stored as they are. `likeness`, of which a hash is
    stored as well, is what names have in common that are nearly alike; blank where nobody asks for those.
    """

    kind: str
    scope: str
    name: str
    likeness: str = ""


class _DataKey(NamedTuple):
    """A subject's key: what seals for it, and what makes its fingerprints."""

    sealing: AESGCM
    hashing: bytes


class StoredVault(NamedTuple):
    """The vault as the database has it. The master key is the one that opens the index key."""

    ledger: UUID
    wrapped_index_key: bytes


class Subject(NamedTuple):
    """A subject as the database has it; `lookup` and `wrapped_key` are None for a forgotten one."""

    subject: UUID
    kind: str
    scope: str
    lookup: bytes | None
    likeness: bytes | None
    wrapped_key: bytes | None

    def context(self, ledger: UUID) -> bytes:
        """What the data key is bound to."""
        named = f"{self.kind}\x1f{self.scope}".encode("utf-8", "surrogatepass")
        return b"".join((ledger.bytes, self.subject.bytes, self.lookup or b"", self.likeness or b"", named))


class Vault:
    """Seals and unseals with the subjects' keys of one ledger."""

    def __init__(self, master_key: bytes, index_key: bytes, stored: StoredVault) -> None:
        self._master = AESGCM(master_key)
        self._index_key = index_key
        self._authentication_key = hmac.digest(index_key, _AUTHENTICATION_KEY_CONTEXT, "sha256")
        self._stored = stored
        self._keys: dict[UUID, _DataKey | None] = {}
        self._subjects: dict[SubjectName, UUID] = {}
        self._subjects_of: Transaction | None = None

    @classmethod
    def open(cls, connection: Connection, key_file: Path) -> "Vault":
        """The vault of this ledger. Raises `KeyProblem` where the key file does not fit it.

        A change of the master key that was interrupted between database and file is completed.
        """
        stored = stored_vault(connection)
        master_key = read_master_key(key_file)
        index_key = unwrapped_index_key(master_key, stored)
        if index_key is None:
            stored, master_key, index_key = _after_key_change(connection, key_file)
        return cls(master_key, index_key, stored)

    def apart(self) -> "Vault":
        """The same vault for another thread: what either looks up for its transaction, the other does not touch."""
        other = copy.copy(self)
        other._keys, other._subjects, other._subjects_of = {}, {}, None  # noqa: SLF001 - of this very class
        return other

    def subjects(self, connection: Connection, names: Collection[SubjectName]) -> dict[SubjectName, UUID]:
        """The subject of each name, made with a fresh data key where there is none yet."""
        self._forget_other_transactions(connection)
        missing = [name for name in dict.fromkeys(names) if name not in self._subjects]
        if missing:
            self._subjects.update(self._find_or_make(connection, missing))
        return {name: self._subjects[name] for name in names}

    def found(self, connection: Connection, names: Iterable[SubjectName]) -> dict[SubjectName, UUID]:
        """The subjects of those of the names that have one, in one query."""
        lookups = {self._lookup(name): name for name in names}
        return {lookups[lookup]: subject.subject for lookup, subject in _by_lookup(connection, list(lookups)).items()}

    def mark(self, name: SubjectName) -> str:
        """A keyed hash (32 hex digits) by which whoever has the name is known, also when forgotten or not made yet."""
        return self.fingerprint(self._lookup(name))

    def marks(self, connection: Connection, subjects: Collection[UUID]) -> dict[UUID, str]:
        """The marks of those of the subjects that were not forgotten, in one query."""
        rows = connection.execute(
            text("select subject, lookup from ledger.subject where subject = any(:subjects) and lookup is not null"),
            {"subjects": list(subjects)},
        )
        return {row.subject: self.fingerprint(bytes(row.lookup)) for row in rows}

    def alike(self, connection: Connection, kind: str, likenesses: Iterable[str]) -> list[UUID]:
        """The subjects of this kind with one of these likenesses, in one query."""
        hashes = [self._likeness(kind, likeness) for likeness in likenesses]
        rows = connection.execute(
            text("select subject from ledger.subject where likeness = any(:likenesses)"), {"likenesses": hashes}
        )
        return list(rows.scalars())

    def forget(self, connection: Connection, subjects: Collection[UUID]) -> int:
        """Destroys the data keys of these subjects, for good once the transaction ends; gives how many had one.

        What was sealed for them stays where it is and never opens again. Their names lead to nobody.
        """
        destroyed: int = connection.execute(
            text("""
                update ledger.subject set wrapped_key = null, lookup = null, likeness = null
                 where subject = any(:subjects) and wrapped_key is not null
            """),
            {"subjects": list(subjects)},
        ).rowcount
        self._keys.clear()
        self._subjects.clear()
        return destroyed

    def load(self, connection: Connection, subjects: Iterable[UUID | None]) -> None:
        """Fetches the data keys that unsealing for these subjects will need, in one query."""
        self._forget_other_transactions(connection)
        missing = list({subject for subject in subjects if subject is not None and subject not in self._keys})
        if not missing:
            return
        rows = connection.execute(_BY_SUBJECT, {"subjects": missing})
        self._keys.update(dict.fromkeys(missing))
        for subject in map(Subject._make, rows):
            if subject.wrapped_key is not None:
                self._keys[subject.subject] = self._data_key(connection, subject)

    def holds(self, subject: UUID) -> bool:
        """Whether the data key of a loaded subject is there: not so for a forgotten one."""
        return self._keys.get(subject) is not None

    def seal(self, subject: UUID, event_id: UUID, payload: Mapping[str, Any]) -> bytes:
        """`payload` encrypted for `subject`, bound to the event: it opens in no other event.

        The subject must have come from `subjects` of this vault, or been loaded; a forgotten one
        raises `KeyProblem`.
        """
        key = self._loaded(subject)
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + key.sealing.encrypt(nonce, orjson.dumps(payload), self._event_context(subject, event_id))

    def unseal(self, connection: Connection, events: Collection[Event]) -> dict[int, dict[str, Any]]:
        """The sealed payloads by position; events without one, or whose subject is forgotten, are absent.

        Raises `Corrupt` where a sealed part or a data key is not the one that was stored.
        """
        self.load(connection, (event.subject for event in events))
        return {event.position: payload for event in events if (payload := self._open(event)) is not None}

    def fingerprint(self, content: bytes) -> str:
        """A keyed hash of `content` (32 hex digits): equal for equal content, and tells nothing else."""
        return hashlib.blake2b(content, key=self._index_key, digest_size=16).hexdigest()

    def fingerprint_for(self, subject: UUID, content: bytes) -> str:
        """A keyed hash of `content`, equal for equal content of this subject alone.

        Once the subject is forgotten, nobody can make it again, not even of the right guess. The subject must have
        been loaded, as for `seal`.
        """
        return hashlib.blake2b(content, key=self._loaded(subject).hashing, digest_size=16).hexdigest()

    def authentication(self, what: str, *parts: bytes) -> bytes:
        """What shows that somebody with the master key has written these parts, of this ledger: a keyed hash."""
        material = b"".join(len(part).to_bytes(8, "big") + part for part in (what.encode(), *parts))
        return hmac.digest(self._authentication_key, self._stored.ledger.bytes + material, "sha256")

    def attestation(self, position: int, hash_: bytes, forgotten: int) -> bytes:
        """The code of an attestation; see `ledger.attestation`."""
        return self.authentication("attestation", f"{position} {forgotten}".encode(), hash_)

    def _event_context(self, subject: UUID, event_id: UUID) -> bytes:
        return self._stored.ledger.bytes + subject.bytes + event_id.bytes

    def _loaded(self, subject: UUID) -> _DataKey:
        key = self._keys.get(subject)
        if key is None:
            raise KeyProblem(f"Subject {subject} has no data key (any more); nothing can be sealed for it.")
        return key

    def _open(self, event: Event) -> dict[str, Any] | None:
        if event.subject is None or event.sealed is None or (key := self._keys[event.subject]) is None:
            return None
        nonce, ciphertext = event.sealed[:_NONCE_BYTES], event.sealed[_NONCE_BYTES:]
        context = self._event_context(event.subject, event.event_id)
        try:
            payload: dict[str, Any] = orjson.loads(key.sealing.decrypt(nonce, ciphertext, context))
        except InvalidTag as exc:
            raise Corrupt(
                f"The sealed part of the event at position {event.position} does not open with its subject's "
                "key: one of the two has been changed. Run `fiona-ledger verify`."
            ) from exc
        return payload

    def _data_key(self, connection: Connection, subject: Subject) -> _DataKey:
        try:
            key = _unwrap(self._master, subject.wrapped_key or b"", subject.context(self._stored.ledger))
            return _DataKey(AESGCM(key), hmac.digest(key, b"fingerprint", "sha256"))
        except InvalidTag as exc:
            self._require_same_master(connection)
            raise Corrupt(f"{NOT_ITS_KEY.format(subject.subject)} Run `fiona-ledger verify`.") from exc

    def _require_same_master(self, connection: Connection) -> None:
        """Raises `KeyProblem` where the master key was changed after this vault was opened.

        A data key that was then wrapped by the old one could never be opened again.
        """
        if self._stored != stored_vault(connection):
            raise KeyProblem("The master key was changed while this was at work. Start it again: nothing is lost.")

    def _forget_other_transactions(self, connection: Connection) -> None:
        """Keeps what was looked up no longer than its transaction.

        A subject that was made and rolled back is nowhere: sealing for it again would lose the
        sealed values for ever. And another process may destroy a key.
        """
        transaction = connection.get_nested_transaction() or connection.get_transaction()
        if transaction is None or transaction is not self._subjects_of:
            self._subjects.clear()
            self._subjects_of = transaction
            if len(self._keys) > _KEYS_KEPT:
                self._keys.clear()

    def _lookup(self, name: SubjectName) -> bytes:
        return self._hash(name.kind, name.scope, name.name)

    def _likeness(self, kind: str, likeness: str) -> bytes:
        return self._hash("likeness", kind, likeness)

    def _hash(self, *parts: str) -> bytes:
        return hmac.digest(self._index_key, "\x1f".join(parts).encode("utf-8", "surrogatepass"), "sha256")

    def _find_or_make(self, connection: Connection, names: list[SubjectName]) -> dict[SubjectName, UUID]:
        """Concurrent makers of one subject end up with one: the first makes it, the others find it.

        Who makes a subject is about to append for it: taking the head's lock now keeps two makers of
        the same subjects in different orders from waiting for each other.

        A forgotten subject has lost its lookup as well as its key: a person who comes back after
        having been forgotten is somebody new.
        """
        lookups = {self._lookup(name): name for name in names}
        known = _by_lookup(connection, list(lookups))
        new = [self._fresh(name, lookup) for lookup, name in lookups.items() if lookup not in known]
        if new:
            connection.execute(text("select position from ledger.head for update"))
            self._require_same_master(connection)  # who changes it holds the head's lock as well
            # As arrays: a statement for each would take several times as long.
            columns = zip(*new, strict=True)
            connection.execute(_INSERT_SUBJECTS, dict(zip(Subject._fields, map(list, columns), strict=True)))
            known |= _by_lookup(connection, [made.lookup for made in new if made.lookup is not None])
        for subject in known.values():
            self._keys[subject.subject] = self._data_key(connection, subject)
        return {name: known[lookup].subject for lookup, name in lookups.items()}

    def _fresh(self, name: SubjectName, lookup: bytes) -> Subject:
        likeness = self._likeness(name.kind, name.likeness) if name.likeness else None
        made = Subject(new_event_id(), name.kind, name.scope, lookup, likeness, None)
        wrapped = _wrap(self._master, os.urandom(KEY_BYTES), made.context(self._stored.ledger))
        return made._replace(wrapped_key=wrapped)


def initialise(connection: Connection, key_file: Path) -> bool:
    """Gives a new ledger its vault; True where the key file was made for it.

    The key file is made (mode 0600) only where the ledger has no vault yet: once something may
    have been sealed, a new key would pretend that all is well while the old names are lost.
    """
    if not _has_vault(connection):
        # Of two at once, the second waits here and then finds the first one's vault.
        connection.execute(text("lock table ledger.vault in exclusive mode"))
    if _has_vault(connection):
        Vault.open(connection, key_file)
        return False
    made = write_master_key(key_file)
    master_key, index_key, ledger = read_master_key(key_file), os.urandom(KEY_BYTES), uuid4()
    stored = StoredVault(ledger, wrap_index_key(master_key, ledger, index_key))
    connection.execute(
        text("insert into ledger.vault (ledger, wrapped_index_key) values (:ledger, :wrapped_index_key)"),
        stored._asdict(),
    )
    connection.execute(
        text("insert into ledger.attestation (position, hash, forgotten, code) values (0, :hash, 0, :code)"),
        {"hash": GENESIS, "code": Vault(master_key, index_key, stored).attestation(0, GENESIS, 0)},
    )
    return made


def _has_vault(connection: Connection) -> bool:
    return bool(connection.execute(text("select exists (select from ledger.vault)")).scalar_one())


def stored_vault(connection: Connection, *, locked: bool = False) -> StoredVault:
    """The vault as the database has it; `locked`: nobody else changes it before this transaction ends."""
    row = connection.execute(text(f"select ledger, wrapped_index_key from ledger.vault{' for update' * locked}"))
    stored = row.one_or_none()
    if stored is None:
        raise KeyProblem("The ledger has no vault yet. Run `fiona-ledger migrate`.")
    return StoredVault(stored.ledger, bytes(stored.wrapped_index_key))


def unwrapped_index_key(master_key: bytes, stored: StoredVault) -> bytes | None:
    """The index key, None where this is not its master key."""
    try:
        return _unwrap(AESGCM(master_key), stored.wrapped_index_key, stored.ledger.bytes + _INDEX_KEY_CONTEXT)
    except InvalidTag:
        return None


def wrap_index_key(master_key: bytes, ledger: UUID, index_key: bytes) -> bytes:
    """The index key as the database keeps it."""
    return _wrap(AESGCM(master_key), index_key, ledger.bytes + _INDEX_KEY_CONTEXT)


def rewrap_data_key(old: AESGCM, new: AESGCM, ledger: UUID, subject: Subject) -> bytes:
    """The subject's data key, wrapped by the new master key instead of the old. Raises `Corrupt`."""
    context = subject.context(ledger)
    try:
        return _wrap(new, _unwrap(old, subject.wrapped_key or b"", context), context)
    except InvalidTag as exc:
        raise Corrupt(
            f"{NOT_ITS_KEY.format(subject.subject)} Run `fiona-ledger verify`. Nothing was changed now."
        ) from exc


def hold_key_change_lock(connection: Connection) -> None:
    """Keeps everybody else from giving key files their places, for as long as this transaction lasts.

    A row, which only those can lock who may attest: of an advisory lock, any role could keep hold. Where the database
    takes no changes, nobody changes keys.
    """
    if not connection.execute(text("select current_setting('transaction_read_only')::boolean")).scalar_one():
        connection.execute(text("select from ledger.attestation for update"))


def _after_key_change(connection: Connection, key_file: Path) -> tuple[StoredVault, bytes, bytes]:
    """What is stored, master key and index key, where the key file does not fit at first sight.

    Either a change of the master key has ended a moment ago, or it was interrupted after its commit:
    then the new key still waits under its other name, and is given its place. While somebody is
    changing the key, this waits.
    """
    hold_key_change_lock(connection)
    stored = stored_vault(connection)
    for file in (key_file, next_key_file(key_file)):
        with contextlib.suppress(KeyProblem):
            master_key = read_master_key(file)
            index_key = unwrapped_index_key(master_key, stored)
            if index_key is not None:
                with contextlib.suppress(OSError):  # whoever may not write there works with it all the same
                    put_in_place(key_file, master_key)
                return stored, master_key, index_key
    raise KeyProblem(
        f"The master key in {key_file} is not the one this ledger was made with, or has been given since by "
        "`fiona-ledger rekey`. Put the right key file back from its backup; without it, names and patient IDs in "
        "the ledger stay sealed."
    )


_INSERT_SUBJECTS = text("""
    insert into ledger.subject (subject, kind, scope, lookup, likeness, wrapped_key)
    select * from unnest(cast(:subject as uuid[]), cast(:kind as text[]), cast(:scope as text[]),
                         cast(:lookup as bytea[]), cast(:likeness as bytea[]), cast(:wrapped_key as bytea[]))
    on conflict (lookup) do nothing
""")


_SUBJECTS = "select subject, kind, scope, lookup, likeness, wrapped_key from ledger.subject"
_BY_SUBJECT = text(f"{_SUBJECTS} where subject = any(:subjects)")
_BY_LOOKUP = text(f"{_SUBJECTS} where lookup = any(:lookups)")


def _by_lookup(connection: Connection, lookups: list[bytes]) -> dict[bytes, Subject]:
    rows = connection.execute(_BY_LOOKUP, {"lookups": lookups})
    return {bytes(row.lookup): Subject._make(row) for row in rows}


def _wrap(master: AESGCM, key: bytes, context: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + master.encrypt(nonce, key, context)


def _unwrap(master: AESGCM, wrapped: bytes, context: bytes) -> bytes:
    return master.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], context)
