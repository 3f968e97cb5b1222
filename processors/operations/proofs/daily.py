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
        return bool(self.names) and (not self.folder.has(day_of(now)) or bool(self.awaited(now)))

    def awaited(self, now: datetime) -> list[str]:
        """Those who have not given evidence of the day's checkpoint yet, and were not asked within the hour."""
        day, failures = day_of(now), self.folder.failures()
        kept = self.folder.checkpoint(day)
        awaited = [witness.key.name for witness in self.witnesses if not _has_seen(kept, witness.key)]
        if self.authority is not None and self.folder.timestamp(day) is None:
            awaited.append(self.authority.url)
        return [name for name in awaited if name not in failures or is_due(failures[name].at, now, _AGAIN_AFTER)]

    def silences(self) -> list[Silence]:
        """Who gave nothing when asked last."""
        names, failures = self.names, self.folder.failures()
        return [Silence(name, failures[name].since, failures[name].words) for name in names if name in failures]


def signer_of(connection: Connection, section: LedgerSection) -> Signer:
    """The ledger itself, by the name under which its proofs go out."""
    return Signer(f"fiona-ledger/{stored_vault(connection).ledger}", site_key(section.key_file))


def gather(gateway: Gateway, evidence: Evidence, section: LedgerSection) -> None:
    """Keeps the day's checkpoint, and what witnesses and the authority give for it.

    That one of them gives nothing is kept, too. Raises `Corrupt` where the ledger is not what was attested.
    """
    now, folder = gateway.clock(), evidence.folder
    day = day_of(now)
    if not folder.has(day):
        with gateway.begin() as work:
            attestation.verify(work.connection, work.vault)
            folder.keep(day, checkpoint_of(work.connection, signer_of(work.connection, section)))
    failures, awaited = folder.failures(), evidence.awaited(now)
    for name, ask in _asked(gateway, evidence, day):
        if name in awaited:
            words = ask()
            before = failures.pop(name, None)
            if words:
                failures[name] = Failure(now if before is None else before.since, now, words)
    folder.keep_failures(failures)


def _asked(gateway: Gateway, evidence: Evidence, day: date) -> Iterator[tuple[str, Callable[[], str]]]:
    """Each who gives evidence, with how to have it: that tells why it was not had, or nothing."""
    for witness in evidence.witnesses:
        yield witness.key.name, partial(_have_countersigned, gateway, evidence.folder, witness, day)
    if evidence.authority is not None:
        yield evidence.authority.url, partial(_have_stamped, evidence.folder, evidence.authority, day)


def _have_countersigned(gateway: Gateway, folder: Folder, witness: Witness, day: date) -> str:
    kept = folder.checkpoint(day)
    seen = next((each.checkpoint.size for _, each in folder.newest_first() if _has_seen(each, witness.key)), 0)
    try:
        countersigned, line = witness.ask(seen, partial(_request, gateway, kept))
    except NoCosignature as exc:
        return str(exc)
    for of_day, each in folder.newest_first():
        if each.note == countersigned.note:
            folder.keep(of_day, each.note, "".join(f"{before}\n" for before in each.signatures[1:]) + line)
            return ""
    return "countersigned a checkpoint that is not kept here any more"


def _have_stamped(folder: Folder, authority: Authority, day: date) -> str:
    try:
        folder.keep_timestamp(day, authority.stamp(folder.checkpoint(day).note.encode()))
    except NoTimestamp as exc:
        return str(exc)
    return ""


def _request(gateway: Gateway, kept: KeptCheckpoint, seen: int) -> str:
    with gateway.begin() as work:
        return witness_request(work.connection, kept, seen)


def _has_seen(kept: KeptCheckpoint, key: VerifierKey) -> bool:
    with suppress(ValueError):
        return kept.seen_at(key) is not None
    return False


def _witness(section: WitnessSection, time_limit: float) -> Witness:
    if section.folder is not None:
        return FolderWitness(section.verifier_key, section.folder)
    return CommandWitness(section.verifier_key, section.command, time_limit)
