"""A site that can forget, and what a thief with its database and key file would find."""

import hashlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ledger.key_file import read_master_key
from ledger.vault import Subject
from processors.gateway import Gateway
from processors.operations.forget.data_subjects import of_patients, of_project, of_study
from processors.operations.forget.forget import Forgotten, forget
from processors.operations.forget.rekey import rekey
from tests.autoid.sites import AutoidSite, key_of

REASON = "withdrew consent, case 17"


class PrivateSite(AutoidSite):
    """A gateway under test whose operator forgets people."""

    @contextmanager
    def gateway(self) -> Iterator[Gateway]:
        with self.machine.gateway() as gateway:
            yield gateway

    def forget_patients(self, *patient_ids: str, reason: str = REASON) -> Forgotten:
        with self.gateway() as gateway:
            return forget(gateway, lambda work: of_patients(work, patient_ids), reason=reason, by="operator")

    def forget_study(self, study: str, *, reason: str = REASON) -> Forgotten:
        with self.gateway() as gateway:
            return forget(gateway, lambda work: [of_study(work, study)], reason=reason, by="operator")

    def forget_project(self, project: str) -> Forgotten:
        with self.gateway() as gateway:
            return forget(gateway, lambda work: [of_project(work, project)], reason=REASON, by="operator")

    def rekey(self) -> int:
        with self.gateway() as gateway:
            return rekey(gateway, self.key_file, by="operator")

    # -- what somebody would find who has the database and the key file --------------------------------

    def keys(self, ledger: UUID) -> dict[UUID, AESGCM]:
        """Every data key that is left, by subject."""
        master = AESGCM(read_master_key(self.key_file))
        rows = self.query("""
            select subject, kind, scope, lookup, likeness, wrapped_key from ledger.subject
             where wrapped_key is not null
        """)
        return {
            subject.subject: AESGCM(
                master.decrypt(
                    (subject.wrapped_key or b"")[:12], (subject.wrapped_key or b"")[12:], subject.context(ledger)
                )
            )
            for subject in map(Subject._make, rows)
        }

    def unsealed(self) -> list[str]:
        """What opens of all sealed parts."""
        ((ledger,),) = self.query("select ledger from ledger.vault")
        keys = self.keys(ledger)
        rows = self.query("select event_id, subject, sealed from ledger.event where sealed is not null")
        return [
            keys[subject].decrypt(sealed[:12], sealed[12:], ledger.bytes + subject.bytes + event_id.bytes).decode()
            for event_id, subject, sealed in rows
            if subject in keys
        ]

    def finds(self, values: Collection[str]) -> set[str]:
        """Those of the values that stand somewhere, in plain text or in what can be unsealed."""
        everywhere = "\n".join([self.everything_stored(), *self.unsealed()])
        return {value for value in values if value in everywhere}


def traces(patient_id: str, *names: str) -> set[str]:
    """A PatientID in each form that leads to the patient, and names."""
    digest = hashlib.sha256(patient_id.encode()).hexdigest()
    return {patient_id, digest, key_of(patient_id), *names}
