"""Writing drawn IDs to REDCap's AutoID, where other programs look them up."""

from collections.abc import Iterable

from sqlalchemy import text

from processors.autoid import registry
from processors.gateway import Gateway
from processors.redcap import Redcap

BATCH = 500

# What AutoID contradicts is not written into it: that would only add to the contradiction.
_UNDELIVERED = text("""
    select project, value, position from gateway.used_id join ledger.subject using (subject)
     where record_id is null and used_id.kind = 'generated' and wrapped_key is not null
       and not exists (select from gateway.contradiction as against
                        where against.project = used_id.project
                          and (against.value = used_id.value or against.subject = used_id.subject))
     order by position
""")


def undelivered_ids(gateway: Gateway) -> list[tuple[str, str, int]]:
    """The IDs (project, value, position) that AutoID does not hold yet; those of forgotten patients it never will."""
    with gateway.begin() as connection:
        return [(row.project, row.value, row.position) for row in connection.execute(_UNDELIVERED)]


def store_ids(gateway: Gateway, redcap: Redcap, entries: Iterable[registry.Entry]) -> None:
    """Writes new IDs to AutoID, under record ids counted on from the one that REDCap says is next."""
    numbers = [int(e.record_id) for e in entries if e.record_id.isascii() and e.record_id.isdigit()]
    highest = max(numbers, default=0)
    undelivered = undelivered_ids(gateway)
    for start in range(0, len(undelivered), BATCH):
        portion = undelivered[start : start + BATCH]
        following = redcap.next_record_name("autoid")
        # A server whose record ids are no numbers answers "1", whatever stands there.
        first = max(int(following) if following.isascii() and following.isdigit() else 1, highest + 1)
        with gateway.begin() as connection:
            keys = gateway.identities(connection, [position for _, _, position in portion])
        portion = [each for each in portion if keys[each[2]][1]]  # those not forgotten meanwhile
        rows = [
            {
                "record_id": str(first + offset),
                "autoid_project_name": project,
                "autoid_hash": keys[position][1]["key"],
                "autoid_value": value,
                "autoid_method": "1",
            }
            for offset, (project, value, position) in enumerate(portion)
        ]
        redcap.import_records("autoid", rows, overwrite=False)
        highest = first + len(portion) - 1
        with gateway.begin() as connection:
            gateway.record(
                connection,
                [
                    registry.delivered_event(project, value, row["record_id"])
                    for row, (project, value, _) in zip(rows, portion, strict=True)
                ],
            )
