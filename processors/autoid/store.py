"""Writing drawn IDs to REDCap's AutoID, where other programs look them up."""

from collections.abc import Iterable, Sequence

from sqlalchemy import text

from ledger.batching import batches
from processors import bounds
from processors.autoid.candidates import Waiting
from processors.autoid.entries import AutoidEntry
from processors.autoid.holds import REFUSED, hold
from processors.autoid.imports import import_apart
from processors.delivery.recognition import require_no_group
from processors.events.pseudonyms import IdDelivered, IdGenerated
from processors.gateway import Gateway, Work
from processors.redcap import Redcap, Row

BATCH = 500

# What AutoID contradicts is not written into it: that would only add to the contradiction.
_UNDELIVERED = text("""
    select position from gateway.used_id join ledger.subject using (subject)
     where record_id is null and used_id.kind = 'generated' and wrapped_key is not null
       and not exists (select from gateway.contradiction as against
                        where against.project = used_id.project
                          and (against.fingerprint = used_id.fingerprint or against.subject = used_id.subject))
     order by position
""")


def undelivered_ids(gateway: Gateway) -> list[int]:
    """The drawn IDs, by position, that AutoID does not hold yet; those of forgotten patients it never will."""
    with gateway.begin() as work:
        return list(work.execute(_UNDELIVERED).scalars())


def store_ids(
    gateway: Gateway, redcap: Redcap, entries: Iterable[AutoidEntry], waiting: Sequence[Waiting] = ()
) -> None:
    """Writes new IDs to AutoID, under record ids counted on from the one that REDCap says is next.

    The waiting studies of patients whose IDs REDCap refuses are held. Their IDs stay theirs.
    """
    highest = max((entry.number or 0 for entry in entries), default=0)
    for positions in batches(undelivered_ids(gateway), BATCH):
        following = redcap.next_record_name("autoid")
        require_no_group("autoid", following)
        # A server whose record ids are no numbers answers "1", whatever stands there.
        first = max(bounds.count(following) or 1, highest + 1)
        with gateway.begin() as work:
            identities = work.identities(positions)
        generated = [IdGenerated.read(*identities[position]) for position in positions]
        # Not those that were forgotten meanwhile.
        known = [(drawn, drawn.key, drawn.value) for drawn in generated if drawn.key and drawn.value]
        rows = [
            {
                "record_id": str(first + offset),
                "autoid_project_name": drawn.project,
                "autoid_hash": key,
                "autoid_value": value,
                "autoid_method": "1",
            }
            for offset, (drawn, key, value) in enumerate(known)
        ]
        taken = {row["record_id"] for row in import_apart(gateway, redcap, rows)}
        highest = first + len(rows) - 1
        with gateway.begin() as work:
            work.record(
                IdDelivered(project=drawn.project, fingerprint=drawn.fingerprint, record_id=row["record_id"])
                for (drawn, *_), row in zip(known, rows, strict=True)
                if row["record_id"] in taken
            )
            _hold_refused(work, [row for row in rows if row["record_id"] not in taken], waiting)


def _hold_refused(work: Work, refused: Iterable[Row], waiting: Sequence[Waiting]) -> None:
    patients = {(row["autoid_project_name"], row["autoid_hash"]) for row in refused}
    for group in waiting:
        project = group.project.project
        hold(work, project, [s for s in group.studies if (project, s.key) in patients], REFUSED)
