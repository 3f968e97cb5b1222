"""What a run does for evidence: once a day a checkpoint, which is sent to the witnesses and the authority.

Whoever could not be had is asked again each hour, about the same checkpoint.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from functools import partial
from typing import Final, NamedTuple, Self

from sqlalchemy import Connection

from ledger import attestation
from ledger.chain import KeptCheckpoint, VerifierKey
from ledger.key_file import site_key
from ledger.proof import Signer, checkpoint_of, witness_request
from ledger.vault import stored_vault
from processors.clocks import is_due
from processors.configuration.settings import Configuration, LedgerSection, WitnessSection
from processors.gateway import Gateway
from processors.operations.proofs.kept import Failure, Folder, day_of
from processors.operations.proofs.timestamps import Authority, NoTimestamp
from processors.operations.proofs.witnesses import CommandWitness, FolderWitness, NoCosignature, Witness

_AGAIN_AFTER: Final = timedelta(hours=1)


class Silence(NamedTuple):
    """A witness or an authority that gave nothing when it was asked last: `words` says why, as a predicate."""

    name: str
    since: datetime
    words: str


class Evidence(NamedTuple):
    """What a configuration says of evidence: where it is kept, and who gives it."""

    folder: Folder
    witnesses: Sequence[Witness]
    authority: Authority | None

    @classmethod
    def of(cls, configuration: Configuration) -> Self:
        """That of a configuration."""
        section = configuration.proof
        limit = section.time_limit_seconds
        url, roots = section.timestamp_url, section.timestamp_roots
        return cls(
            folder=Folder(section.folder or configuration.ledger.data_dir / "proofs"),
            witnesses=[_witness(each, limit) for each in section.witnesses],
            authority=None if url is None or roots is None else Authority(url, roots, time_limit=limit),
        )

    @property
    def names(self) -> list[str]:
        """Of all who give evidence."""
        return [*(witness.key.name for witness in self.witnesses), *([self.authority.url] if self.authority else [])]

    def is_due(self, now: datetime) -> bool:
        """Whether a run at that moment has something to do."""
        kept = self.folder.sound(day_of(now))
        return bool(self.names) and (kept is None or bool(self.awaited(kept, now)))

    def awaited(self, kept: KeptCheckpoint, now: datetime) -> list[str]:
        """Those who have not given evidence of the day's checkpoint yet, and were not asked within the hour."""
        day, failures = day_of(now), self.folder.failures()
        awaited = [witness.key.name for witness in self.witnesses if not _has_seen(kept, witness.key)]
        if self.authority is not None and self.folder.timestamp(day) is None:
            awaited.append(self.authority.url)
        return [name for name in awaited if name not in failures or is_due(failures[name].at, now, _AGAIN_AFTER)]

    def silences(self) -> list[Silence]:
        """Who gave nothing when asked last."""
        names, failures = self.names, self.folder.failures()
        return [Silence(name, failures[name].since, failures[name].words) for name in names if name in failures]


def origin_of(connection: Connection) -> str:
    """The name under which the ledger's proofs go out."""
    return f"fiona-ledger/{stored_vault(connection).ledger}"


def signer_of(connection: Connection, section: LedgerSection) -> Signer:
    """The ledger itself, by that name."""
    return Signer(origin_of(connection), site_key(section.key_file))


def gather(gateway: Gateway, evidence: Evidence, section: LedgerSection) -> list[str]:
    """Keeps the day's checkpoint, and what witnesses and the authority give for it; tells what was damaged there.

    That one of them gives nothing is kept, too. Raises `Corrupt` where the ledger is not what was attested, and
    `Misconfigured` where nothing can be kept.
    """
    now, folder = gateway.clock(), evidence.folder
    day = day_of(now)
    folder.make()
    kept, told = folder.sound(day), []
    with gateway.begin() as work:
        signer = signer_of(work.connection, section)
        if kept is None or not _is_signed(kept, signer.key):
            told = folder.set_aside(day)
            attestation.verify(work.connection, work.vault)
            folder.keep(day, checkpoint_of(work.connection, signer))
            kept = folder.checkpoint(day)
    failures, awaited = folder.failures(), evidence.awaited(kept, now)
    for name, ask in _asked(gateway, evidence, day, kept):
        if name in awaited:
            words = ask()
            before = failures.pop(name, None)
            if words:
                failures[name] = Failure(now if before is None else before.since, now, words)
    folder.keep_failures(failures)
    return told


def _asked(
    gateway: Gateway, evidence: Evidence, day: date, kept: KeptCheckpoint
) -> Iterator[tuple[str, Callable[[], str]]]:
    """Each who gives evidence, with how to have it: that tells why it was not had, or nothing."""
    for witness in evidence.witnesses:
        yield witness.key.name, partial(_have_countersigned, gateway, evidence.folder, witness, kept)
    if evidence.authority is not None:
        yield evidence.authority.url, partial(_have_stamped, evidence.folder, evidence.authority, day, kept)


def _have_countersigned(gateway: Gateway, folder: Folder, witness: Witness, kept: KeptCheckpoint) -> str:
    earlier = folder.sound_newest_first()
    seen = next((each.checkpoint.size for _, each in earlier if _has_seen(each, witness.key)), 0)
    try:
        countersigned, line = witness.ask(seen, partial(_request, gateway, kept))
    except NoCosignature as exc:
        return str(exc)
    for of_day, each in folder.sound_newest_first():
        if each.note == countersigned.note:
            folder.keep(of_day, each.note, "".join(f"{before}\n" for before in each.signatures[1:]) + line)
            return ""
    return "countersigned a checkpoint that is not kept here any more"


def _have_stamped(folder: Folder, authority: Authority, day: date, kept: KeptCheckpoint) -> str:
    try:
        folder.keep_timestamp(day, authority.stamp(kept.note.encode()))
    except NoTimestamp as exc:
        return str(exc)
    return ""


def _request(gateway: Gateway, kept: KeptCheckpoint, seen: int) -> str:
    with gateway.begin() as work:
        return witness_request(work.connection, kept, seen)


def _is_signed(kept: KeptCheckpoint, key: VerifierKey) -> bool:
    with suppress(ValueError):
        return kept.is_signed(key)
    return False


def _has_seen(kept: KeptCheckpoint, key: VerifierKey) -> bool:
    with suppress(ValueError):
        return kept.seen_at(key) is not None
    return False


def _witness(section: WitnessSection, time_limit: float) -> Witness:
    if section.folder is not None:
        return FolderWitness(section.verifier_key, section.folder)
    return CommandWitness(section.verifier_key, section.command, time_limit)
